"""Real-time iteration: a chunk begins as what is left of the one before it (RTI-DP, 2025)."""

from __future__ import annotations

import numpy as np


class WarmStart:
    """Keeps the newest chunk (h, A) with the control step that its first action was for.

        kept at step 3     | a0 | a1 | a2 | a3 |
        guess at step 5              | a2 | a3 | a3 | a3 |

    What counts is the steps that really went by, not those that were planned: a chunk that came late, or a step that
    was dropped, shifts it by as much.
    """

    def __init__(self) -> None:
        self._chunk: np.ndarray | None = None
        self._step = 0

    def reset(self) -> None:
        """An episode begins: the last one's end is no guess for it."""
        self._chunk = None

    def keep(self, chunk: np.ndarray, step: int) -> None:
        self._chunk, self._step = chunk, step

    def guess(self, step: int) -> np.ndarray | None:
        """(h, A) for a chunk that begins at `step`, its tail repeated; None where nothing is left of the last one."""
        if self._chunk is None or not self._step <= step < self._step + len(self._chunk):
            return None
        gone = step - self._step
        return np.concatenate([self._chunk[gone:], np.repeat(self._chunk[-1:], gone, axis=0)])
