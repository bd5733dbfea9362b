"""What a reset may ask of an arm, and what it is told of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybrid_rl_ros.config import ActionConfig
from hybrid_rl_ros.control.action_space import action_dimensions, joint_action_names
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.regions import Region, regions_of
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig

TOOL = ('ee.x', 'ee.y', 'ee.z')
OPENING = 'gripper.opening'
CARTESIAN = ('pose', 'twist')


@dataclass(frozen=True)
class Reach:
    """The names of the run's actions, the largest steps, and where the arm can be.

    workspace_m: its corners, (3,) m each. joints, home_rad and limits_rad (low, high; the gate's margin is off them):
    (J,). A reset's action has either all of `names` or all of `joint_actions`, and neither more nor less.
    """

    names: Sequence[str]
    max_step_m: float
    max_step_rad: float
    workspace_m: tuple[np.ndarray, np.ndarray]
    joints: Sequence[str]
    home_rad: np.ndarray
    limits_rad: tuple[np.ndarray, np.ndarray]
    robot: RobotConfig | None = None
    kinematics: ArmKinematics | None = None

    @classmethod
    def of(cls, robot: RobotConfig, action: ActionConfig, kinematics: ArmKinematics) -> Reach:
        margin = robot.limits.joint_margin_rad
        return cls(
            names=[dimension.name for dimension in action_dimensions(robot, action, kinematics)],
            max_step_m=action.max_step_m,
            max_step_rad=action.max_step_rad,
            workspace_m=(np.array(robot.limits.workspace_low_m), np.array(robot.limits.workspace_high_m)),
            joints=robot.arm_joints,
            home_rad=np.array(robot.home_rad),
            limits_rad=(kinematics.lower_rad + margin, kinematics.upper_rad - margin),
            robot=robot,
            kinematics=kinematics,
        )

    @property
    def has_gripper(self) -> bool:
        return 'gripper' in self.names

    @property
    def moves_tool(self) -> bool:
        """Whether the run's actions are motions of the tool, in m."""
        return list(self.names[:3]) == ['ee.dx', 'ee.dy', 'ee.dz']

    @property
    def elbow_is_others(self) -> bool:
        """Whether the arm's controller is told where the tool goes, and not the joints of a redundant arm."""
        return self.robot is not None and self.robot.command.type in CARTESIAN and len(self.joints) > 6

    @property
    def joint_actions(self) -> list[str]:
        """What safety_node takes of a reset whatever the policy's actions are: `joint_delta` of each joint, rad."""
        return joint_action_names(self.joints, self.names)

    @property
    def nowhere(self) -> dict[str, float]:
        """The action that stays where it is; where the run's are positions, zeros of them would not."""
        absolute = any(name.endswith('.position') for name in self.names)
        return dict.fromkeys(self.joint_actions if absolute else self.names, 0.0)

    @property
    def reads(self) -> list[str]:
        """What a reset is told of the arm."""
        return [*TOOL, *([OPENING] if self.has_gripper else []), *(f'{joint}.position' for joint in self.joints)]

    @cached_property
    def _regions(self) -> list[Region]:
        # With collision shapes it is the heaviest part of the gate, and few resets turn joints.
        return regions_of(self.robot, self.kinematics) if self.robot and self.kinematics else []

    def left_by(self, joints_rad: np.ndarray) -> str:
        """The name of a region that the gate keeps the arm in and this posture (J,) is outside of, or ''."""
        return next((region.name for region in self._regions if region.excess(joints_rad) > 0.0), '')

    def require_action(self, action: Mapping[str, float], whose: str) -> None:
        """Raises UserError for what safety_node would not take."""
        if action.keys() not in (set(self.names), set(self.joint_actions)):
            raise UserError(
                f'{whose}: an action of {", ".join(sorted(action)) or "nothing"}; expected each of '
                f'{", ".join(self.names)}, or each of {", ".join(self.joint_actions)}'
            )
        if spoilt := [name for name, value in action.items() if not math.isfinite(value)]:
            raise UserError(f'{whose}: {spoilt[0]} is {action[spoilt[0]]}')
