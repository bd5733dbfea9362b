"""A simulated arm on a table (MuJoCo), driven by joint set-points as a real one is."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig
from hybrid_rl_ros.sim.backend import JointReading, NamedVector
from hybrid_rl_ros.sim.layout import CAMERAS, FLANGE, camera_views
from hybrid_rl_ros.sim.rendering import SceneRenderer
from hybrid_rl_ros.sim.scene import build_scene
from hybrid_rl_ros.sim.setpoints import SetPoints
from hybrid_rl_ros.sim.tasks import Task

IK_ITERATIONS = 50
IK_DAMPING = 1e-4


class ArmSimulation:
    """The `Simulation` of one task with one arm. Positions are in the base frame, which is the world's."""

    def __init__(
        self,
        robot: RobotConfig,
        task: Task,
        seed: int,
        cameras: dict[str, tuple[int, int]],
        gl: str,
        tray: bool = False,
    ) -> None:
        """`cameras`: (height, width) of each of `front` and `wrist` that is wanted. Raises UserError."""
        for name in cameras:
            if name not in CAMERAS:
                raise UserError(f'observation.cameras: the simulated arm has no {name!r}, only {", ".join(CAMERAS)}')
        self.cameras = cameras
        self._robot = robot
        self._task = task
        self._seed = seed
        self._gl = gl
        self._renderer: SceneRenderer | None = None
        self._model = build_scene(robot, task, tray)
        self._data = mujoco.MjData(self._model)
        self._joints = [*robot.arm_joints, *robot.gripper.joints]
        self._qpos = np.array([self._model.joint(name).qposadr[0] for name in self._joints])
        self._dofs = np.array([self._model.joint(name).dofadr[0] for name in self._joints])
        self._tool = self._model.body(robot.tool_frame).id
        self._fingers = slice(len(robot.arm_joints), None)
        # The set-point leads by what damping would otherwise make the joint lag while moving.
        damping = -self._model.actuator_biasprm[:, 2] + self._model.dof_damping[self._dofs]
        self._lead_s = damping / self._model.actuator_gainprm[:, 0]
        limits = self._model.jnt_range[[self._model.joint(name).id for name in self._joints]]
        self._setpoints = SetPoints(limits[:, 0], limits[:, 1], self._model.opt.timestep)
        self._home_tool = self._pose_at_home()
        self._owed_s = 0.0
        self.reset(0)

    def reset(self, index: int) -> None:
        rng = np.random.default_rng([self._seed, index])
        model, data = self._model, self._data
        mujoco.mj_resetData(model, data)
        self._set_home()
        middle, offset = self._home_tool[0] + self._task.start_shift_m, np.array(self._task.start_offset_m)
        self._move_tool_to(middle + rng.uniform(-offset, offset))
        self._task.reset(model, data, rng)
        self._setpoints.start_at(data.qpos[self._qpos])
        data.ctrl[:] = self._setpoints.position
        mujoco.mj_forward(model, data)
        if self._task.gripper_starts_closed and self._robot.gripper.joints:
            # The set-point is fully closed even when an object keeps the fingers apart: that is what holds it.
            closed = np.full(len(self._robot.gripper.joints), self._robot.gripper.closed)
            self.command_joints(self._robot.gripper.joints, closed, 0.0)
        self._owed_s = 0.0

    def command_joints(self, names: list[str], positions: np.ndarray, duration_s: float) -> None:
        unknown = [name for name in names if name not in self._joints]
        if unknown:
            raise ValueError(f'no joint {unknown[0]!r}; the joints are {", ".join(self._joints)}')
        positions = np.asarray(positions, dtype=float)
        if positions.shape != (len(names),) or not np.isfinite(positions).all():
            raise ValueError(f'expected {len(names)} finite positions, got {positions.tolist()}')
        self._setpoints.move([self._joints.index(name) for name in names], positions, duration_s)

    def command_action(self, action: np.ndarray) -> None:
        raise TypeError('the simulated arm takes joint commands, not actions')

    def advance(self, duration_s: float) -> None:
        # Durations that are no multiple of the time step must not drift.
        self._owed_s += duration_s
        steps = math.floor(self._owed_s / self._model.opt.timestep + 1e-6)
        self._owed_s -= steps * self._model.opt.timestep
        model, data = self._model, self._data
        if steps > 0:
            positions, velocities = self._setpoints.steps(steps)
            for control in positions + self._lead_s * velocities:
                data.ctrl[:] = control
                mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)  # so that poses, sensors and pictures are of this instant

    def joint_state(self) -> JointReading:
        data = self._data
        return JointReading(
            names=list(self._joints),
            position=data.qpos[self._qpos].copy(),
            velocity=data.qvel[self._dofs].copy(),
            effort=data.qfrc_actuator[self._dofs].copy(),
        )

    def wrench(self) -> np.ndarray | None:
        """What the surroundings do to the hand, as a sensor tells it that is compensated for the hand's own weight."""
        if self._model.nsensor == 0:
            return None
        model, data = self._model, self._data
        measured = np.concatenate([data.sensor('force').data, data.sensor('torque').data])
        flange = model.body(FLANGE).id
        weight = model.body_subtreemass[flange] * model.opt.gravity
        arm = data.subtree_com[flange] - data.xpos[flange]
        to_flange = data.xmat[flange].reshape(3, 3).T
        # MuJoCo measures what the arm does to the hand; a sensor shows the opposite, what loads the arm.
        return -measured - np.concatenate([to_flange @ weight, to_flange @ np.cross(arm, weight)])

    def task_state(self) -> NamedVector:
        tool = self._data.xpos[self._tool]
        state = {'ee.x': float(tool[0]), 'ee.y': float(tool[1]), 'ee.z': float(tool[2])}
        state['gripper.opening'] = self._opening()
        state.update(self._task.state(self._data))
        state.update(self._task.measures(state))
        state['success'] = float(self._task.succeeded(state))
        state['failure'] = float(self._task.failed(state))
        return state

    def render(self, camera: str) -> np.ndarray:
        if camera not in self.cameras:
            raise ValueError(f'no camera {camera!r}; the cameras are {", ".join(self.cameras) or "none"}')
        if self._renderer is None:
            self._renderer = SceneRenderer(self._model, self.cameras, self._gl)
        return self._renderer.render(self._model, self._data, camera)

    def camera_matrix(self, camera: str) -> np.ndarray:
        return camera_views(self._robot)[camera].matrix(*self.cameras[camera])

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _opening(self) -> float:
        robot = self._robot
        fingers = self._data.qpos[self._qpos[self._fingers]]
        if not len(fingers):
            return 0.0
        travel = robot.gripper.open - robot.gripper.closed
        return float(np.clip((fingers.mean() - robot.gripper.closed) / travel, 0.0, 1.0))

    def _set_home(self) -> None:
        robot = self._robot
        finger = robot.gripper.open
        if self._task.gripper_starts_closed:
            finger = max(robot.gripper.closed, self._task.closed_on_m)
        self._data.qpos[self._qpos] = [*robot.home_rad, *[finger] * len(robot.gripper.joints)]

    def _pose_at_home(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) and quaternion (4,) of the tool with the arm at home."""
        self._set_home()
        mujoco.mj_kinematics(self._model, self._data)
        return self._data.xpos[self._tool].copy(), self._data.xquat[self._tool].copy()

    def _move_tool_to(self, position: np.ndarray) -> None:
        """Put the arm where the tool is at `position` with the orientation that it has at home."""
        model, data = self._model, self._data
        arm = self._dofs[: len(self._robot.arm_joints)]
        jacobian = np.zeros((6, model.nv))
        error = np.zeros(6)
        turn = np.zeros(4)
        back = np.zeros(4)
        for _ in range(IK_ITERATIONS):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            error[:3] = position - data.xpos[self._tool]
            mujoco.mju_negQuat(back, data.xquat[self._tool])
            mujoco.mju_mulQuat(turn, self._home_tool[1], back)
            mujoco.mju_quat2Vel(error[3:], turn, 1.0)
            if np.abs(error).max() < 1e-6:
                break
            mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], self._tool)
            columns = jacobian[:, arm]
            step = columns.T @ np.linalg.solve(columns @ columns.T + IK_DAMPING * np.eye(6), error)
            data.qpos[self._qpos[: len(arm)]] += step
