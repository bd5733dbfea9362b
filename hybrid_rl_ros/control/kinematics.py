"""Forward and damped inverse kinematics of one arm, from its URDF (pinocchio)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pinocchio

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig, urdf_path

DAMPING = 1e-4
IK_TOLERANCE = 1e-5
IK_ITERATIONS = 50
# Of a redundant arm's way back to its resting posture, at most this share at once.
REST_SHARE = 0.2


@dataclass(frozen=True)
class Rest:
    """A posture (J,) that a redundant arm prefers, and how far all its joints together may move to it at once."""

    posture_rad: np.ndarray
    step_rad: float


class ArmKinematics:
    """The chain of `robot.arm_joints` up to `robot.tool_frame`; other joints stay at zero.

    Joint vectors are (J,) rad in the order of `robot.arm_joints`; poses are pinocchio SE3 of the tool frame in
    the base frame, m.
    """

    def __init__(self, robot: RobotConfig) -> None:
        path = urdf_path(robot)
        try:
            full = pinocchio.buildModelFromUrdf(str(path))
        except ValueError as error:
            raise UserError(f'{path}: not a readable URDF: {error}') from None
        missing = [name for name in robot.arm_joints if not full.existJointName(name)]
        if missing:
            raise UserError(f'{path}: no joint {missing[0]!r}, which robot {robot.name} lists in arm_joints')
        if not full.existFrame(robot.tool_frame):
            raise UserError(f'{path}: no frame {robot.tool_frame!r}, which robot {robot.name} names as tool_frame')
        if not full.existFrame(robot.base_frame):
            raise UserError(f'{path}: no frame {robot.base_frame!r}, which robot {robot.name} names as base_frame')
        base = full.frames[full.getFrameId(robot.base_frame)]
        if base.parentJoint != 0 or not base.placement.isIdentity(1e-9):
            raise UserError(
                f'{path}: base_frame {robot.base_frame!r} is not the root of the URDF; workspace and poses are counted '
                'from the root, so leave out what the arm stands on, or name the root'
            )
        turning = [name for name in robot.arm_joints if full.joints[full.getJointId(name)].nq != 1]
        if turning:
            raise UserError(f'{path}: joint {turning[0]!r} has no limits (continuous); make it revolute, with limits')
        others = [full.getJointId(name) for name in full.names[1:] if name not in robot.arm_joints]
        self._model = pinocchio.buildReducedModel(full, others, pinocchio.neutral(full))
        self._data = self._model.createData()
        self._frame = self._model.getFrameId(robot.tool_frame)
        # The URDF may list joints in another order than the robot's file does.
        self._to_model = np.array([list(robot.arm_joints).index(name) for name in self._model.names[1:]])
        self._from_model = np.argsort(self._to_model)
        self.lower_rad = self._model.lowerPositionLimit[self._from_model]
        self.upper_rad = self._model.upperPositionLimit[self._from_model]

    def tool_pose(self, joints_rad: np.ndarray) -> pinocchio.SE3:
        """Pose of the tool frame in the base frame."""
        pinocchio.framesForwardKinematics(self._model, self._data, joints_rad[self._to_model])
        return pinocchio.SE3(self._data.oMf[self._frame])

    def has_frame(self, name: str) -> bool:
        return bool(self._model.existFrame(name))

    def rotation(self, frame: str, joints_rad: np.ndarray) -> np.ndarray:
        """(3, 3) of a frame of the URDF (see has_frame), in the base frame."""
        pinocchio.framesForwardKinematics(self._model, self._data, joints_rad[self._to_model])
        return self._data.oMf[self._model.getFrameId(frame)].rotation.copy()

    def tool_velocity(self, joints_rad: np.ndarray, joints_rad_s: np.ndarray) -> np.ndarray:
        """Linear velocity (3,) m/s of the tool frame's origin, along the base frame's axes."""
        return self.tool_twist(joints_rad, joints_rad_s)[:3]

    def tool_twist(self, joints_rad: np.ndarray, joints_rad_s: np.ndarray) -> np.ndarray:
        """(6,): linear (m/s) and angular (rad/s) velocity of the tool frame, along the base frame's axes."""
        jacobian = pinocchio.computeFrameJacobian(
            self._model, self._data, joints_rad[self._to_model], self._frame, pinocchio.LOCAL_WORLD_ALIGNED
        )
        return jacobian @ joints_rad_s[self._to_model]

    def solve(self, start_rad: np.ndarray, target: pinocchio.SE3, rest: Rest | None = None) -> np.ndarray:
        """Joints (J,) that bring the tool to `target` (or as near as the limits allow), starting from `start_rad`.

        Damped least squares on the 6-D pose error (Levenberg-Marquardt form), clipped to the joint limits. What a
        redundant arm is free to do beside that brings it a little nearer to `rest`: left to itself its elbow wanders,
        and after hours stands anywhere.
        """
        lower, upper = self._model.lowerPositionLimit, self._model.upperPositionLimit
        q = start_rad[self._to_model].copy()
        if rest is not None:
            q = np.clip(self._nearer(q, rest), lower, upper)
        for _ in range(IK_ITERATIONS):
            pinocchio.framesForwardKinematics(self._model, self._data, q)
            error = pinocchio.log6(self._data.oMf[self._frame].actInv(target)).vector
            if np.abs(error).max() < IK_TOLERANCE:
                break
            jacobian = pinocchio.computeFrameJacobian(self._model, self._data, q, self._frame, pinocchio.LOCAL)
            step = _damped_step(jacobian, error)
            # A joint at its limit that is asked further out takes no part: the others make up for it.
            stuck = ((q <= lower) & (step < 0.0)) | ((q >= upper) & (step > 0.0))
            if stuck.any():
                step = _damped_step(np.where(stuck, 0.0, jacobian), error)
            q = np.clip(q + step, lower, upper)
        return q[self._from_model]

    def _nearer(self, q: np.ndarray, rest: Rest) -> np.ndarray:
        """A short way from `q` to `rest`, in the model's order, that leaves the tool where it is."""
        jacobian = pinocchio.computeFrameJacobian(self._model, self._data, q, self._frame, pinocchio.LOCAL)
        free = np.linalg.svd(jacobian)[2][len(jacobian) :]
        left = rest.posture_rad[self._to_model] - q
        # Half a turn or more off, a driver counts that joint's angle otherwise: it is left where it is.
        way = free.T @ (free @ np.where(np.abs(left) < np.pi, left, 0.0))
        length = float(np.linalg.norm(way))
        return q + way * min(REST_SHARE, rest.step_rad / length) if length > 0.0 else q


def _damped_step(jacobian: np.ndarray, error: np.ndarray) -> np.ndarray:
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + DAMPING * np.eye(6), error)
