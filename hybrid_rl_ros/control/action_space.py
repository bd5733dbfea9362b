"""What an action means: from its numbers to where the joints and the fingers should be one control step later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio

from hybrid_rl_ros.config import ActionConfig
from hybrid_rl_ros.control.kinematics import ArmKinematics, Rest
from hybrid_rl_ros.data.specs import Dimension
from hybrid_rl_ros.robot_config import RobotConfig

# The goal may lead the measured arm by this many full steps; beyond that the arm is being held back.
LEASH_STEPS = 2.0
# How fast the elbow of a redundant arm goes back to where it is at home, and the tool to its orientation there, while
# the tool moves.
REST_RAD_S = 0.15
# Of a discrete gripper: above opens, below the negative closes, in between the fingers keep their goal.
DISCRETE_THRESHOLD = 0.5


@dataclass(frozen=True)
class Target:
    """Where the arm should be at the end of the control step.

    arm_rad (J,); gripper: position of each gripper joint, or None to leave it; executed (A,): the action inside its
    bounds, as a learner should see it; moved_m (3,): the tool's motion that the workspace and the speeds let through.
    A learner must not see `moved_m` in place of the action: at the edge of the workspace it would never learn what
    pushing outwards does, and would come to prefer it.
    """

    arm_rad: np.ndarray
    gripper: float | None
    executed: np.ndarray
    moved_m: np.ndarray


class ActionSpace:
    """Maps actions to targets; subclasses say what the arm's numbers mean.

    `dimensions` are the arm's numbers, in order, and then `gripper` in [-1, 1] from closed to open.
    """

    def __init__(self, kinematics: ArmKinematics, robot: RobotConfig, action: ActionConfig, period_s: float) -> None:
        self.dimensions = action_dimensions(robot, action, kinematics)
        self._kinematics, self._robot, self._action = kinematics, robot, action
        self._low = np.array([dimension.low for dimension in self.dimensions])
        self._high = np.array([dimension.high for dimension in self.dimensions])
        self._has_gripper = self.dimensions[-1].name == 'gripper'
        self._max_joint_step_rad = np.array(robot.joint_speeds_rad_s) * period_s
        self._joints = np.array(robot.home_rad, dtype=float)
        self._finger: float | None = None

    def sync(self, measured_rad: np.ndarray) -> None:
        """Start from where the arm is: the next target lies one step from the measured state, without a jump."""
        self._joints = np.asarray(measured_rad, dtype=float).copy()
        self._finger = None

    def step(self, action: np.ndarray, measured_rad: np.ndarray) -> Target:
        """One control step. Raises ValueError for an action that is not finite or of the wrong length."""
        size = len(self.dimensions)
        if action.shape != (size,) or not np.isfinite(action).all():
            raise ValueError(f'expected {size} finite numbers, got {np.array2string(action, precision=3)}')
        executed = np.clip(action, self._low, self._high)
        start = self._kinematics.tool_pose(self._joints).translation
        self._joints = self._slowed(self._goal(executed, np.asarray(measured_rad, dtype=float)))
        self._arrived()
        moved = self._kinematics.tool_pose(self._joints).translation - start
        if self._has_gripper:
            self._finger = self._finger_goal(float(executed[-1]))
        return Target(self._joints, self._finger, executed, moved)

    def _goal(self, executed: np.ndarray, measured_rad: np.ndarray) -> np.ndarray:
        """(J,) the joints that the arm's numbers ask for."""
        raise NotImplementedError

    def _arrived(self) -> None:
        """The joints have their new target."""

    def _slowed(self, goal: np.ndarray) -> np.ndarray:
        """As far towards `goal` as the joints can go in one control step."""
        way = goal - self._joints
        return self._joints + way / max(1.0, (np.abs(way) / self._max_joint_step_rad).max())

    def _finger_goal(self, gripper: float) -> float | None:
        if self._action.gripper_mode == 'discrete':
            if abs(gripper) <= DISCRETE_THRESHOLD:
                return self._finger
            gripper = 1.0 if gripper > 0 else -1.0
        closed, opened = self._robot.gripper.closed, self._robot.gripper.open
        return closed + (gripper + 1.0) / 2.0 * (opened - closed)


