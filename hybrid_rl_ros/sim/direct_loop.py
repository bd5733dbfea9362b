"""The simulated arm and the gate's motion in one process, without ROS: for measuring many episodes quickly.

What is measured here is what the graph does in lock-step, but for the gate's checks.
"""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.arm_motion import ArmMotion
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.proprioception import Proprioception
from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.backend import NamedVector, Simulation
from hybrid_rl_ros.sim.factory import make_simulation


class DirectLoop:
    """Episodes of `config.task` from the starts of `seed`; an episode's index says which start."""

    def __init__(self, config: Config, specs: Specs, seed: int) -> None:
        """Raises UserError for a simulation that cannot be had."""
        self._config, self._specs = config, specs
        self._robot = load_robot(config.robot)
        self._sim: Simulation = make_simulation(config, self._robot, seed)
        self._motion = ArmMotion(config, self._robot)
        self._arm = Proprioception(self._robot, ArmKinematics(self._robot), specs.observation.state.names)
        self.task: NamedVector = {}

    def reset(self, index: int) -> Observation:
        self._sim.reset(index)
        self._motion.forget()
        self._motion.start_at(self._measured()[0])
        return self._observation()

    def step(self, action: np.ndarray) -> Observation:
        """The observation one control period after an action (A,) in physical units; `task` is then of that moment."""
        sim, robot, period = self._sim, self._robot, self._config.control_period_s
        arm, fingers = self._measured()
        target = self._motion.act(action, arm)
        sim.command_joints(robot.arm_joints, self._motion.whole_step().position_rad, period)
        if target.gripper is not None:
            way = np.abs(fingers - target.gripper).max()
            goal = np.full(len(fingers), target.gripper)
            sim.command_joints(robot.gripper.joints, goal, max(period, way / robot.gripper.speed))
        sim.advance(period)
        return self._observation()

    @property
    def ended(self) -> bool:
        """By success or failure."""
        return bool(self.task['success'] or self.task['failure'])

    def close(self) -> None:
        self._sim.close()

    def _observation(self) -> Observation:
        joints = self._sim.joint_state()
        assert joints is not None
        self._arm.read(joints.names, joints.position, joints.velocity, 0)
        self.task = self._sim.task_state()
        named = {**self._arm.numbers(), **{f'task.{name}': value for name, value in self.task.items()}}
        wrench = self._sim.wrench()
        if wrench is not None:
            named.update(zip([f'wrench.{kind}{axis}' for kind in 'ft' for axis in 'xyz'], wrench.tolist()))
        state = np.array([named[name] for name in self._specs.observation.state.names], np.float32)
        return Observation(state, {camera: self._sim.render(camera) for camera in self._sim.cameras})

    def _measured(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the arm's joints and of the fingers."""
        joints = self._sim.joint_state()
        assert joints is not None
        count = len(self._robot.arm_joints)
        return joints.position[:count], joints.position[count:]
