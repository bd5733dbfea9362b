"""Waves of a number, which tell a network what a bare number would not."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TIME_FEATURES = 32
LONGEST_WAVE = 10_000.0


class TimeFeatures(nn.Module):
    """(B,) to (B, TIME_FEATURES): its sines, then its cosines, at rates from 1 down to 1 / longest."""

    rates: Tensor

    def __init__(self, longest: float = LONGEST_WAVE) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(TIME_FEATURES // 2) * (-math.log(longest) / (TIME_FEATURES // 2 - 1)))
        # Kept with the weights, so that a network is whole that was built without memory and then loaded.
        self.register_buffer('rates', rates)

    def forward(self, time: Tensor) -> Tensor:
        angles = time[:, None] * self.rates
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
