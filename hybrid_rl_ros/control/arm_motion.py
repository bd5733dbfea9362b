"""From actions to set-points: the action space says where to, the motion filter how."""

from __future__ import annotations

import numpy as np
import pinocchio

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.action_space import Target, make_action_space
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.motion_filter import Motion, MotionFilter, Push
from hybrid_rl_ros.control.regions import regions_of
from hybrid_rl_ros.control.setpoint import SetPoint
from hybrid_rl_ros.robot_config import RobotConfig

MOST_DROOP_RAD = 0.05


class ArmMotion:
    """Follows one action after another, interpolating between control steps at robot.command.rate_hz."""

    def __init__(self, config: Config, robot: RobotConfig) -> None:
        """Raises UserError for a robot whose URDF does not fit."""
        self.period_s = 1.0 / robot.command.rate_hz
        self.speed_scale = 1.0
        self.push: Push | None = None
        self.limited_by: set[str] = set()
        self._kinematics = ArmKinematics(robot)
        self._step_s = config.control_period_s
        self._space = make_action_space(self._kinematics, robot, config.action, self._step_s)
        self._filter = MotionFilter(robot, self._kinematics, regions_of(robot, self._kinematics), self.period_s)
        self._goal = self._filter.position
        self._left_s = 0.0
        self._commanded: np.ndarray | None = None

    def forget(self) -> None:
        """The arm was moved by something else (a reset, a person): the next start is where it is measured."""
        self._commanded = None

    @property
    def at_rest(self) -> bool:
        return self._filter.at_rest

    def start_at(self, measured_rad: np.ndarray) -> SetPoint:
        """Stand still where the arm is. Raises ValueError for joints (J,) that are not finite.

        An arm that only droops a little below its last set-point keeps that: taken anew at every hold, the droop would
        add up and lower the arm.
        """
        kept = self._commanded is not None and np.abs(self._commanded - measured_rad).max() < MOST_DROOP_RAD
        start = self._commanded if kept and self._commanded is not None else measured_rad
        self._filter.start_at(start)
        self._space.sync(start)
        self._goal, self._left_s = self._filter.position, 0.0
        return self._setpoint(Motion(self._filter.position, self._filter.velocity, ()), self.period_s)

    def act(self, action: np.ndarray, measured_rad: np.ndarray) -> Target:
        """Take an action for the next control step. Raises ValueError if it is not finite or of the wrong length."""
        target = self._space.step(action, measured_rad)
        self._goal, self._left_s = target.arm_rad, self._step_s
        return target

    def tick(self) -> SetPoint:
        """One command period towards the goal. The limits that changed the way there gather in `limited_by`."""
        return self._setpoint(self._advance(), self.period_s)

    def whole_step(self) -> SetPoint:
        """All command periods of a control step at once, as lock-step needs it."""
        for _ in range(max(1, round(self._step_s / self.period_s))):
            motion = self._advance()
        return self._setpoint(motion, self._step_s)

    def brake(self) -> SetPoint:
        """One command period of slowing down as fast as the accelerations allow."""
        self._goal, self._left_s = self._filter.position, 0.0
        return self._setpoint(self._filter.brake(), self.period_s)

    def tool_rotation(self, joints_rad: np.ndarray) -> np.ndarray:
        """(3, 3) of the tool frame in the base frame."""
        return self._kinematics.tool_pose(joints_rad).rotation

    def _advance(self) -> Motion:
        motion = self._filter.step(self._goal, self._left_s, self.speed_scale, self.push)
        self._left_s = max(0.0, self._left_s - self.period_s)
        # What rounding leaves of a control step is not a step of its own.
        self._left_s = self._left_s if self._left_s > self.period_s / 2 else 0.0
        self.limited_by |= set(motion.limited_by)
        return motion

    def _setpoint(self, motion: Motion, duration_s: float) -> SetPoint:
        self._commanded = motion.position_rad
        pose = self._kinematics.tool_pose(motion.position_rad)
        return SetPoint(
            position_rad=motion.position_rad,
            velocity_rad_s=motion.velocity_rad_s,
            tool_position_m=pose.translation,
            tool_quaternion=pinocchio.Quaternion(pose.rotation).coeffs(),
            tool_twist=self._kinematics.tool_twist(motion.position_rad, motion.velocity_rad_s),
            duration_s=duration_s,
        )
