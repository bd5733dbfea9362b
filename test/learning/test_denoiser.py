"""The sampler against what is known of Gaussian data, and its schedule against the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hybrid_rl_ros.learning.networks.denoiser import MlpDenoiser
from hybrid_rl_ros.learning.networks.methods import Ddpm, Sampler, squared_cosine_alphas

MEAN, SPREAD = 0.3, 0.2


class GaussianDenoiser(nn.Module):
    """The exact noise prediction for data that is N(MEAN, SPREAD**2) in every dimension."""

    def __init__(self, train_steps: int) -> None:
        super().__init__()
        self._alphas = squared_cosine_alphas(train_steps)

    def forward(self, noised: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        alpha = self._alphas[timestep.long()][:, None].float()
        variance = alpha * SPREAD**2 + 1.0 - alpha
        return (1.0 - alpha).sqrt() * (noised - alpha.sqrt() * MEAN) / variance


def test_the_schedule_is_the_squared_cosine():
    alphas = squared_cosine_alphas(100)
    at = lambda share: math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2  # noqa: E731
    np.testing.assert_allclose(alphas[49], at(0.5) / at(0.0), rtol=1e-9)
    assert (alphas[1:] < alphas[:-1]).all() and 0.0 < alphas[-1] < 1e-4


def test_many_steps_sample_the_gaussian_that_the_denoiser_knows():
    sampler = Sampler(GaussianDenoiser(1000), Ddpm(train_steps=1000, steps=500, clip=10.0))
    noise = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    samples = sampler(noise, torch.zeros(20_000, 0))
    assert float(samples.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(samples.std()) == pytest.approx(SPREAD, rel=0.05)
    # Without added noise the way from noise to sample is one line.
    line = np.polyfit(noise[:, 0].numpy(), samples[:, 0].numpy(), 1)
    np.testing.assert_allclose(np.polyval(line, noise[:, 0].numpy()), samples[:, 0].numpy(), atol=1e-4)


def test_one_step_is_the_clipped_clean_chunk():
    sampler = Sampler(GaussianDenoiser(100), Ddpm(steps=1))
    noise = torch.tensor([[0.5], [50.0]])
    alpha = float(squared_cosine_alphas(100)[0])
    predicted = sampler.denoiser(noise, torch.zeros(2), torch.zeros(2, 0))
    clean = (noise - math.sqrt(1 - alpha) * predicted) / math.sqrt(alpha)
    torch.testing.assert_close(sampler(noise, torch.zeros(2, 0)), clean.clamp(-1, 1))


@pytest.mark.parametrize('steps', [0, 101])
def test_a_number_of_steps_that_the_training_has_not_is_refused(steps):
    with pytest.raises(ValueError, match='expected 1 to 100 steps'):
        Ddpm(steps=steps)


def test_every_chunk_depends_on_its_own_noise_condition_and_time():
    torch.manual_seed(0)
    denoiser = MlpDenoiser(chunk=4, condition=3, hidden=[16, 16])
    noised, time, condition = torch.randn(2, 4), torch.tensor([1.0, 1.0]), torch.randn(2, 3)
    both = denoiser(noised, time, condition)
    torch.testing.assert_close(both[:1], denoiser(noised[:1], time[:1], condition[:1]))
    assert not torch.allclose(both, denoiser(noised, time + 5.0, condition))
    assert not torch.allclose(both, denoiser(noised, time, condition + 0.5))
