"""How noise becomes a chunk of actions, and what a denoiser learns for it: DDPM, rectified flow, mean-velocity flow.

Chunks and noise are (B, D), chunks normalised to about [-1, 1]; a denoiser is called as denoiser(x, time, condition).
Every sampler takes its noise from outside and adds none: the same noise gives the same chunk. Their loops are unrolled
over numbers that are known beforehand, so that a traced sampler is one graph.

Time runs from noise to data in a flow (noise at 0, data at 1) and from data to noise in the other two, as each is
published.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]


class Draws(NamedTuple):
    """noise (B, D), standard normal, and time (B, 1) or, for an interval's two ends, (B, 2)."""

    noise: Tensor
    time: Tensor


MAX_BETA = 0.999
# What a denoiser is told of a time in [0, 1]: waves of it are to differ within the steps of a sampler.
TIME_SCALE = 100.0
# Less, where the network is differentiated by time: fast waves have large derivatives.
MEAN_FLOW_TIME_SCALE = 10.0
# Mean flow: the share of intervals of no length, and of the logit-normal that times are drawn from, mean and deviation.
INSTANTS = 0.5
TIME_MEAN, TIME_SPREAD = -0.4, 1.0


class Part(NamedTuple):
    """The last `share` of the way from noise to data, in `calls` even steps."""

    calls: int
    share: float


class Method(Protocol):
    """A way of generating. `told`: how many numbers it adds to a denoiser's condition."""

    told: int

    def draw(self, count: int, width: int, rng: np.random.Generator) -> Draws:
        """What is random in a loss over chunks (count, width)."""

    def loss(self, denoiser: Denoiser, chunk: Tensor, condition: Tensor, draws: Draws) -> Tensor:
        """A number to lower, for clean chunks."""

    def sample(self, denoiser: Denoiser, noise: Tensor, condition: Tensor) -> Tensor:
        """The chunks that `noise` becomes."""

    def refine(self, denoiser: Denoiser, guess: Tensor, noise: Tensor, condition: Tensor, part: Part) -> Tensor:
        """The chunks that the last part of the way makes of guessed ones, noised as far as belongs there."""


def make_method(method: str, steps: int, train_steps: int, clip: float, published: bool) -> Method:
    if method == 'ddpm':
        return Ddpm(train_steps, steps, clip, published)
    return RectifiedFlow(steps) if method == 'flow' else MeanFlow()


class Sampler(nn.Module):
    """A denoiser and its method as one module, to be exported: (B, D) noise and (B, C) condition to (B, D) chunks."""

    def __init__(self, denoiser: nn.Module, method: Method) -> None:
        super().__init__()
        self.denoiser, self.method = denoiser, method

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        return self.method.sample(self.denoiser, noise, condition)


