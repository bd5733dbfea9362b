"""Numbers brought to [-1, 1] by what was seen of them, kept beside the weights that were learned with it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

# Of half a range. A number that hardly moves in the demonstrations is not blown up to fill [-1, 1].
LEAST_REACH = 0.01
QUANTILES = (0.01, 0.99)
# The same of a deviation: what hardly moved in the demonstrations moves twentyfold at most.
LEAST_DEVIATION = 0.05
# How far beyond [-1, 1] a number may be: within the ends there is nothing, beyond the percentiles there is some.
CLIP = {'minmax': 1.0, 'quantile': 1.5}


class Ranges(nn.Module):
    """(B, n * D) to (B, n * D): D numbers, each by its own range, n times side by side."""

    centre: Tensor
    reach: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer('centre', torch.zeros(width))
        self.register_buffer('reach', torch.ones(width))

    def fit(self, values: np.ndarray, normalisation: str) -> None:
        """To (N, D) values."""
        ends = values.min(axis=0), values.max(axis=0)
        low, high = ends if normalisation == 'minmax' else np.quantile(values, QUANTILES, axis=0)
        # A number that has two values, as a gripper's has, may show but one of them between the percentiles.
        wide = high - low > 2.0 * LEAST_REACH
        low, high = np.where(wide, low, ends[0]), np.where(wide, high, ends[1])
        self.centre.copy_(torch.from_numpy((low + high) / 2.0))
        self.reach.copy_(torch.from_numpy(np.maximum((high - low) / 2.0, LEAST_REACH)))

    @torch.no_grad()
    def fit_deviation(self, values: Tensor) -> None:
        """To (N, D) values: 0 for their mean, 1 for one standard deviation."""
        self.centre.copy_(values.mean(0))
        self.reach.copy_(values.std(0).clamp(min=LEAST_DEVIATION))

    @property
    def is_identity(self) -> bool:
        return bool((self.centre == 0.0).all() and (self.reach == 1.0).all())

    @torch.no_grad()
    def fold_into(self, layer: nn.Linear) -> None:
        """Let `layer`, which was learned without these ranges, make the same behind them."""
        layer.bias.add_(layer.weight @ self.centre)
        layer.weight.mul_(self.reach)

    def forward(self, values: Tensor) -> Tensor:
        times = values.shape[-1] // len(self.centre)
        return (values - self.centre.repeat(times)) / self.reach.repeat(times)

    def inverse(self, values: Tensor) -> Tensor:
        times = values.shape[-1] // len(self.centre)
        return values * self.reach.repeat(times) + self.centre.repeat(times)
