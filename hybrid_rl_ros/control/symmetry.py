"""Whether an arm and what is observed of it can be their own mirror image, as `symmetry: left_right` says."""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.data.reflection import signs_of
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig

MOST_BESIDE_M = 0.01
MOST_TURNED_RAD = 0.05
MEND = 'or leave symmetry out'


def require_symmetry(config: Config, specs: Specs, robot: RobotConfig, kinematics: ArmKinematics) -> None:
    """Raises UserError for a number without a mirror image, and for a tool that begins beside the mirror's plane.

    Where cameras are, what they see and what the task asks for is not known here.
    """
    if config.symmetry == 'none':
        return
    try:
        signs_of([*specs.observation.state.names, *specs.action.names])
    except ValueError as error:
        raise UserError(f'symmetry: left_right: {error}; observe other numbers, {MEND}') from None
    tool = kinematics.tool_pose(np.array(robot.home_rad))
    beside_m, turned_rad = float(tool.translation[1]), float(np.arcsin(np.clip(tool.rotation[1, 0], -1.0, 1.0)))
    if abs(beside_m) > MOST_BESIDE_M or abs(turned_rad) > MOST_TURNED_RAD:
        raise UserError(
            f'symmetry: left_right: at home_rad the tool of robot {robot.name} is {beside_m:.3f} m beside the x-z '
            f"plane of the base, and its x axis {turned_rad:.2f} rad out of it; mend the robot's home, {MEND}"
        )
