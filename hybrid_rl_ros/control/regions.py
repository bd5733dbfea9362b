"""Where the arm may be: each region tells by how much a posture is outside of it."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.robot_config import RobotConfig


class Region(Protocol):
    """A set of allowed postures. `name` is what a refusal is reported as."""

    name: str

    def excess(self, joints_rad: np.ndarray) -> float:
        """How far outside the joints (J,) put the arm: 0 at the edge, negative inside; m or rad."""


class WorkspaceBox:
    """The tool frame's origin stays in a box of the base frame."""

    name = 'workspace'

    def __init__(self, robot: RobotConfig, kinematics: ArmKinematics) -> None:
        self._kinematics = kinematics
        self._low = np.array(robot.limits.workspace_low_m)
        self._high = np.array(robot.limits.workspace_high_m)

    def excess(self, joints_rad: np.ndarray) -> float:
        tool = self._kinematics.tool_pose(joints_rad).translation
        return float(np.maximum(self._low - tool, tool - self._high).max())


class TiltCone:
    """The tool's z axis stays within an angle of where it points at home."""

    name = 'tilt'

    def __init__(self, robot: RobotConfig, kinematics: ArmKinematics) -> None:
        self._kinematics = kinematics
        self._max_rad = robot.limits.max_tilt_rad
        self._axis = kinematics.tool_pose(np.array(robot.home_rad, dtype=float)).rotation[:, 2]

    def excess(self, joints_rad: np.ndarray) -> float:
        axis = self._kinematics.tool_pose(joints_rad).rotation[:, 2]
        return math.acos(float(np.clip(axis @ self._axis, -1.0, 1.0))) - self._max_rad


def regions_of(robot: RobotConfig, kinematics: ArmKinematics) -> list[Region]:
    """Every region that the robot's limits ask for. Raises UserError for a URDF without collision shapes."""
    regions: list[Region] = [WorkspaceBox(robot, kinematics)]
    if robot.limits.max_tilt_rad < math.pi:
        regions.append(TiltCone(robot, kinematics))
    if robot.limits.self_distance_m is not None or robot.limits.scene:
        # Imported only where it is used: the collision library is the heaviest part of the gate.
        from hybrid_rl_ros.control.collision import collision_regions

        regions += collision_regions(robot)
    return regions
