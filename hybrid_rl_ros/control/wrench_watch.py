"""The force at the wrist: beyond its limit the tool may only give way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hybrid_rl_ros.control.motion_filter import Push
from hybrid_rl_ros.control.watchdog import Watchdog
from hybrid_rl_ros.robot_config import RobotConfig


class WrenchWatch:
    """Follows the wrist's wrench (6,): force N and torque Nm, in the axes of the frame that comes with it."""

    def __init__(self, robot: RobotConfig, timeout_s: float) -> None:
        limits = robot.limits
        self.wanted = limits.force_n is not None or limits.torque_nm is not None
        self._force_n = limits.force_n or np.inf
        self._torque_nm = limits.torque_nm or np.inf
        self._watchdog = Watchdog(timeout_s, 0.0)
        self._sign = robot.wrench_sign
        self._wrench = np.zeros(6)
        self._frame = robot.tool_frame

    def measured(self, wrench: np.ndarray, frame: str, now_s: float) -> None:
        """A wrench that is not finite counts as none."""
        if np.isfinite(wrench).all():
            self._wrench, self._frame = self._sign * wrench, frame
            self._watchdog.fed(now_s)

    def lost(self, now_s: float) -> bool:
        """Whether a wrench is wanted, has been there, and is there no more."""
        return self.wanted and self._watchdog.ever and self._watchdog.expired(now_s)

    def push(self, rotation: Callable[[str], np.ndarray]) -> Push | None:
        """What is beyond its limit, in the base frame, or None. See MotionFilter.step.

        `rotation(frame)` is (3, 3), of a frame in the base frame.
        """
        force = _beyond(self._wrench[:3], self._force_n)
        torque = _beyond(self._wrench[3:], self._torque_nm)
        if not force.any() and not torque.any():
            return None
        to_base = rotation(self._frame)
        return Push(to_base @ force, to_base @ torque)

    @property
    def heard(self) -> bool:
        return self._watchdog.ever


def _beyond(vector: np.ndarray, limit: float) -> np.ndarray:
    """The direction of `vector` if it is longer than `limit`, zeros otherwise."""
    size = float(np.linalg.norm(vector))
    return vector / size if size > limit else np.zeros(3)
