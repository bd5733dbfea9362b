"""Samplers and losses against what is known of Gaussian data in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hybrid_rl_ros.learning.networks import methods
from hybrid_rl_ros.learning.networks.methods import Ddpm, Draws, MeanFlow, Part, RectifiedFlow, mean_flow_loss

MEAN, SPREAD = 0.3, 0.2
UNCLIPPED = 100.0
NOTHING = torch.zeros(1, 0, dtype=torch.float64)
# The timesteps that real-time iteration is published with, for a short list and a long one.
SHORT, LONG = [2, 1, 0], [22, 20, 18, 16, 14, 12, 10, 8, 5, 3, 2, 1, 0]


def exact_noise(spread: float = SPREAD, train_steps: int = 100):
    """The best prediction of the noise, for data N(MEAN, spread**2)."""
    alphas = methods.squared_cosine_alphas(train_steps)

    def denoiser(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        alpha = alphas[time.long()][:, None]
        return (1.0 - alpha).sqrt() * (x - alpha.sqrt() * MEAN) / (alpha * spread**2 + 1.0 - alpha)

    return denoiser


def exact_velocity(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
    """The best velocity of a flow from noise at time 0 to data N(MEAN, SPREAD**2) at time 1."""
    t = time[:, None] / methods.TIME_SCALE
    variance = (1.0 - t) ** 2 + (t * SPREAD) ** 2
    return MEAN + (t * SPREAD**2 - (1.0 - t)) * (x - t * MEAN) / variance


def mean_velocity(z: Tensor, earlier: Tensor, later: Tensor) -> Tensor:
    """Exact, for data N(MEAN, SPREAD**2) at time 0 and noise at 1: where a point of the flow is at both times."""

    def spread(t: Tensor) -> Tensor:
        return ((1.0 - t) ** 2 * SPREAD**2 + t**2).sqrt()

    before = (1.0 - earlier) * MEAN + spread(earlier) / spread(later) * (z - (1.0 - later) * MEAN)
    return (z - before) / (later - earlier)


def marginal_velocity(z: Tensor, t: Tensor) -> Tensor:
    """What a noise less its chunk is on average at `z`."""
    variance = (1.0 - t) ** 2 * SPREAD**2 + t**2
    return -MEAN + (t - (1.0 - t) * SPREAD**2) * (z - (1.0 - t) * MEAN) / variance


def line_of(sampler) -> tuple[float, float]:
    """Slope and offset of the map from noise to sample, which is a line to 1e-12."""
    noise = torch.linspace(-3, 3, 61, dtype=torch.float64)[:, None]
    samples = sampler(noise, NOTHING.expand(61, 0))
    slope, offset = np.polyfit(noise[:, 0].numpy(), samples[:, 0].numpy(), 1)
    np.testing.assert_allclose(slope * noise + offset, samples, atol=1e-12)
    return float(slope), float(offset)


@pytest.mark.parametrize(('steps', 'spread'), [(5, 0.118), (8, 0.146), (16, 0.170), (100, 0.193)])
def test_ddim_is_affine_in_the_noise_and_few_steps_shrink_the_spread(steps, spread):
    method = Ddpm(train_steps=100, steps=steps, clip=UNCLIPPED)
    slope, offset = line_of(lambda noise, condition: method.sample(exact_noise(), noise, condition))
    assert slope == pytest.approx(spread, abs=6e-4)
    assert offset == pytest.approx(MEAN, abs=0.02)


def test_eight_of_a_hundred_steps_begin_at_84():
    assert Ddpm(train_steps=100, steps=8).timesteps == [84, 72, 60, 48, 36, 24, 12, 0]


@pytest.mark.parametrize(('steps', 'spread'), [(10, 0.154), (100, 0.195)])
def test_a_flow_by_euler_steps_is_affine_in_the_noise(steps, spread):
    method = RectifiedFlow(steps)
    slope, _ = line_of(lambda noise, condition: method.sample(exact_velocity, noise, condition))
    assert slope == pytest.approx(spread, abs=6e-4)


@pytest.mark.parametrize('steps', [1, 2, 7, 50])
def test_zero_noise_flows_to_the_mean_however_many_steps_it_takes(steps):
    sample = RectifiedFlow(steps).sample(exact_velocity, torch.zeros(1, 1, dtype=torch.float64), NOTHING)
    assert sample.item() == pytest.approx(MEAN, abs=1e-12)


def test_a_flow_has_noise_at_time_0_and_data_at_time_1():
    seen: dict[float, Tensor] = {}

    def denoiser(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        seen.update({float(t): row for t, row in zip(time, x)})
        return x

    chunk, noise = torch.full((2, 3), 7.0), torch.full((2, 3), -5.0)
    RectifiedFlow().loss(denoiser, chunk, NOTHING.expand(2, 0), Draws(noise, torch.tensor([[0.0], [1.0]])))
    assert torch.equal(seen[0.0], noise[0]) and torch.equal(seen[methods.TIME_SCALE], chunk[0])


def test_a_mean_flow_has_data_at_time_0_and_noise_at_time_1():
    """A denoiser that gives back what it sees: against instants' velocity of noise less data, that is its error."""
    chunk, noise = torch.full((1, 3), 7.0), torch.full((1, 3), -5.0)
    for time, seen in ((0.0, 7.0), (1.0, -5.0)):
        draws = Draws(noise, torch.full((1, 2), time))
        loss = MeanFlow().loss(lambda z, t, c: z, chunk, torch.zeros(1, 0), draws)
        assert loss.item() == pytest.approx((seen - (-5.0 - 7.0)) ** 2)


