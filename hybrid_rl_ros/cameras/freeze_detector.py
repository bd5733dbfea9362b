"""Tells a camera that shows the same picture again and again from a live one."""

from __future__ import annotations

import zlib
from typing import Literal

import numpy as np

Liveliness = Literal['live', 'repeated', 'frozen']


class FreezeDetector:
    """Compares the content of each frame with the one before: a real sensor's noise never repeats.

    `repeated` from the `repeated_after`-th equal frame on, `frozen` once that has also lasted `frozen_after_s`.
    """

    def __init__(self, repeated_after: int, frozen_after_s: float) -> None:
        self._repeated_after, self._frozen_after_s = repeated_after, frozen_after_s
        self._content: int | None = None
        self._equal_frames = 0
        self._since_s = 0.0
        self.repeated = 0

    def see(self, image: np.ndarray, at_s: float) -> Liveliness:
        """What the camera is, with `image` captured at `at_s` of a steady clock."""
        content = zlib.crc32(np.ascontiguousarray(image).data)
        if content != self._content:
            self._content, self._equal_frames, self._since_s = content, 1, at_s
            return 'live'
        self._equal_frames += 1
        self.repeated += 1
        if self._equal_frames < self._repeated_after:
            return 'live'
        return 'frozen' if at_s - self._since_s >= self._frozen_after_s else 'repeated'
