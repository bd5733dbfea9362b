"""Whether the tool gets nowhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np


class StuckWatch:
    """Stuck: the last `steps` positions all lie within `within_m` of the first of them."""

    def __init__(self, within_m: float, steps: int) -> None:
        self._within_m = within_m
        self._positions: deque[np.ndarray] = deque(maxlen=max(2, steps))

    def reset(self) -> None:
        self._positions.clear()

    def is_stuck(self, position_m: Sequence[float]) -> bool:
        """Take the position (3,) of one more step."""
        self._positions.append(np.array(position_m))
        if len(self._positions) < (self._positions.maxlen or 0):
            return False
        away = np.linalg.norm(np.array(self._positions) - self._positions[0], axis=1)
        return bool(away.max() <= self._within_m)