def test_the_losses_of_exact_predictions_are_the_least_that_there_can_be():
    """The error that is left is the variance of what is predicted, given what is seen, averaged over all times."""
    rng = np.random.default_rng(0)
    count = 200_000
    chunk = torch.from_numpy(MEAN + SPREAD * rng.standard_normal((count, 1)))
    flow, draws = RectifiedFlow(), RectifiedFlow().draw(count, 1, rng)
    loss = flow.loss(exact_velocity, chunk, NOTHING.expand(count, 0), draws)
    t = np.linspace(0, 1, 2001)
    left = SPREAD**2 / ((1 - t) ** 2 + (t * SPREAD) ** 2)
    assert float(loss) == pytest.approx(np.trapezoid(left, t), rel=0.02)
    ddpm = Ddpm(clip=UNCLIPPED)
    loss = ddpm.loss(exact_noise(), chunk, NOTHING.expand(count, 0), ddpm.draw(count, 1, rng))
    alpha = methods.squared_cosine_alphas(100).numpy()
    assert float(loss) == pytest.approx((alpha * SPREAD**2 / (alpha * SPREAD**2 + 1 - alpha)).mean(), rel=0.02)


@pytest.mark.parametrize(
    ('timesteps', 'spread', 'factor'),
    [(SHORT, 0.2, 0.924), (SHORT, 0.05, 0.427), (LONG, 0.2, 0.459), (LONG, 0.05, 0.087)],
)
def test_iterating_contracts_a_wrong_guess_by_the_known_factor(timesteps, spread, factor):
    method, denoiser = Ddpm(clip=UNCLIPPED), exact_noise(spread)
    slope, _ = line_of(lambda guess, condition: method.iterate(denoiser, guess, condition, timesteps))
    assert slope == pytest.approx(factor, abs=6e-4)


def test_refining_all_of_the_way_forgets_the_guess():
    method, generator = RectifiedFlow(10), torch.Generator().manual_seed(0)
    noise, guess = torch.randn(2, 5, 1, dtype=torch.float64, generator=generator)
    refined = method.refine(exact_velocity, guess, noise, NOTHING.expand(5, 0), Part(10, 1.0))
    torch.testing.assert_close(refined, method.sample(exact_velocity, noise, NOTHING.expand(5, 0)))


