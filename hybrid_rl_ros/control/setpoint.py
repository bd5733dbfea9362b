"""What the safety gate tells the arm, in every form that a controller may take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SetPoint:
    """Where the arm should be `duration_s` from now, and how it moves there.

    position_rad, velocity_rad_s (J,): in the order of robot.arm_joints. tool_position_m (3,), tool_quaternion (4,)
    xyzw: the tool frame in the base frame at that position. tool_twist (6,): linear (m/s) and angular (rad/s) velocity
    of the tool frame along the base frame's axes.
    """

    position_rad: np.ndarray
    velocity_rad_s: np.ndarray
    tool_position_m: np.ndarray
    tool_quaternion: np.ndarray
    tool_twist: np.ndarray
    duration_s: float
