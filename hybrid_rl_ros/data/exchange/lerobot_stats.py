"""Minimum, maximum, mean and deviation of a column while it goes by, as LeRobot's policies normalise with."""

from __future__ import annotations

from typing import Any

import numpy as np


class RunningStats:
    """Over rows (N, D), or over the pixels of images (N, H, W, 3) scaled to 0..1, one figure a channel."""

    def __init__(self, is_image: bool) -> None:
        self._is_image = is_image
        self._count = self._rows = 0
        self._low: np.ndarray = np.array(np.inf)
        self._high: np.ndarray = np.array(-np.inf)
        self._mean: np.ndarray = np.array(0.0)
        self._squares: np.ndarray = np.array(0.0)

    def add(self, values: np.ndarray) -> None:
        self._rows += len(values)
        values = values.reshape(-1, 3) / 255 if self._is_image else values.reshape(len(values), -1).astype(np.float64)
        count, mean = self._count + len(values), values.mean(axis=0)
        change = mean - self._mean
        # Chan's update: sums of squares about zero would cancel for a narrow column far from it.
        self._squares = (
            self._squares + ((values - mean) ** 2).sum(axis=0) + change**2 * (self._count * len(values) / count)
        )
        self._mean = self._mean + change * (len(values) / count)
        self._low, self._high = np.minimum(self._low, values.min(axis=0)), np.maximum(self._high, values.max(axis=0))
        self._count = count

    def as_json(self) -> dict[str, list[Any]]:
        shape = (3, 1, 1) if self._is_image else (-1,)
        figures = {
            'min': self._low,
            'max': self._high,
            'mean': self._mean,
            'std': np.sqrt(self._squares / max(1, self._count)),
        }
        return {name: figure.reshape(shape).tolist() for name, figure in figures.items()} | {'count': [self._rows]}