def test_refining_takes_even_steps_down_from_the_noise_level_that_was_asked_for():
    seen: list[float] = []

    def denoiser(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        seen.append(float(time[0]))
        return x

    guess, noise = torch.zeros(2, 1, 1)
    for method in (Ddpm(), RectifiedFlow(), Ddpm(published=True)):
        method.refine(denoiser, guess, noise, NOTHING, Part(2, 0.4))
    assert seen == pytest.approx([40, 20, 60, 80, 1, 0])


def test_denoising_from_noise_over_all_timesteps_is_sampling():
    method = Ddpm()
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    whole = method.denoise(exact_noise(), noise, NOTHING.expand(9, 0), method.timesteps)
    assert torch.equal(whole, method.sample(exact_noise(), noise, NOTHING.expand(9, 0)))


@pytest.mark.parametrize(('calls', 'share'), [(1, 0.1), (2, 0.4), (5, 0.4)])
def test_a_true_guess_stays_one_in_spread_and_mean(calls, share):
    """Noised and refined, what the sampler itself made keeps its mean, and hardly any of its spread is lost."""
    method = RectifiedFlow(10)
    rng = torch.Generator().manual_seed(0)
    noise, fresh = torch.randn(2, 50_000, 1, dtype=torch.float64, generator=rng)
    condition = NOTHING.expand(50_000, 0)
    guess = method.sample(exact_velocity, noise, condition)
    again = method.refine(exact_velocity, guess, fresh, condition, Part(calls, share))
    assert float(again.mean()) == pytest.approx(MEAN, abs=0.005)
    assert 0.6 * float(guess.std()) < float(again.std()) < 1.1 * float(guess.std())


def test_the_mean_flow_identity_holds_for_the_exact_mean_velocity():
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(1000, 1, dtype=torch.float64, generator=rng)
    ends = torch.rand(1000, 2, dtype=torch.float64, generator=rng).sort(dim=1).values
    earlier, later = 0.9 * ends[:, :1], 0.1 + 0.9 * ends[:, 1:]
    loss = mean_flow_loss(mean_velocity, z, earlier, later, marginal_velocity(z, later))
    assert math.sqrt(float(loss)) < 2e-9


def test_one_step_of_the_exact_mean_velocity_is_the_affine_map():
    noise = torch.linspace(-3, 3, 31, dtype=torch.float64)[:, None]
    sample = noise - mean_velocity(noise, torch.zeros(31, 1).double(), torch.ones(31, 1).double())
    torch.testing.assert_close(sample, MEAN + SPREAD * noise, atol=1e-15, rtol=0.0)


def test_no_gradient_reaches_the_mean_flows_target():
    """u = w z, v = 0: the loss is (w z + (t - r) w * 0)^2 in value, and its gradient that of the first w alone."""
    w = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    z, earlier, later = (torch.full((1, 1), x, dtype=torch.float64) for x in (2.0, 0.2, 0.7))
    towards = torch.ones(1, 1, dtype=torch.float64)
    loss = mean_flow_loss(lambda x, r, t: w * x, z, earlier, later, towards)
    # u = 1, du/dt = w v = 0.5, target = 1 - 0.5 * 0.5.
    assert loss.item() == pytest.approx((1.0 - 0.75) ** 2)
    loss.backward()
    assert w.grad is not None and w.grad.item() == pytest.approx(2 * (1.0 - 0.75) * 2.0)


def test_half_of_the_intervals_are_instants_and_none_runs_backwards():
    times = MeanFlow().draw(20_000, 1, np.random.default_rng(0)).time
    assert float((times[:, 0] == times[:, 1]).float().mean()) == pytest.approx(0.5, abs=0.01)
    assert (times[:, 0] <= times[:, 1]).all() and times.min() > 0.0 and times.max() < 1.0
    # The ends are of the larger of two draws, or of any: the median of an instant is that of the logit-normal's larger.
    assert float(times[:, 1].median()) > 1.0 / (1.0 + math.exp(0.4))


@pytest.mark.slow
@pytest.mark.long
def test_a_network_learns_the_mean_velocity():
    """From samples of N(MEAN, SPREAD**2): over an interval within, and of the one step from noise to data."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    layers = nn.Sequential(nn.Linear(8, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def denoiser(z: Tensor, time: Tensor, told: Tensor) -> Tensor:
        return layers(torch.cat([z, time[:, None] / methods.MEAN_FLOW_TIME_SCALE, told], dim=-1))

    method, optimiser = MeanFlow(), torch.optim.Adam(layers.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 3000)
    for _ in range(3000):
        chunk = torch.from_numpy(MEAN + SPREAD * rng.standard_normal((256, 1), np.float32))
        loss = method.loss(denoiser, chunk, torch.zeros(256, 0), method.draw(256, 1, rng))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    noise = torch.linspace(-2, 2, 41)[:, None]
    ends = torch.full((41, 1), 0.2), torch.full((41, 1), 0.8)
    within = 0.2 * MEAN + math.sqrt(0.04 * SPREAD**2 + 0.64) * noise
    with torch.no_grad():
        learned = method.velocity(denoiser, torch.zeros(41, 0))(within, *ends)
        samples = method.sample(denoiser, noise, torch.zeros(41, 0))
    np.testing.assert_allclose(learned, mean_velocity(within, *ends), atol=0.1)
    np.testing.assert_allclose(samples, MEAN + SPREAD * noise, atol=0.12)
