"""What each kind of arm controller takes, made from one SetPoint."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from hybrid_rl_ros.control.setpoint import SetPoint
from hybrid_rl_ros.robot_config import RobotConfig
from hybrid_rl_ros.ros.messages import NS_PER_S, to_header
from hybrid_rl_ros.ros.node import GraphNode
from hybrid_rl_ros.ros.qos import COMMAND

QUATERNION_TOLERANCE = 1e-3


class ArmCommander(Protocol):
    """Sends set-points to the arm's controller in the form that it takes."""

    def send(self, setpoint: SetPoint, stamp_ns: int) -> None:
        """Publish one command; raises ValueError, and publishes nothing, if a number in it is not finite.

        stamp_ns goes into the header. In lock-step it is the step's stamp, in real time with a simulation the node's
        time (the simulation drops what is older than its reset). For a real arm it is 0, "from the moment it
        arrives": a joint_trajectory_controller shortens a trajectory by the age of its stamp, drops one that ends in
        the past, and would take a difference of two machines' clocks for age. Controllers that ask for a fresh stamp
        (twist, pose, joint_state) get the node's time in place of 0.
        """


def make_arm_commander(node: Node, robot: RobotConfig) -> ArmCommander:
    """The adapter for `robot.command.type`, publishing on `robot.command.topic`."""
    return _ADAPTERS[robot.command.type](node, robot)


def command_publisher(node: Node, message: type, topic: str) -> Any:
    """A publisher of commands; that of a GraphNode counts towards the node's readiness."""
    create: Callable[..., Any] = node.publisher if isinstance(node, GraphNode) else node.create_publisher
    return create(message, topic, COMMAND)


def one_point_trajectory(names: list[str], positions: np.ndarray, duration_s: float, stamp_ns: int) -> JointTrajectory:
    """One point, reached at rest after `duration_s`.

    At rest, because a joint_trajectory_controller refuses a last point that moves. A stream of these is smooth if each
    is replaced before its point is reached.
    """
    nanoseconds = round(duration_s * NS_PER_S)
    point = JointTrajectoryPoint()
    point.time_from_start = Duration(sec=nanoseconds // NS_PER_S, nanosec=nanoseconds % NS_PER_S)
    point.positions = array('d', positions)
    point.velocities = array('d', [0.0] * len(names))
    return JointTrajectory(header=to_header(stamp_ns), joint_names=names, points=[point])


def checked(what: str, values: np.ndarray, size: int) -> np.ndarray:
    """`values` as (size,) float64. Raises ValueError for another length or a number that is not finite."""
    numbers = np.asarray(values, dtype=float)
    if numbers.shape != (size,) or not np.isfinite(numbers).all():
        raise ValueError(f'{what}: expected {size} finite numbers, got {numbers.tolist()}')
    return numbers


class _Adapter:
    """Publishes what `write` makes of a set-point that was checked as a whole."""

    message: type

    def __init__(self, node: Node, robot: RobotConfig) -> None:
        self._joints = list(robot.arm_joints)
        self._frame = robot.base_frame
        self._clock = node.get_clock()
        self._publisher = command_publisher(node, self.message, robot.command.topic)

    def send(self, setpoint: SetPoint, stamp_ns: int) -> None:
        joints = len(self._joints)
        checked('position_rad', setpoint.position_rad, joints)
        checked('velocity_rad_s', setpoint.velocity_rad_s, joints)
        checked('tool_position_m', setpoint.tool_position_m, 3)
        checked('tool_quaternion', setpoint.tool_quaternion, 4)
        checked('tool_twist', setpoint.tool_twist, 6)
        if abs(np.linalg.norm(setpoint.tool_quaternion) - 1.0) > QUATERNION_TOLERANCE:
            raise ValueError(f'tool_quaternion: expected a unit quaternion, got {setpoint.tool_quaternion}')
        if not 0 < setpoint.duration_s < np.inf:
            raise ValueError(f'duration_s: expected a finite number above 0, got {setpoint.duration_s}')
        self._publisher.publish(self.write(setpoint, stamp_ns))

    def write(self, setpoint: SetPoint, stamp_ns: int) -> Any:
        raise NotImplementedError

    def _fresh_header(self, stamp_ns: int) -> Header:
        return to_header(stamp_ns or self._clock.now().nanoseconds, self._frame)


class _JointTrajectory(_Adapter):
    """joint_trajectory_controller; its `~/joint_trajectory`."""

    message = JointTrajectory

    def write(self, setpoint: SetPoint, stamp_ns: int) -> JointTrajectory:
        return one_point_trajectory(self._joints, setpoint.position_rad, setpoint.duration_s, stamp_ns)


class _PositionArray(_Adapter):
    """forward_command_controller of positions; its `~/commands`. It has no timeout: it keeps the last."""

    message = Float64MultiArray

    def write(self, setpoint: SetPoint, stamp_ns: int) -> Float64MultiArray:
        return Float64MultiArray(data=array('d', setpoint.position_rad))


class _VelocityArray(_Adapter):
    """forward_command_controller of velocities; its `~/commands`.

    It has no timeout and keeps the last velocity for ever: a hold is a set-point with zero velocity, which the gate
    must send, and on its own shutdown above all.
    """

    message = Float64MultiArray

    def write(self, setpoint: SetPoint, stamp_ns: int) -> Float64MultiArray:
        return Float64MultiArray(data=array('d', setpoint.velocity_rad_s))


class _Twist(_Adapter):
    """MoveIt Servo; its `~/delta_twist_cmds` in SI units. It halts the arm when a stamp is older than 0.1 s."""

    message = TwistStamped

    def write(self, setpoint: SetPoint, stamp_ns: int) -> TwistStamped:
        message = TwistStamped(header=self._fresh_header(stamp_ns))
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = (float(v) for v in setpoint.tool_twist)
        return message


class _Pose(_Adapter):
    """CRISP's `target_pose`, or any Cartesian impedance controller that takes one."""

    message = PoseStamped

    def write(self, setpoint: SetPoint, stamp_ns: int) -> PoseStamped:
        message = PoseStamped(header=self._fresh_header(stamp_ns))
        position, orientation = message.pose.position, message.pose.orientation
        position.x, position.y, position.z = (float(v) for v in setpoint.tool_position_m)
        orientation.x, orientation.y, orientation.z, orientation.w = (float(v) for v in setpoint.tool_quaternion)
        return message


class _JointState(_Adapter):
    """CRISP's `target_joint`, which goes by order, not by name. Positions alone: a velocity would outlive the gate."""

    message = JointState

    def write(self, setpoint: SetPoint, stamp_ns: int) -> JointState:
        message = JointState(header=self._fresh_header(stamp_ns), name=self._joints)
        message.position = array('d', setpoint.position_rad)
        return message


_ADAPTERS: dict[str, type[_Adapter]] = {
    'joint_trajectory': _JointTrajectory,
    'position_array': _PositionArray,
    'velocity_array': _VelocityArray,
    'twist': _Twist,
    'pose': _Pose,
    'joint_state': _JointState,
}
