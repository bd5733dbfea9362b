"""A denoiser of action chunks and the loop that samples with it, as one graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MAX_BETA = 0.999
TIME_FEATURES = 32
LONGEST_WAVE = 10_000.0


class MlpDenoiser(nn.Module):
    """The noise in a chunk: (B, D) noised chunk, (B,) timestep and (B, C) condition to (B, D)."""

    rates: Tensor

    def __init__(self, chunk: int, condition: int, hidden: list[int]) -> None:
        super().__init__()
        widths = [chunk + condition + TIME_FEATURES, *hidden]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.Mish()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], chunk))
        rates = torch.exp(torch.arange(TIME_FEATURES // 2) * (-math.log(LONGEST_WAVE) / (TIME_FEATURES // 2 - 1)))
        self.register_buffer('rates', rates, persistent=False)

    def forward(self, noised: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        angles = timestep[:, None] * self.rates
        return self.layers(torch.cat([noised, condition, angles.sin(), angles.cos()], dim=-1))


def squared_cosine_alphas(steps: int) -> Tensor:
    """(steps,) cumulative signal shares; Nichol and Dhariwal 2021, equation 17, with betas of at most 0.999."""
    share = torch.cos((torch.arange(steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = (1.0 - share[1:] / share[:-1]).clamp(max=MAX_BETA)
    return torch.cumprod(1.0 - betas, dim=0)


class DdimSampler(nn.Module):
    """DDIM without added noise (Song et al. 2021, equation 12, sigma 0): (B, D) noise and (B, C) condition to (B, D).

    `steps` of the denoiser's `train_steps`, the clean chunk clipped to [-1, 1] in each. The same noise gives the same
    chunk. The loop is unrolled, so that an exported sampler is one graph without a loop in Python.
    """

    def __init__(self, denoiser: nn.Module, train_steps: int = 100, steps: int = 10, clip: float = 1.0) -> None:
        super().__init__()
        if not 1 <= steps <= train_steps:
            raise ValueError(f'expected 1 to {train_steps} steps, got {steps}')
        self.denoiser = denoiser
        self._clip = clip
        alphas = squared_cosine_alphas(train_steps)
        stride = train_steps // steps
        self.timesteps = [index * stride for index in reversed(range(steps))]
        self._alphas = [(float(alphas[t]), float(alphas[t - stride]) if t >= stride else 1.0) for t in self.timesteps]

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        chunk = noise
        for timestep, (alpha, next_alpha) in zip(self.timesteps, self._alphas):
            predicted = self.denoiser(chunk, chunk.new_full((len(chunk),), float(timestep)), condition)
            clean = (chunk - math.sqrt(1.0 - alpha) * predicted) / math.sqrt(alpha)
            clean = clean.clamp(-self._clip, self._clip)
            chunk = math.sqrt(next_alpha) * clean + math.sqrt(1.0 - next_alpha) * predicted
        return chunk
