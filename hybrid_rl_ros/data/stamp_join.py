"""Exact joining of streams by stamp: bounded, in order, counting what it drops."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class StampJoin:
    """Collects one value a stream for each stamp and hands over complete sets in the order of their stamps.

    A set that is complete drops every incomplete older one (their missing parts can only come late), and no more
    than `capacity` stamps wait at a time. `dropped` counts stamps given up, `late` values of stamps already passed.
    """

    def __init__(
        self, streams: Iterable[str], on_complete: Callable[[int, dict[str, Any]], None], capacity: int = 50
    ) -> None:
        self.streams = frozenset(streams)
        self._on_complete = on_complete
        self._capacity = capacity
        self._waiting: dict[int, dict[str, Any]] = {}
        self._last = -1
        self.dropped = 0
        self.late = 0

    def offer(self, stream: str, stamp: int, value: Any) -> None:
        """Add one value; calls `on_complete(stamp, values)` if it completes the set of `stamp` (ns)."""
        if stream not in self.streams:
            raise ValueError(f'stream {stream!r} is not joined here; streams: {sorted(self.streams)}')
        if stamp <= self._last:
            self.late += 1
            return
        values = self._waiting.setdefault(stamp, {})
        values[stream] = value
        if len(values) == len(self.streams):
            self._last = stamp
            del self._waiting[stamp]
            self._drop([older for older in self._waiting if older < stamp])
            self._on_complete(stamp, values)
        elif len(self._waiting) > self._capacity:
            self._drop([min(self._waiting)])

    def _drop(self, stamps: list[int]) -> None:
        for stamp in stamps:
            del self._waiting[stamp]
        self.dropped += len(stamps)