def squared_cosine_alphas(steps: int) -> Tensor:
    """(steps,) cumulative signal shares; Nichol and Dhariwal 2021, equation 17, with betas of at most 0.999."""
    # On the CPU, also while a network is built on no device at all.
    times = torch.arange(steps + 1, dtype=torch.float64, device='cpu')
    share = torch.cos((times / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = (1.0 - share[1:] / share[:-1]).clamp(max=MAX_BETA)
    return torch.cumprod(1.0 - betas, dim=0)


class Ddpm:
    """Noise prediction (Ho et al. 2020), sampled by DDIM without added noise (Song et al. 2021, equation 12, sigma 0).

    `steps` of the `train_steps`, in even strides down to 0: with 8 of 100 they begin at 84. The clean chunk is clipped
    to [-clip, clip] in each. `published`: real-time iteration as its authors have it, without noise on the guess.
    """

    told = 0

    def __init__(self, train_steps: int = 100, steps: int = 10, clip: float = 1.0, published: bool = False) -> None:
        if not 1 <= steps <= train_steps:
            raise ValueError(f'expected 1 to {train_steps} steps, got {steps}')
        self._clip, self._published = clip, published
        self._alphas = squared_cosine_alphas(train_steps).tolist()
        stride = train_steps // steps
        self.timesteps = [index * stride for index in reversed(range(steps))]

    def draw(self, count: int, width: int, rng: np.random.Generator) -> Draws:
        return Draws(_normal(count, width, rng), torch.from_numpy(rng.integers(len(self._alphas), size=(count, 1))))

    def loss(self, denoiser: Denoiser, chunk: Tensor, condition: Tensor, draws: Draws) -> Tensor:
        alpha = chunk.new_tensor(self._alphas)[draws.time]
        noised = alpha.sqrt() * chunk + (1.0 - alpha).sqrt() * draws.noise
        return (denoiser(noised, draws.time[:, 0].to(chunk), condition) - draws.noise).square().mean()

    def sample(self, denoiser: Denoiser, noise: Tensor, condition: Tensor) -> Tensor:
        return self.denoise(denoiser, noise, condition, self.timesteps)

    def refine(self, denoiser: Denoiser, guess: Tensor, noise: Tensor, condition: Tensor, part: Part) -> Tensor:
        if self._published:
            return self.iterate(denoiser, guess, condition, range(part.calls)[::-1])
        first = min(part.share * len(self._alphas), len(self._alphas) - 1)
        timesteps = [round(first * left / part.calls) for left in range(part.calls, 0, -1)]
        return self.denoise(denoiser, self._noised(guess, noise, timesteps[0]), condition, timesteps)

    def denoise(self, denoiser: Denoiser, x: Tensor, condition: Tensor, timesteps: Sequence[int]) -> Tensor:
        """From `x`, taken to be at the first of the falling `timesteps`, through all of them to a clean chunk."""
        for timestep, following in zip(timesteps, [*timesteps[1:], None]):
            clean, predicted = self._clean(denoiser, x, condition, timestep)
            alpha = 1.0 if following is None else self._alphas[following]
            x = math.sqrt(alpha) * clean + math.sqrt(1.0 - alpha) * predicted
        return x

    def iterate(self, denoiser: Denoiser, x: Tensor, condition: Tensor, timesteps: Sequence[int]) -> Tensor:
        """As `denoise`, by posterior means, each one timestep down, as real-time iteration is published."""
        for timestep in timesteps:
            clean, _ = self._clean(denoiser, x, condition, timestep)
            alpha, before = self._alphas[timestep], self._alphas[timestep - 1] if timestep else 1.0
            share = alpha / before
            x = (math.sqrt(before) * (1.0 - share) * clean + math.sqrt(share) * (1.0 - before) * x) / (1.0 - alpha)
        return x

    def _noised(self, chunk: Tensor, noise: Tensor, timestep: int) -> Tensor:
        alpha = self._alphas[timestep]
        return math.sqrt(alpha) * chunk + math.sqrt(1.0 - alpha) * noise

    def _clean(self, denoiser: Denoiser, x: Tensor, condition: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        """The clean chunk that `x` seems to come from, and the noise in it."""
        alpha = self._alphas[timestep]
        predicted = denoiser(x, _everywhere(x, timestep), condition)
        clean = (x - math.sqrt(1.0 - alpha) * predicted) / math.sqrt(alpha)
        return clean.clamp(-self._clip, self._clip), predicted


class RectifiedFlow:
    """Velocities along straight lines from noise at time 0 to data at 1 (Liu et al. 2023), sampled by Euler steps."""

    told = 0

    def __init__(self, steps: int = 10) -> None:
        self.steps = steps

    def draw(self, count: int, width: int, rng: np.random.Generator) -> Draws:
        return Draws(_normal(count, width, rng), torch.from_numpy(rng.random((count, 1), np.float32)))

    def loss(self, denoiser: Denoiser, chunk: Tensor, condition: Tensor, draws: Draws) -> Tensor:
        noise, time = draws
        between = (1.0 - time) * noise + time * chunk
        return (denoiser(between, TIME_SCALE * time[:, 0], condition) - (chunk - noise)).square().mean()

    def sample(self, denoiser: Denoiser, noise: Tensor, condition: Tensor) -> Tensor:
        return self._follow(denoiser, noise, condition, Part(self.steps, 1.0))

    def refine(self, denoiser: Denoiser, guess: Tensor, noise: Tensor, condition: Tensor, part: Part) -> Tensor:
        return self._follow(denoiser, part.share * noise + (1.0 - part.share) * guess, condition, part)

    def _follow(self, denoiser: Denoiser, x: Tensor, condition: Tensor, part: Part) -> Tensor:
        """Euler steps from `x`, taken to be where `part` begins."""
        for step in range(part.calls):
            time = 1.0 - part.share * (1.0 - step / part.calls)
            x = x + denoiser(x, _everywhere(x, TIME_SCALE * time), condition) * (part.share / part.calls)
        return x


class MeanFlow:
    """Mean velocities over intervals of time, so that one step is exact (Geng et al. 2025); data at 0, noise at 1.

    The denoiser is told the interval's later end, and by the condition its earlier end and its length.
    """

    told = 6

    def draw(self, count: int, width: int, rng: np.random.Generator) -> Draws:
        """Times are the earlier and the later end, which are the same for a share INSTANTS."""
        ends = torch.sigmoid(TIME_MEAN + TIME_SPREAD * _normal(count, 2, rng)).sort(dim=1).values
        instant = torch.from_numpy(rng.random((count, 1)) < INSTANTS)
        return Draws(_normal(count, width, rng), torch.where(instant, ends[:, 1:], ends))

    def loss(self, denoiser: Denoiser, chunk: Tensor, condition: Tensor, draws: Draws) -> Tensor:
        noise, (earlier, later) = draws.noise, draws.time.split(1, dim=1)
        z = (1.0 - later) * chunk + later * noise
        return mean_flow_loss(self.velocity(denoiser, condition), z, earlier, later, noise - chunk)

    def sample(self, denoiser: Denoiser, noise: Tensor, condition: Tensor) -> Tensor:
        ends = _everywhere(noise, 0.0)[:, None], _everywhere(noise, 1.0)[:, None]
        return noise - self.velocity(denoiser, condition)(noise, *ends)

    def refine(self, denoiser: Denoiser, guess: Tensor, noise: Tensor, condition: Tensor, part: Part) -> Tensor:
        raise ValueError('a mean-velocity flow is done in one step; there is nothing to refine')

    def velocity(self, denoiser: Denoiser, condition: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        def velocity(z: Tensor, earlier: Tensor, later: Tensor) -> Tensor:
            ends = torch.cat([earlier, later - earlier], dim=-1)
            # Waves: what flows to data depends strongly on the earlier end when that is near 0.
            angles = MEAN_FLOW_TIME_SCALE * ends
            told = torch.cat([condition, ends, angles.sin(), angles.cos()], dim=-1)
            return denoiser(z, MEAN_FLOW_TIME_SCALE * later[:, 0], told)

        return velocity


def mean_flow_loss(
    velocity: Callable[[Tensor, Tensor, Tensor], Tensor], z: Tensor, earlier: Tensor, later: Tensor, towards: Tensor
) -> Tensor:
    """||u - stop(v - (t - r) du/dt)||^2, Geng et al. 2025, equations 10 and 11; `towards` is v, at `z` and time t."""
    tangents = (towards, torch.zeros_like(earlier), torch.ones_like(later))
    predicted, derivative = torch.func.jvp(velocity, (z, earlier, later), tangents)[:2]
    target = towards - (later - earlier) * derivative
    return (predicted - target.detach()).square().mean()


def _normal(count: int, width: int, rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.standard_normal((count, width), np.float32))


def _everywhere(x: Tensor, value: float) -> Tensor:
    """(B,) of one value, for x (B, D): made from it, so that an exported graph takes batches of any size."""
    return 0.0 * x[:, 0] + value
