"""What drives a simulated robot needs from it: the one interface of all simulation backends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

NamedVector = dict[str, float]


@dataclass(frozen=True)
class JointReading:
    """One reading of all joints: position in rad or m, velocity per s, effort in Nm or N, each (J,)."""

    names: list[str]
    position: np.ndarray
    velocity: np.ndarray
    effort: np.ndarray


class Simulation(Protocol):
    """A robot, its sensors and its task, with simulated time that moves only in `advance`."""

    cameras: dict[str, tuple[int, int]]
    """(height, width) of every camera that can be rendered."""

    def reset(self, index: int) -> None:
        """Start number `index`; the same seed and index give the same start, bit for bit."""

    def command_joints(self, names: list[str], positions: np.ndarray, duration_s: float) -> None:
        """Move the named joints' set-points linearly to `positions` (N,) over the next `duration_s` of simulated time.

        Raises ValueError for an unknown name or a number that is not finite.
        """

    def command_action(self, action: np.ndarray) -> None:
        """The action (A,) of the next `advance`, for environments that take actions as they are."""

    def advance(self, duration_s: float) -> None:
        """Let `duration_s` of simulated time pass."""

    def joint_state(self) -> JointReading | None:
        """The joints as measured, or None when the environment has none."""

    def wrench(self) -> np.ndarray | None:
        """Load on the flange (6,) in the flange frame: force in N, then torque in Nm; None without a sensor."""

    def task_state(self) -> NamedVector:
        """Numbers that only a simulation knows; always `success` and `failure`, each 0 or 1."""

    def render(self, camera: str) -> np.ndarray:
        """The camera's picture now, (H, W, 3) uint8 RGB."""

    def camera_matrix(self, camera: str) -> np.ndarray:
        """Intrinsics (3, 3) in pixels, the centre of the first pixel being (0, 0)."""

    def close(self) -> None:
        """Free what the simulation holds."""
