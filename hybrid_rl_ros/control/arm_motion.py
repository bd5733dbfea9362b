"""From actions to set-points: the action space says where to, the motion filter how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pinocchio

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.action_space import JointSpace, Target, make_action_space
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.motion_filter import Motion, MotionFilter, Push
from hybrid_rl_ros.control.regions import regions_of
from hybrid_rl_ros.control.setpoint import SetPoint
from hybrid_rl_ros.robot_config import RobotConfig

MOST_DROOP_RAD = 0.05
# What a velocity controller is told beyond the planned speed, for each rad that the arm is off its set-point.
CORRECTION_PER_S = 4.0
# How old the measured joints are by then: an arm on its way is not behind for that.
MEASURED_AGO_S = 0.03


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
        self._policy_space = self._space = make_action_space(self._kinematics, robot, config.action, self._step_s)
        by_joints = config.action.model_copy(update={'space': 'joint_delta'})
        self._joint_space = JointSpace(self._kinematics, robot, by_joints, self._step_s)
        self._filter = MotionFilter(robot, self._kinematics, regions_of(robot, self._kinematics), self.period_s)
        self._is_velocity = robot.command.is_velocity
        self._top_rad_s = np.array(robot.joint_speeds_rad_s)
        self._top_m_s = robot.limits.ee_speed_m_s
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

    def act(self, action: np.ndarray, measured_rad: np.ndarray, by_joints: bool = False) -> Target:
        """Take an action for the next control step. Raises ValueError if it is not finite or of the wrong length.

        `by_joints`: its numbers are of `joint_delta`, whatever the policy's are; so a reset may turn the joints.
        """
        space = self._joint_space if by_joints else self._policy_space
        if space is not self._space:
            self._space = space
            space.sync(self._filter.position)
        target = self._space.step(action, measured_rad)
        self._goal, self._left_s = target.arm_rad, self._step_s
        return target

    def tick(self, measured_rad: np.ndarray) -> SetPoint:
        """One command period towards the goal. The limits that changed the way there gather in `limited_by`."""
        setpoint = self._setpoint(self._advance(), self.period_s)
        # Against a push nothing is made up for.
        return self._corrected(setpoint, measured_rad) if self._is_velocity and self.push is None else setpoint

    def stand(self, measured_rad: np.ndarray) -> SetPoint:
        """No motion at all where the arm is measured, for a controller that would keep its last velocity."""
        pose = self._kinematics.tool_pose(measured_rad)
        none = np.zeros_like(measured_rad)
        return SetPoint(
            measured_rad, none, pose.translation, _quaternion(pose.rotation), np.zeros(6), duration_s=self.period_s
        )

    def whole_step(self) -> SetPoint:
        """All command periods of a control step at once, as lock-step needs it."""
        for _ in range(max(1, round(self._step_s / self.period_s))):
            motion = self._advance()
        return self._setpoint(motion, self._step_s)

    def brake(self) -> SetPoint:
        """One command period of slowing down as fast as the accelerations allow."""
        self._goal, self._left_s = self._filter.position, 0.0
        return self._setpoint(self._filter.brake(), self.period_s)

    def has_frame(self, name: str) -> bool:
        return self._kinematics.has_frame(name)

    def rotation(self, frame: str, joints_rad: np.ndarray) -> np.ndarray:
        """(3, 3) of a frame of the URDF in the base frame."""
        return self._kinematics.rotation(frame, joints_rad)

    def _advance(self) -> Motion:
        motion = self._filter.step(self._goal, self._left_s, self.speed_scale, self.push)
        self._left_s = max(0.0, self._left_s - self.period_s)
        # What rounding leaves of a control step is not a step of its own.
        self._left_s = self._left_s if self._left_s > self.period_s / 2 else 0.0
        self.limited_by |= set(motion.limited_by)
        return motion

    def _corrected(self, setpoint: SetPoint, measured_rad: np.ndarray) -> SetPoint:
        """With velocities that also make up for what the arm is off its set-point, within the speed limits."""
        expected = setpoint.position_rad - MEASURED_AGO_S * setpoint.velocity_rad_s
        behind = np.clip(expected - measured_rad, -MOST_DROOP_RAD, MOST_DROOP_RAD)
        velocity = setpoint.velocity_rad_s + CORRECTION_PER_S * behind
        twist = self._kinematics.tool_twist(measured_rad, velocity)
        fastest = max((np.abs(velocity) / self._top_rad_s).max(), np.linalg.norm(twist[:3]) / self._top_m_s, 1.0)
        return replace(setpoint, velocity_rad_s=velocity / fastest, tool_twist=twist / fastest)

    def _setpoint(self, motion: Motion, duration_s: float) -> SetPoint:
        self._commanded = motion.position_rad
        pose = self._kinematics.tool_pose(motion.position_rad)
        return SetPoint(
            position_rad=motion.position_rad,
            velocity_rad_s=motion.velocity_rad_s,
            tool_position_m=pose.translation,
            tool_quaternion=_quaternion(pose.rotation),
            tool_twist=self._kinematics.tool_twist(motion.position_rad, motion.velocity_rad_s),
            duration_s=duration_s,
        )


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """(4,) xyzw."""
    return pinocchio.Quaternion(rotation).coeffs()
