"""Joint set-points that move linearly, as a joint trajectory controller interpolates a one-point trajectory."""

from __future__ import annotations

import numpy as np


class SetPoints:
    """One set-point a joint, moving in whole time steps; all vectors are (J,) in rad or m."""

    def __init__(self, lower: np.ndarray, upper: np.ndarray, timestep_s: float) -> None:
        self._lower = lower
        self._upper = upper
        self._timestep_s = timestep_s
        self.start_at(np.zeros_like(lower))

    @property
    def moving(self) -> bool:
        return bool(self._steps_left.any())

    def start_at(self, position: np.ndarray) -> None:
        """Stand still at `position`."""
        self.position = np.array(position, dtype=float)
        self._target = self.position.copy()
        self._steps_left = np.zeros(len(self.position), dtype=np.int64)

    def move(self, joints: list[int], positions: np.ndarray, duration_s: float) -> None:
        """From where they are now, bring the set-points of `joints` to `positions`, clipped to the joint limits."""
        self._target[joints] = np.clip(positions, self._lower[joints], self._upper[joints])
        self._steps_left[joints] = max(1, round(duration_s / self._timestep_s))

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        """Position at the end of the next time step, and the velocity during it."""
        left = np.maximum(self._steps_left, 1)
        change = (self._target - self.position) / left
        # The last step lands on the target exactly, whatever rounding has gathered on the way.
        self.position = np.where(left == 1, self._target, self.position + change)
        self._steps_left = np.maximum(self._steps_left - 1, 0)
        return self.position, change / self._timestep_s
