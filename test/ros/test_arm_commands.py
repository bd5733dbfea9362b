"""Every kind of controller gets what it documents, and nothing that is not finite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from hybrid_rl_ros.control.setpoint import SetPoint
from hybrid_rl_ros.robot_config import RobotConfig, load_robot
from hybrid_rl_ros.ros.arm_commands import make_arm_commander
from hybrid_rl_ros.ros.messages import stamp_ns

STAMP = 12_000_000_345
SETPOINT = SetPoint(
    position_rad=np.linspace(-0.3, 0.3, 7),
    velocity_rad_s=np.linspace(0.1, 0.7, 7),
    tool_position_m=np.array([0.4, -0.1, 0.2]),
    tool_quaternion=np.array([0.6, 0.0, 0.0, 0.8]),
    tool_twist=np.array([0.01, 0.02, 0.03, 0.4, 0.5, 0.6]),
    duration_s=1.25,
)
TYPES = {
    'joint_trajectory': JointTrajectory,
    'position_array': Float64MultiArray,
    'velocity_array': Float64MultiArray,
    'twist': TwistStamped,
    'pose': PoseStamped,
    'joint_state': JointState,
}


def arm(kind: str) -> RobotConfig:
    """The simulated arm with another controller."""
    robot = load_robot('sim_arm')
    command = robot.command.model_copy(update={'type': kind, 'topic': 'arm/command'})
    return robot.model_copy(update={'command': command, 'base_frame': 'pedestal'})


def sent(nodes, kind: str, stamp: int = STAMP, setpoint: SetPoint = SETPOINT) -> Any:
    commander = make_arm_commander(nodes.ours, arm(kind))
    heard = nodes.listen(TYPES[kind], 'arm/command')
    commander.send(setpoint, stamp)
    nodes.spin_until(lambda: heard)
    return heard[0]


def test_a_trajectory_is_one_point_at_rest_with_the_stamp_that_was_given(nodes):
    message = sent(nodes, 'joint_trajectory')
    assert message.joint_names == [f'joint{i}' for i in range(1, 8)]
    (point,) = message.points
    assert np.array_equal(point.positions, SETPOINT.position_rad)
    # joint_trajectory_controller refuses a trajectory whose last point moves.
    assert list(point.velocities) == [0.0] * 7
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (1, 250_000_000)
    assert stamp_ns(message.header.stamp) == STAMP


def test_a_trajectory_for_a_real_arm_keeps_the_zero_stamp_that_means_at_once(nodes):
    assert stamp_ns(sent(nodes, 'joint_trajectory', stamp=0).header.stamp) == 0


def test_a_position_array_has_the_order_of_arm_joints(nodes):
    assert np.array_equal(sent(nodes, 'position_array').data, SETPOINT.position_rad)


def test_a_velocity_array_has_velocities_and_a_hold_is_all_zeros(nodes):
    commander = make_arm_commander(nodes.ours, arm('velocity_array'))
    heard = nodes.listen(Float64MultiArray, 'arm/command')
    commander.send(SETPOINT, 0)
    nodes.spin_until(lambda: len(heard) == 1)
    commander.send(replace(SETPOINT, velocity_rad_s=np.zeros(7)), 0)
    nodes.spin_until(lambda: len(heard) == 2)
    assert np.array_equal(heard[0].data, SETPOINT.velocity_rad_s)
    assert list(heard[1].data) == [0.0] * 7


def test_a_twist_is_in_the_base_frame_and_stamped_now(nodes):
    before = nodes.ours.get_clock().now().nanoseconds
    message = sent(nodes, 'twist', stamp=0)
    assert message.header.frame_id == 'pedestal'
    assert before <= stamp_ns(message.header.stamp) <= nodes.ours.get_clock().now().nanoseconds
    linear, angular = message.twist.linear, message.twist.angular
    assert [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z] == list(SETPOINT.tool_twist)


def test_a_pose_is_in_the_base_frame(nodes):
    message = sent(nodes, 'pose')
    assert message.header.frame_id == 'pedestal'
    assert stamp_ns(message.header.stamp) == STAMP
    position, orientation = message.pose.position, message.pose.orientation
    assert [position.x, position.y, position.z] == list(SETPOINT.tool_position_m)
    assert [orientation.x, orientation.y, orientation.z, orientation.w] == list(SETPOINT.tool_quaternion)


def test_a_joint_target_is_named_positions_in_the_order_of_arm_joints(nodes):
    message = sent(nodes, 'joint_state')
    assert message.name == [f'joint{i}' for i in range(1, 8)]
    assert np.array_equal(message.position, SETPOINT.position_rad)
    assert len(message.velocity) == 0


@pytest.mark.parametrize(
    ('field', 'value', 'named'),
    [
        ('position_rad', np.full(7, np.nan), 'position_rad'),
        ('position_rad', np.zeros(6), 'position_rad: expected 7'),
        ('velocity_rad_s', np.array([0, 0, 0, np.inf, 0, 0, 0]), 'velocity_rad_s'),
        ('tool_position_m', np.full(3, np.nan), 'tool_position_m'),
        ('tool_quaternion', np.zeros(4), 'unit quaternion'),
        ('tool_twist', np.full(6, -np.inf), 'tool_twist'),
        ('duration_s', float('nan'), 'duration_s'),
        ('duration_s', 0.0, 'duration_s'),
    ],
)
@pytest.mark.parametrize('kind', TYPES)
def test_nothing_is_published_of_a_set_point_with_one_bad_number(nodes, kind, field, value, named):
    commander = make_arm_commander(nodes.ours, arm(kind))
    heard = nodes.listen(TYPES[kind], 'arm/command')
    with pytest.raises(ValueError, match=named):
        commander.send(replace(SETPOINT, **{field: value}), STAMP)
    commander.send(SETPOINT, STAMP)
    nodes.spin_until(lambda: heard)
    assert len(heard) == 1
