"""An episode of an expert in the simulated arm, with the controller of the real graph but without ROS."""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.arm_motion import ArmMotion
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.backend import NamedVector, Simulation
from hybrid_rl_ros.sim.experts import Expert
from hybrid_rl_ros.sim.factory import make_simulation


class ArmLoop:
    """One simulation and one gate's motion at the control rate of `config`."""

    def __init__(self, config: Config, seed: int = 7) -> None:
        self.config = config
        self.robot = load_robot(config.robot)
        self.sim: Simulation = make_simulation(config, self.robot, seed)
        self._motion = ArmMotion(config, self.robot)

    def measured_rad(self) -> np.ndarray:
        return self.sim.joint_state().position[: len(self.robot.arm_joints)]

    def reset(self, index: int) -> NamedVector:
        self.sim.reset(index)
        self._motion.start_at(self.measured_rad())
        return self.sim.task_state()

    def step(self, action: np.ndarray) -> NamedVector:
        period = self.config.control_period_s
        target = self._motion.act(action, self.measured_rad())
        self.sim.command_joints(self.robot.arm_joints, self._motion.whole_step().position_rad, period)
        if target.gripper is not None:
            fingers = self.sim.joint_state().position[len(self.robot.arm_joints) :]
            way = np.abs(fingers - target.gripper).max()
            goal = np.full(len(fingers), target.gripper)
            self.sim.command_joints(self.robot.gripper.joints, goal, max(period, way / self.robot.gripper.speed))
        self.sim.advance(period)
        return self.sim.task_state()

    def episode(self, expert: Expert, index: int, limit: int = 100) -> tuple[NamedVector, int]:
        """The state at the end, and the number of steps taken."""
        expert.reset()
        state = self.reset(index)
        for steps in range(1, limit + 1):
            state = self.step(expert.act(state))
            if state['success'] or state['failure']:
                return state, steps
        return state, limit
