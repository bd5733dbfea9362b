"""The action space `ee_delta`: small translations of the tool in the base frame, and a gripper opening."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pinocchio

from hybrid_rl_ros.config import ActionConfig
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.robot_config import RobotConfig

# The set-point may lead the measured tool by this many full steps; beyond that the arm is being held back.
LEASH_STEPS = 2.0


@dataclass(frozen=True)
class ArmCommand:
    """Where the joints should be at the end of the control step.

    arm_rad (J,); gripper_m: position of each finger joint, or None; executed (A,): the action inside its bounds, as a
    learner should see it; moved_m (3,): the tool's set-point motion that the workspace and speed limits let through.
    A learner must not see `moved_m` in place of the action: at the edge of the workspace it would never learn what
    pushing outwards does, and would come to prefer it.
    """

    arm_rad: np.ndarray
    gripper_m: float | None
    executed: np.ndarray
    moved_m: np.ndarray


class EeDeltaController:
    """Turns [dx, dy, dz(, gripper)] into joint positions, inside the workspace box and the speed limits.

    dx, dy, dz in m along the base axes; gripper in [-1, 1] from closed to open. The tool's orientation is kept as
    it was at `sync`.
    """

    def __init__(self, kinematics: ArmKinematics, robot: RobotConfig, action: ActionConfig, period_s: float) -> None:
        self._kinematics = kinematics
        self._robot = robot
        self._max_step_m = action.max_step_m
        self._max_joint_step_rad = np.array(robot.joint_speeds_rad_s) * period_s
        self._has_gripper = action.gripper and bool(robot.gripper.joints)
        self._low = np.array(robot.limits.workspace_low_m)
        self._high = np.array(robot.limits.workspace_high_m)
        self._joints = np.array(robot.home_rad, dtype=float)
        self._pose = kinematics.tool_pose(self._joints)

    def sync(self, measured_rad: np.ndarray) -> None:
        """Start from where the arm is: the next command moves from the measured state, without a jump."""
        self._joints = np.asarray(measured_rad, dtype=float).copy()
        self._pose = self._kinematics.tool_pose(self._joints)

    def step(self, action: np.ndarray, measured_rad: np.ndarray) -> ArmCommand:
        """One control step. Raises ValueError for an action that is not finite or of the wrong length."""
        size = 4 if self._has_gripper else 3
        if action.shape != (size,) or not np.isfinite(action).all():
            raise ValueError(f'expected {size} finite numbers, got {np.array2string(action, precision=3)}')
        self._shorten_leash(measured_rad)
        start = self._pose.translation.copy()
        delta = np.clip(action[:3], -self._max_step_m, self._max_step_m)
        # A set-point outside the box may stay where it is or come back, never go further out.
        goal = np.clip(start + delta, np.minimum(self._low, start), np.maximum(self._high, start))
        joints = self._reach(goal)
        fastest = (np.abs(joints - self._joints) / self._max_joint_step_rad).max()
        if fastest > 1.0:
            goal = start + (goal - start) / fastest
            joints = self._joints + (joints - self._joints) / fastest
        self._joints = joints
        self._pose = pinocchio.SE3(self._pose.rotation, self._kinematics.tool_pose(joints).translation)
        moved = self._pose.translation - start
        if not self._has_gripper:
            return ArmCommand(joints, None, delta, moved)
        gripper = float(np.clip(action[3], -1.0, 1.0))
        closed, opened = self._robot.gripper.closed, self._robot.gripper.open
        finger_m = closed + (gripper + 1.0) / 2.0 * (opened - closed)
        return ArmCommand(joints, finger_m, np.append(delta, gripper), moved)

    def _reach(self, goal: np.ndarray) -> np.ndarray:
        return self._kinematics.solve(self._joints, pinocchio.SE3(self._pose.rotation, goal))

    def _shorten_leash(self, measured_rad: np.ndarray) -> None:
        measured = self._kinematics.tool_pose(np.asarray(measured_rad, dtype=float)).translation
        lead = self._pose.translation - measured
        excess = np.linalg.norm(lead) / (LEASH_STEPS * self._max_step_m)
        if excess > 1.0:
            self._pose = pinocchio.SE3(self._pose.rotation, measured + lead / excess)
            self._joints = self._reach(self._pose.translation)
