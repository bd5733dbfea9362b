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
        positions, velocities = self.steps(1)
        return positions[0], velocities[0]

    def steps(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(count, J) positions at the ends of the next `count` >= 1 time steps, and velocities during them."""
        left = self._steps_left
        change = (self._target - self.position) / np.maximum(left, 1)
        passed = np.arange(1, count + 1)[:, None]
        # The last step lands on the target exactly, whatever was rounded on the way.
        positions = np.where(passed >= left, self._target, self.position + passed * change)
        velocities = np.where(passed <= np.maximum(left, 1), change / self._timestep_s, 0.0)
        self.position = positions[-1].copy()
        self._steps_left = np.maximum(left - count, 0)
        return positions, velocities
