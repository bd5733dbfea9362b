"""The force at the wrist: beyond its limit the tool may only give way."""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.control.watchdog import Watchdog
from hybrid_rl_ros.robot_config import RobotConfig


class WrenchWatch:
    """Follows the wrist's wrench (6,): force N and torque Nm that the surroundings exert, in the tool's axes."""

    def __init__(self, robot: RobotConfig, timeout_s: float) -> None:
        limits = robot.limits
        self.wanted = limits.force_n is not None or limits.torque_nm is not None
        self._force_n = limits.force_n or np.inf
        self._torque_nm = limits.torque_nm or np.inf
        self._watchdog = Watchdog(timeout_s, 0.0)
        self._wrench = np.zeros(6)

    def measured(self, wrench: np.ndarray, now_s: float) -> None:
        """A wrench that is not finite counts as none."""
        if np.isfinite(wrench).all():
            self._wrench = wrench
            self._watchdog.fed(now_s)

    def lost(self, now_s: float) -> bool:
        """Whether a wrench is wanted, has been there, and is there no more."""
        return self.wanted and self._watchdog.ever and self._watchdog.expired(now_s)

    def push(self, tool_rotation: np.ndarray) -> np.ndarray | None:
        """(3,) unit direction, base frame, in which the tool is pushed too hard, or None. See MotionFilter.step.

        A torque beyond its limit blocks every translation but along the force.
        """
        force, torque = self._wrench[:3], self._wrench[3:]
        size = float(np.linalg.norm(force))
        if size <= self._force_n and np.linalg.norm(torque) <= self._torque_nm:
            return None
        return tool_rotation @ force / max(size, 1e-9)
