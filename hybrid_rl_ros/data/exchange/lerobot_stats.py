"""Minimum, maximum, mean and deviation of a column while it goes by, as LeRobot's policies normalise with."""

from __future__ import annotations

from typing import Any

import numpy as np


class ColumnStats:
    """Over the rows of (N,) or (N, D) numbers."""

    def __init__(self) -> None:
        self._count = 0
        self._low: np.ndarray = np.array(np.inf)
        self._high: np.ndarray = np.array(-np.inf)
        self._mean: np.ndarray = np.array(0.0)
        self._squares: np.ndarray = np.array(0.0)

    def add(self, rows: np.ndarray) -> None:
        values = rows.reshape(len(rows), -1).astype(np.float64)
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
        deviation = np.sqrt(self._squares / max(1, self._count))
        figures = {'min': self._low, 'max': self._high, 'mean': self._mean, 'std': deviation}
        return {name: figure.reshape(-1).tolist() for name, figure in figures.items()} | {'count': [self._count]}


class ImageStats:
    """Over all pixels of (N, H, W, 3) uint8 images, scaled to 0..1, one figure a channel."""

    def __init__(self) -> None:
        self._images = 0
        self._levels = np.zeros((3, 256), np.int64)

    def add(self, images: np.ndarray) -> None:
        self._images += len(images)
        for channel in range(3):
            self._levels[channel] += np.bincount(images[..., channel].reshape(-1), minlength=256)

    def as_json(self) -> dict[str, list[Any]]:
        scaled = np.arange(256) / 255
        share = self._levels / np.maximum(1, self._levels.sum(axis=1, keepdims=True))
        mean = share @ scaled
        deviation = np.sqrt((share * (scaled - mean[:, None]) ** 2).sum(axis=1))
        present = self._levels > 0
        low, high = present.argmax(axis=1) / 255, (255 - present[:, ::-1].argmax(axis=1)) / 255
        figures = {'min': low, 'max': high, 'mean': mean, 'std': deviation}
        return {name: figure.reshape(3, 1, 1).tolist() for name, figure in figures.items()} | {'count': [self._images]}
