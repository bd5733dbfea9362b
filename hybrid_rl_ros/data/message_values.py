"""ROS messages to numbers and arrays, by their attributes alone: the same for live messages and for those of a bag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

NS_PER_S = 1_000_000_000


def stamp_ns(stamp: Any) -> int:
    """A builtin_interfaces/Time in nanoseconds."""
    return stamp.sec * NS_PER_S + stamp.nanosec


def read_named_vector(message: Any) -> dict[str, float]:
    """A JointState's positions by name. Raises ValueError for another count of names, or a name that comes twice."""
    if len(message.name) != len(message.position):
        raise ValueError(f'{len(message.name)} names for {len(message.position)} numbers')
    if len(set(message.name)) != len(message.name):
        raise ValueError(f'a name comes twice: {list(message.name)}')
    return dict(zip(message.name, message.position))


def pick(values: Mapping[str, float], names: Iterable[str]) -> np.ndarray:
    """(len(names),) float64 in the order of `names`. Raises KeyError with the missing name."""
    return np.array([values[name] for name in names])


# Encoding to channels and to which of them are red, green and blue.
_ENCODINGS: dict[str, tuple[int, slice | list[int]]] = {
    'rgb8': (3, slice(0, 3)),
    'bgr8': (3, slice(None, None, -1)),
    'rgba8': (4, slice(0, 3)),
    'bgra8': (4, [2, 1, 0]),
    'mono8': (1, [0, 0, 0]),
}


def is_readable(encoding: str) -> bool:
    return encoding in _ENCODINGS


def read_image(message: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an Image, a view of it where possible. Raises ValueError for other encodings."""
    if message.encoding not in _ENCODINGS:
        raise ValueError(f'encoding {message.encoding!r}; expected one of {", ".join(_ENCODINGS)}')
    channels, colours = _ENCODINGS[message.encoding]
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    image = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
    return image[:, :, colours]