class ToolDelta(ActionSpace):
    """`ee_delta`: small translations, and rotations if asked for, of the tool along the base's or the tool's axes.

    Without rotations the tool keeps the orientation that it had at `sync`, and comes back to home's while it moves: by
    contacts it would otherwise be turned a little more at every start. (With fewer than six joints it cannot.) A
    redundant arm keeps its elbow near home.
    """

    def __init__(self, kinematics: ArmKinematics, robot: RobotConfig, action: ActionConfig, period_s: float) -> None:
        super().__init__(kinematics, robot, action, period_s)
        self._upright = kinematics.tool_pose(np.array(robot.home_rad)).rotation
        self._turns_back_rad = REST_RAD_S * period_s if len(robot.arm_joints) >= 6 else 0.0
        # An arm of six joints or fewer is not free to choose its elbow.
        redundant = len(robot.arm_joints) > 6
        self._rest = Rest(np.array(robot.home_rad), REST_RAD_S * period_s) if redundant else None
        self._box_low, self._box_high = np.array(robot.limits.workspace_low_m), np.array(robot.limits.workspace_high_m)
        self._pose = kinematics.tool_pose(self._joints)

    def sync(self, measured_rad: np.ndarray) -> None:
        super().sync(measured_rad)
        self._pose = self._kinematics.tool_pose(self._joints)

    def _goal(self, executed: np.ndarray, measured_rad: np.ndarray) -> np.ndarray:
        self._shorten_leash(measured_rad)
        start = self._pose
        delta, turn = executed[:3], executed[3:6] if self._action.rotation else np.zeros(3)
        if self._action.frame == 'tool':
            delta, turn = start.rotation @ delta, start.rotation @ turn
        # A goal outside the box may stay where it is or come back, never go further out.
        low, high = np.minimum(self._box_low, start.translation), np.maximum(self._box_high, start.translation)
        goal = np.clip(start.translation + delta, low, high)
        if not (delta.any() or turn.any()):
            # An arm that is told to stand stands altogether.
            return self._kinematics.solve(self._joints, pinocchio.SE3(start.rotation, goal))
        if not self._action.rotation:
            self._pose = pinocchio.SE3(self._more_upright(start.rotation), start.translation)
        pose = pinocchio.SE3(pinocchio.exp3(turn) @ self._pose.rotation, goal)
        return self._kinematics.solve(self._joints, pose, self._rest)

    def _more_upright(self, rotation: np.ndarray) -> np.ndarray:
        back = pinocchio.log3(rotation.T @ self._upright)
        angle = float(np.linalg.norm(back))
        return rotation @ pinocchio.exp3(back * min(1.0, self._turns_back_rad / angle)) if angle > 0.0 else rotation

    def _arrived(self) -> None:
        reached = self._kinematics.tool_pose(self._joints)
        self._pose = reached if self._action.rotation else pinocchio.SE3(self._pose.rotation, reached.translation)

    def _shorten_leash(self, measured_rad: np.ndarray) -> None:
        """A goal that runs ahead of an arm that is held back would make it jump once it is free."""
        measured = self._kinematics.tool_pose(measured_rad)
        lead = self._pose.translation - measured.translation
        turn = pinocchio.log3(measured.rotation.T @ self._pose.rotation)
        too_far = float(np.linalg.norm(lead)) / (LEASH_STEPS * self._action.max_step_m)
        too_much = float(np.linalg.norm(turn)) / (LEASH_STEPS * self._action.max_step_rad)
        if too_far <= 1.0 and (too_much <= 1.0 or not self._action.rotation):
            return
        rotation = self._pose.rotation
        if self._action.rotation:
            rotation = measured.rotation @ pinocchio.exp3(turn / max(1.0, too_much))
        self._pose = pinocchio.SE3(rotation, measured.translation + lead / max(1.0, too_far))
        self._joints = self._kinematics.solve(self._joints, self._pose)


class JointSpace(ActionSpace):
    """`joint_delta`: small motions of each joint; `joint_position`: where each joint should be, rad."""

    def _goal(self, executed: np.ndarray, measured_rad: np.ndarray) -> np.ndarray:
        numbers = executed[: len(self._joints)]
        if self._action.space == 'joint_position':
            leash_rad = LEASH_STEPS * self._max_joint_step_rad
            return np.clip(numbers, measured_rad - leash_rad, measured_rad + leash_rad)
        leash = LEASH_STEPS * self._action.max_step_rad
        start = np.clip(self._joints, measured_rad - leash, measured_rad + leash)
        return np.clip(start + numbers, self._kinematics.lower_rad, self._kinematics.upper_rad)


def make_action_space(
    kinematics: ArmKinematics, robot: RobotConfig, action: ActionConfig, period_s: float
) -> ActionSpace:
    """The action space that `action.space` names."""
    kind = ToolDelta if action.space == 'ee_delta' else JointSpace
    return kind(kinematics, robot, action, period_s)


def joint_names(joints: Sequence[str]) -> list[str]:
    """What `joint_delta` calls the number of each joint."""
    return [f'{name}.delta' for name in joints]


def joint_action_names(joints: Sequence[str], names: Sequence[str]) -> list[str]:
    """What a reset may give in place of the run's own `names`: those of `joint_delta`, and the gripper of `names`."""
    return [*joint_names(joints), *(name for name in names if name == 'gripper')]


def action_dimensions(robot: RobotConfig, action: ActionConfig, kinematics: ArmKinematics) -> tuple[Dimension, ...]:
    """Names, units and bounds of an action's numbers, in order."""
    step, turn = action.max_step_m, action.max_step_rad
    if action.space == 'ee_delta':
        dimensions = [Dimension(name=f'ee.d{axis}', unit='m', low=-step, high=step) for axis in 'xyz']
        if action.rotation:
            dimensions += [Dimension(name=f'ee.dr{axis}', unit='rad', low=-turn, high=turn) for axis in 'xyz']
    elif action.space == 'joint_delta':
        dimensions = [Dimension(name=name, unit='rad', low=-turn, high=turn) for name in joint_names(robot.arm_joints)]
    else:
        limits = zip(robot.arm_joints, kinematics.lower_rad.tolist(), kinematics.upper_rad.tolist())
        dimensions = [Dimension(name=f'{name}.position', unit='rad', low=a, high=b) for name, a, b in limits]
    if action.gripper and robot.gripper.joints:
        dimensions.append(Dimension(name='gripper', unit='1', low=-1.0, high=1.0))
    return tuple(dimensions)
