"""The gate stays closed until every driver state was heard and is one of the expected ones."""

from __future__ import annotations

import pytest
from geometry_msgs.msg import PointStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool, Int8, String

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import DriverStateConfig, RobotConfig, load_robot
from hybrid_rl_ros.ros.driver_states import DriverStates
from hybrid_rl_ros.ros.qos import LATCHED

RUNNING = DriverStateConfig(topic='driver/running', type='std_msgs/msg/Bool', ok=[True])
MODE = DriverStateConfig(topic='driver/mode', type='std_msgs/msg/Int8', ok=[1, 2])
QOS = {
    'latched': LATCHED,
    'reliable': QoSProfile(depth=1),
    'best effort': QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
    'latched best effort': QoSProfile(
        depth=1, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.TRANSIENT_LOCAL
    ),
}


def robot(*states: DriverStateConfig) -> RobotConfig:
    return load_robot('sim_arm').model_copy(update={'driver_states': list(states)})


def test_a_robot_without_driver_states_is_never_blocked(nodes):
    assert DriverStates(nodes.ours, robot()).blocked() is None


def test_a_state_that_was_published_before_we_came_is_heard(nodes):
    nodes.theirs.create_publisher(Bool, 'driver/running', LATCHED).publish(Bool(data=True))
    states = DriverStates(nodes.ours, robot(RUNNING))
    assert states.blocked() == 'waiting for the driver state driver/running'
    nodes.spin_until(lambda: states.blocked() is None)


@pytest.mark.parametrize('qos', QOS.values(), ids=QOS)
def test_a_driver_is_heard_whatever_quality_of_service_it_offers(nodes, qos):
    publisher = nodes.theirs.create_publisher(Bool, 'driver/running', qos)
    states = DriverStates(nodes.ours, robot(RUNNING))

    def says(value: bool) -> None:
        publisher.publish(Bool(data=value))

    # Without latching, what is published before the match is lost: a driver repeats itself.
    nodes.spin_until(lambda: says(True) or states.blocked() is None)
    nodes.spin_until(lambda: says(False) or states.blocked() is not None)
    assert states.blocked() == 'driver/running says data False, expected True'


def test_every_state_must_be_one_of_the_expected_ones(nodes):
    running = nodes.theirs.create_publisher(Bool, 'driver/running', LATCHED)
    mode = nodes.theirs.create_publisher(Int8, 'driver/mode', LATCHED)
    states = DriverStates(nodes.ours, robot(RUNNING, MODE))
    running.publish(Bool(data=True))
    nodes.spin_until(lambda: states.blocked() == 'waiting for the driver state driver/mode')
    mode.publish(Int8(data=5))
    nodes.spin_until(lambda: states.blocked() == 'driver/mode says data 5, expected 1 or 2')
    mode.publish(Int8(data=2))
    nodes.spin_until(lambda: states.blocked() is None)


def test_silence_beyond_the_limit_asks_for_the_driver(nodes):
    states = DriverStates(nodes.ours, robot(RUNNING), heard_within_s=0.2)
    line = 'nothing received on driver/running within 0.2 s; is the driver running?'
    nodes.spin_until(lambda: states.blocked() == line)


def test_a_field_within_a_field_is_followed(nodes):
    state = DriverStateConfig(
        topic='driver/at', type='geometry_msgs/msg/PointStamped', field='header.frame_id', ok=['a']
    )
    publisher = nodes.theirs.create_publisher(PointStamped, 'driver/at', LATCHED)
    states = DriverStates(nodes.ours, robot(state))
    message = PointStamped()
    message.header.frame_id = 'b'
    publisher.publish(message)
    nodes.spin_until(lambda: states.blocked() == 'driver/at says header.frame_id b, expected a')


@pytest.mark.parametrize(
    ('kind', 'field', 'line'),
    [
        ('acme_arm_msgs/msg/State', 'data', 'apt install ros-$ROS_DISTRO-acme-arm-msgs'),
        ('std_msgs/msg/Boolean', 'data', "std_msgs has no msg 'Boolean'"),
        ('std_msgs.msg.Bool', 'data', 'not of the form package/msg/Name'),
        ('std_msgs/msg/Bool', 'mode', "Bool has no field 'mode'"),
        ('geometry_msgs/msg/PointStamped', 'header.stamp', 'neither a number, a string nor a Bool'),
    ],
)
def test_a_type_that_cannot_be_followed_is_one_line(nodes, kind, field, line):
    state = DriverStateConfig(topic='driver/state', type=kind, field=field, ok=[1])
    with pytest.raises(UserError) as error:
        DriverStates(nodes.ours, robot(state))
    assert line in str(error.value)
    assert 'driver/state' in str(error.value)
    assert '\n' not in str(error.value)


def test_strings_are_compared_as_they_are(nodes):
    state = DriverStateConfig(topic='driver/name', type='std_msgs/msg/String', ok=['RUNNING'])
    publisher = nodes.theirs.create_publisher(String, 'driver/name', LATCHED)
    states = DriverStates(nodes.ours, robot(state))
    publisher.publish(String(data='RUNNING'))
    nodes.spin_until(lambda: states.blocked() is None)
