"""What the arm's joint states say, as the named numbers of an observation."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.robot_config import RobotConfig

GRIPPER = 'gripper.opening'


class Proprioception:
    """Keeps the newest reading of every joint: a driver may spread arm and gripper over several messages.

    `wanted` are the observation's state names; the gripper's joints are needed only if one of them asks for it.
    """

    def __init__(self, robot: RobotConfig, kinematics: ArmKinematics, wanted: Iterable[str]) -> None:
        self._robot, self._kinematics = robot, kinematics
        self._needed = [*robot.arm_joints, *(robot.gripper.joints if GRIPPER in wanted else [])]
        self._position: dict[str, float] = {}
        self._velocity: dict[str, float] = {}
        self._stamps_ns: dict[str, int] = {}

    def read(self, names: list[str], positions: Iterable[float], velocities: Iterable[float], stamp_ns: int) -> None:
        """Take one message; a reading that is not finite counts as none."""
        for name, position in zip(names, positions):
            if math.isfinite(position):
                self._position[name] = position
                self._stamps_ns[name] = stamp_ns
        self._velocity.update((n, v) for n, v in zip(names, velocities) if math.isfinite(v))

    @property
    def missing(self) -> list[str]:
        """The joints that are needed and were in no message yet."""
        return [name for name in self._needed if name not in self._position]

    @property
    def oldest_ns(self) -> int:
        """The stamp of the oldest reading that is needed; only once nothing is missing."""
        return min(self._stamps_ns[name] for name in self._needed)

    def numbers(self) -> dict[str, float]:
        """`<joint>.position|velocity`, `ee.x|y|z|yaw`, `ee.vx|vy|vz`, `gripper.opening`: what is there of them."""
        position, velocity = self._position, self._velocity
        named = {f'{name}.position': value for name, value in position.items()}
        named.update({f'{name}.velocity': value for name, value in velocity.items()})
        joints = np.array([position[name] for name in self._robot.arm_joints])
        pose = self._kinematics.tool_pose(joints)
        named.update(zip(('ee.x', 'ee.y', 'ee.z'), pose.translation))
        named['ee.yaw'] = math.atan2(pose.rotation[1, 0], pose.rotation[0, 0])
        if all(name in velocity for name in self._robot.arm_joints):
            speeds = np.array([velocity[name] for name in self._robot.arm_joints])
            named.update(zip(('ee.vx', 'ee.vy', 'ee.vz'), self._kinematics.tool_velocity(joints, speeds)))
        gripper = self._robot.gripper
        if gripper.joints and all(name in position for name in gripper.joints):
            fingers = np.mean([position[name] for name in gripper.joints])
            named[GRIPPER] = (fingers - gripper.closed) / (gripper.open - gripper.closed)
        return {name: float(value) for name, value in named.items()}
