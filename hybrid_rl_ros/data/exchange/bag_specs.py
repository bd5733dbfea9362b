"""Checking the names and numbers of a bag's messages, and making specs from them where it brings none."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping

import numpy as np

from hybrid_rl_ros.data.specs import Dimension
from hybrid_rl_ros.errors import UserError

_LARGEST = float(np.finfo(np.float32).max)


class VectorRange:
    """The names of a vector in the order of its first message, and how far each number goes."""

    def __init__(self) -> None:
        self._ranges: dict[str, tuple[float, float]] = {}

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if math.isfinite(value):
                low, high = self._ranges.get(name, (value, value))
                self._ranges[name] = (min(low, value), max(high, value))

    def dimensions(self) -> tuple[Dimension, ...]:
        """With the span of the data as bounds; a number that never changes gets 0.5 to each side."""
        return tuple(
            Dimension(name=name, unit='', low=low - 0.5 * (low == high), high=high + 0.5 * (low == high))
            for name, (low, high) in self._ranges.items()
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """What an error says of the nearest known name; '' if there is none at all."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f'; the nearest is {found[0]}' if found else ''


def require_names(values: Mapping[str, object], names: Iterable[str], where: str) -> None:
    """Raises UserError for a name that the message lacks."""
    for name in names:
        if name not in values:
            raise UserError(f'{where}: no {name!r} in a message{nearest(name, values)}')


def require_finite(values: Mapping[str, float], names: Iterable[str], where: str) -> None:
    """Raises UserError for a number that is not finite, or not as a float32."""
    for name in names:
        if not abs(values[name]) <= _LARGEST:
            raise UserError(f'{where}: {name!r} is {values[name]}, expected a finite number')
