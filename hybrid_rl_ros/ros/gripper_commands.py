"""What each kind of gripper controller takes, made from one position of the fingers."""

from __future__ import annotations

from array import array
from typing import Any, Protocol

import numpy as np
from rclpy.action import ActionClient
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from hybrid_rl_ros.robot_config import GripperConfig, RobotConfig
from hybrid_rl_ros.ros.action_goals import ActionGoals
from hybrid_rl_ros.ros.arm_commands import checked, command_publisher, one_point_trajectory
from hybrid_rl_ros.ros.interfaces import import_interface

SHORTEST_MOTION_S = 0.05
# A goal is a motion of its own: it is not restarted for less than this part of the stroke.
SAME_TARGET = 0.02
# Targets in this part of the stroke next to `closed` mean: close with force on whatever is there.
GRASPING = 0.1


class GripperCommander(Protocol):
    """Sends positions to the gripper's controller in the form that it takes."""

    def send(self, position: float, measured: np.ndarray, stamp_ns: int) -> None:
        """Move every finger joint to `position`.

        measured: (G,) where they are, in the order of robot.gripper.joints. stamp_ns: as for ArmCommander.send. Raises
        ValueError, and sends nothing, if a number is not finite.
        """


def make_gripper_commander(node: Node, robot: RobotConfig, shortest_s: float = SHORTEST_MOTION_S) -> GripperCommander:
    """The adapter for `robot.gripper.type`; a trajectory takes no less than `shortest_s`. Raises UserError."""
    gripper = robot.gripper
    if gripper.type == 'joint_trajectory':
        return _JointTrajectory(node, gripper, shortest_s)
    if gripper.type == 'position_array':
        return _PositionArray(node, gripper)
    if gripper.type == 'gripper_action':
        return _GripperAction(node, gripper)
    if gripper.type == 'franka_grasp':
        return _FrankaGrasp(node, gripper)
    return _NoGripper()


class _NoGripper:
    def send(self, position: float, measured: np.ndarray, stamp_ns: int) -> None:
        """Nothing to move."""


class _JointTrajectory:
    """joint_trajectory_controller of the fingers; its `~/joint_trajectory`."""

    def __init__(self, node: Node, gripper: GripperConfig, shortest_s: float) -> None:
        self._gripper = gripper
        self._shortest_s = shortest_s
        self._publisher = command_publisher(node, JointTrajectory, str(gripper.topic))

    def send(self, position: float, measured: np.ndarray, stamp_ns: int) -> None:
        target, fingers = _checked(self._gripper, position, measured)
        duration = max(self._shortest_s, float(np.abs(fingers - target).max()) / self._gripper.speed)
        self._publisher.publish(one_point_trajectory(self._gripper.joints, target, duration, stamp_ns))


class _PositionArray:
    """forward_command_controller of the fingers; its `~/commands`."""

    def __init__(self, node: Node, gripper: GripperConfig) -> None:
        self._gripper = gripper
        self._publisher = command_publisher(node, Float64MultiArray, str(gripper.topic))

    def send(self, position: float, measured: np.ndarray, stamp_ns: int) -> None:
        target, _ = _checked(self._gripper, position, measured)
        self._publisher.publish(Float64MultiArray(data=array('d', target)))


class _GripperAction:
    """control_msgs/action/GripperCommand: gripper_controllers, Robotiq, franka_gripper's `~/gripper_action`."""

    def __init__(self, node: Node, gripper: GripperConfig) -> None:
        self._gripper = gripper
        self._type = import_interface('control_msgs/action/GripperCommand', 'gripper type gripper_action')
        self._client = ActionClient(node, self._type, str(gripper.topic))
        self._goals = ActionGoals(node, str(gripper.topic), SAME_TARGET * _stroke(gripper))

    def send(self, position: float, measured: np.ndarray, stamp_ns: int) -> None:
        _checked(self._gripper, position, measured)
        self._goals.want(position, self._goal)

    def _goal(self, position: float) -> tuple[ActionClient, Any]:
        goal = self._type.Goal()
        goal.command.position = float(position)
        goal.command.max_effort = self._gripper.force_n
        return self._client, goal


class _FrankaGrasp:
    """franka_msgs Grasp near `closed` (it closes on an object of any width and holds it with force), Move elsewhere.

    topic: the gripper node's name, under which the actions `grasp` and `move` are; they take the width between the
    fingers, which is the sum of the finger joints.
    """

    def __init__(self, node: Node, gripper: GripperConfig) -> None:
        self._gripper = gripper
        self._grasp = import_interface('franka_msgs/action/Grasp', 'gripper type franka_grasp')
        self._move = import_interface('franka_msgs/action/Move', 'gripper type franka_grasp')
        topic = str(gripper.topic).rstrip('/')
        self._grasp_client = ActionClient(node, self._grasp, f'{topic}/grasp')
        self._move_client = ActionClient(node, self._move, f'{topic}/move')
        self._goals = ActionGoals(node, topic, SAME_TARGET * _stroke(gripper))

    def send(self, position: float, measured: np.ndarray, stamp_ns: int) -> None:
        _checked(self._gripper, position, measured)
        self._goals.want(position, self._goal)

    def _goal(self, position: float) -> tuple[ActionClient, Any]:
        gripper, fingers = self._gripper, len(self._gripper.joints)
        grasps = abs(position - gripper.closed) <= GRASPING * _stroke(gripper)
        goal = self._grasp.Goal() if grasps else self._move.Goal()
        goal.width = float(position) * fingers
        goal.speed = gripper.speed * fingers
        if not grasps:
            return self._move_client, goal
        goal.force = gripper.force_n
        # The grasp succeeds, and keeps its force, at whatever width the object stops the fingers.
        goal.epsilon.inner = goal.epsilon.outer = _stroke(gripper) * fingers
        return self._grasp_client, goal


def _stroke(gripper: GripperConfig) -> float:
    return abs(gripper.open - gripper.closed)


def _checked(gripper: GripperConfig, position: float, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fingers = len(gripper.joints)
    return (
        checked('gripper position', np.full(fingers, position), fingers),
        checked('measured gripper joints', measured, fingers),
    )
