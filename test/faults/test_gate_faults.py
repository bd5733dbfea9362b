"""Faults between policy and robot, at the simulated arm."""

from __future__ import annotations

import math
import signal
import time

import numpy as np
import pytest
from rig import SWAY, Rig, overridden

from hybrid_rl_ros.bringup import NodeProcess
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot

pytestmark = [pytest.mark.slow, pytest.mark.real_time]


@pytest.fixture
def rig(tmp_path):
    with Rig(tmp_path) as rig:
        yield rig


def test_01_a_silent_policy_ends_in_a_hold(rig, report):
    rig.move()
    silent = time.monotonic()
    reaction = rig.require_stop(silent, rig.config.safety.action_timeout_s)
    assert rig.mode == 'hold'
    report(1, 'policy stops', 'brake, hold; latched after 1 s', reaction)
    rig.drive(0.3)
    assert rig.state == 'hold: action_lost'
    assert rig.call('safety_node/clear_fault').success
    rig.drive(0.3)
    assert rig.mode == 'policy'


@pytest.mark.parametrize(
    ('case', 'injected', 'change'),
    [
        (2, 'NaN in one number', {'ee.dx': math.nan}),
        (3, 'infinity in one number', {'ee.dz': math.inf}),
        (4, 'a name too many', {'elbow': 0.0}),
    ],
)
def test_02_03_04_a_spoilt_message_is_dropped_whole(rig, report, case, injected, change):
    rig.move()
    rig.action = lambda _: {**SWAY, **change}
    began = time.monotonic()
    rig.drive(0.5)
    reaction = rig.require_stop(began, rig.config.safety.action_timeout_s)
    rig.require_refused(began)
    report(case, injected, 'dropped, counted; silence holds', reaction)


def test_04_a_missing_name_is_dropped_whole(rig, report):
    rig.move()
    rig.action = lambda _: {'ee.dx': 0.01, 'ee.dy': 0.01}
    began = time.monotonic()
    rig.drive(0.5)
    reaction = rig.require_stop(began, 0.15)
    rig.require_refused(began)
    report(4, 'a name too few', 'dropped, counted; silence holds', reaction)


def test_05_names_decide_not_their_order(rig, report):
    rig.move()
    rig.action = lambda _: dict(reversed(SWAY.items()))
    rig.drive(0.5)
    stamp, values = rig.seen.executed[-1][1:]
    assert values['ee.dy'] == pytest.approx(SWAY['ee.dy'])
    assert values['ee.dx'] == 0.0
    report(5, 'permuted names', 'read by name, executed')


@pytest.mark.parametrize('age_s', [0.6, -0.5, None], ids=['stale', 'future', 'repeated'])
def test_06_stale_future_and_repeated_stamps_are_rejected(rig, report, age_s):
    rig.move()
    began = time.monotonic()
    fixed = rig.node.get_clock().now().nanoseconds
    for _ in range(10):
        rig.age_s = age_s if age_s is not None else (rig.node.get_clock().now().nanoseconds - fixed) / 1e9 + 0.2
        rig.act()
        rig.spin(0.05)
    name = 'repeated' if age_s is None else f'{age_s} s old'
    report(6, f'stamps: {name}', 'rejected; silence holds', rig.require_stop(began, 0.15))
    rig.require_refused(began)
    assert 'stamp is' in rig.log('safety_node')


@pytest.mark.parametrize('frame', ['', 'tool'])
def test_07_another_frame_is_rejected(rig, report, frame):
    rig.move()
    rig.frame = frame
    began = time.monotonic()
    rig.drive(0.5)
    reaction = rig.require_stop(began, 0.15)
    rig.require_refused(began)
    report(7, f'frame {frame!r}', 'rejected; silence holds', reaction)


def test_13_lost_joint_states_stop_the_arm(tmp_path, report):
    """The gate's joint states come through the test, which stops passing them on."""
    from sensor_msgs.msg import JointState

    from hybrid_rl_ros.ros.qos import STEP

    robot = overridden(load_robot('sim_arm'), tmp_path, joint_state_topic='relayed/joint_states')
    with Rig(tmp_path, f'robot={robot}') as rig:
        relay = rig.node.create_publisher(JointState, 'relayed/joint_states', STEP)
        passing = rig.node.create_subscription(JointState, 'joint_states', relay.publish, STEP)
        rig.move()
        rig.node.destroy_subscription(passing)
        lost = time.monotonic()
        rig.drive(1.5)
        reaction = rig.require_stop(lost, rig.config.safety.joint_state_timeout_s)
        assert rig.state == 'hold: joint_states_lost'
        assert 'persists' in rig.call('safety_node/clear_fault').message
        report(13, 'joint states stop', 'hold, latched; not cleared while lost', reaction)


@pytest.mark.parametrize('kind', ['velocity_array', 'position_array'])
def test_01_an_arm_that_takes_arrays_stops_too(tmp_path, report, kind):
    """Such a controller has no timeout: it keeps the last velocity for ever."""
    command = {'type': kind, 'topic': 'forward_controller/commands'}
    robot = overridden(load_robot('sim_arm'), tmp_path, command=command)
    with Rig(tmp_path, f'robot={robot}') as rig:
        rig.move()
        start = rig.tool()
        rig.drive(0.5)
        # Ten actions of 12 mm sideways; an arm that is told velocities does not fall behind.
        assert 0.09 < (rig.tool() - start)[1] < 0.15
        silent = time.monotonic()
        reaction = rig.require_stop(silent, rig.config.safety.action_timeout_s)
        report(1, f'policy stops, {kind}', 'brake, hold', reaction)
        rest = rig.seen.joints[-1][1]
        rig.spin(1.0)
        assert np.abs(rig.seen.joints[-1][1] - rest).max() < 2e-3


def test_14_a_killed_gate_leaves_the_arm_standing(rig, report):
    rig.move()
    killed = time.monotonic()
    rig.kill('safety_node', signal.SIGKILL)
    reaction = rig.require_stop(killed)
    with pytest.raises(Exception, match='safety_node was killed by SIGKILL'):
        rig.bringup.check()
    report(14, 'kill -9 of safety_node', 'controller ends its last set-point; launch ends', reaction)


def test_18_a_second_publisher_closes_the_gate(rig, report):
    from rclpy.node import Node
    from sensor_msgs.msg import JointState

    from hybrid_rl_ros.ros.qos import STEP

    rig.move()
    second = Node('second')
    second.create_publisher(JointState, 'action/policy', STEP)
    came = time.monotonic()
    rig.wait_for(lambda: (rig.act(), rig.spin(0.05), 'two_publishers' in rig.state)[-1])
    reaction = rig.require_stop(came, 1.0)
    assert 'persists' in rig.call('safety_node/clear_fault').message
    second.destroy_node()
    rig.wait_for(lambda: rig.call('safety_node/clear_fault').success)
    report(18, 'two publishers of actions', 'hold, latched until one is gone', reaction)


def test_23_sigterm_brakes_before_it_ends(rig, report):
    rig.move()
    ended = time.monotonic()
    rig.kill('safety_node', signal.SIGTERM)
    reaction = rig.require_stop(ended)
    assert rig.bringup.process('safety_node').wait(5) == 0
    report(23, 'SIGTERM while moving', 'braked within the accelerations, then gone', reaction)


def test_27_actions_without_an_episode_move_nothing(rig, report):
    rig.running = False
    before = rig.seen.joints[-1][1]
    rig.drive(1.0)
    assert np.abs(rig.seen.joints[-1][1] - before).max() < 1e-3
    assert rig.state == 'hold: no episode'
    report(27, 'actions while no episode runs', 'no output')


def test_28_taking_over_starts_from_where_the_arm_is(rig, report):
    """The first command is the measured state."""
    commands = rig.hear_commands()
    measured = rig.seen.joints[-1][1]
    rig.drive_until(lambda: len(commands) > 20)
    np.testing.assert_allclose(commands[0], measured, atol=1e-4)
    assert rig.commanded_speed(commands) <= max(rig.robot.joint_speeds_rad_s) * 1.001
    report(28, 'activation', 'first command equals the measured state')


def test_29_a_misspelt_parameter_is_refused_at_the_start(tmp_path):
    gate = NodeProcess('safety_node', {'speed_scal': 0.3})
    with pytest.raises(UserError, match="unknown parameter 'speed_scal'; the nearest is 'speed_scale'"):
        with Rig(tmp_path, nodes=(NodeProcess('sim_node'), gate)) as rig:
            rig.wait_for(rig.bringup.check)


def test_29_a_limit_out_of_range_is_refused_and_the_old_one_kept(rig, report):
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    client = rig.node.create_client(SetParameters, 'safety_node/set_parameters')
    assert client.wait_for_service(timeout_sec=10.0)

    def scale(value: float) -> bool:
        import rclpy

        wanted = Parameter('speed_scale', Parameter.Type.DOUBLE, value).to_parameter_msg()
        future = client.call_async(SetParameters.Request(parameters=[wanted]))
        rclpy.spin_until_future_complete(rig.node, future, timeout_sec=5.0)
        return future.result().results[0].successful

    assert not scale(3.0)
    assert not scale(math.nan)
    assert scale(0.1)
    commands = rig.hear_commands()
    rig.drive_until(lambda: len(commands) > 50)
    assert rig.commanded_speed(commands) <= 0.1 * max(rig.robot.joint_speeds_rad_s) * 1.001
    report(29, 'speed_scale 3 and NaN', 'refused, old one kept')


def test_08_a_jump_is_taken_at_the_limits_speed(tmp_path, report):
    with Rig(tmp_path, 'action.space=joint_position') as rig:
        home = dict(zip(rig.robot.arm_joints, rig.robot.home_rad))
        jump = {f'{name}.position': value + (1.0 if name == 'joint1' else 0.0) for name, value in home.items()}
        rig.action = lambda _: jump
        commands, began = rig.hear_commands(), rig.seen.joints[-1][1]
        rig.drive_until(lambda: abs(rig.seen.joints[-1][1][0] - began[0]) > 0.3)
        speed = rig.commanded_speed(commands)
        assert speed <= max(rig.robot.joint_speeds_rad_s) * 1.001
        limits = {name for _, _, values in rig.seen.executed for name in values if name.startswith('limited/')}
        assert limits
        report(8, 'a jump of 1 rad in joint1', f'no faster than {speed:.2f} rad/s (limit 2)')


def test_09_a_joint_stops_at_its_limit_and_comes_back(tmp_path, report):
    wide = {'workspace_low_m': [-2.0, -2.0, -2.0], 'workspace_high_m': [2.0, 2.0, 2.0]}
    robot = overridden(load_robot('sim_arm'), tmp_path, limits={**wide, 'joint_margin_rad': 0.4})
    with Rig(tmp_path, 'action.space=joint_delta', f'robot={robot}') as rig:
        from hybrid_rl_ros.control.kinematics import ArmKinematics

        upper = ArmKinematics(rig.robot).upper_rad[6] - 0.4

        def turn(step: float) -> dict[str, float]:
            return {f'{name}.delta': step if name == 'joint7' else 0.0 for name in rig.robot.arm_joints}

        rig.action = lambda _: turn(0.1)
        rig.drive(4.0)
        reached = max(position[6] for _, position, _ in rig.seen.joints)
        assert upper - 0.02 < reached < upper + 0.01  # the arm overshoots its set-point a little
        assert any('limited/joint_position' in values for _, _, values in rig.seen.executed)
        rig.action = lambda _: turn(-0.1)
        rig.drive(1.0)
        assert rig.seen.joints[-1][1][6] < upper - 0.3
        report(9, 'joint driven into its limit', f'stopped {abs(upper - reached) * 1e3:.1f} mrad from it; comes back')


def test_10_the_tool_stops_at_the_workspace_and_comes_back(rig, report):
    from hybrid_rl_ros.control.kinematics import ArmKinematics

    kinematics, high = ArmKinematics(rig.robot), rig.robot.limits.workspace_high_m
    rig.action = lambda _: {'ee.dx': 0.0, 'ee.dy': 0.025, 'ee.dz': 0.0}
    rig.drive(2.0)
    out = max(kinematics.tool_pose(position).translation[1] for _, position, _ in rig.seen.joints)
    assert high[1] - 0.01 < out < high[1] + 0.01  # as above
    rig.action = lambda _: {'ee.dx': 0.0, 'ee.dy': -0.025, 'ee.dz': 0.0}
    rig.drive_until(lambda: rig.tool()[1] < high[1] - 0.05)
    report(10, 'tool driven out of the workspace', f'stopped {(high[1] - out) * 1e3:.1f} mm from the edge; comes back')


def test_19_a_silent_estop_locks(tmp_path, report):
    from std_msgs.msg import Bool

    from hybrid_rl_ros.ros.qos import STEP

    with Rig(tmp_path, 'safety.estop_heartbeat_s=0.6') as rig:
        switch = rig.node.create_publisher(Bool, 'estop', STEP)
        beating = rig.node.create_timer(0.05, lambda: switch.publish(Bool(data=False)))
        rig.move()
        rig.drive(0.5)
        assert rig.mode == 'policy'
        beating.cancel()
        silent = time.monotonic()
        rig.drive(1.0)
        reaction = rig.require_stop(silent, 0.65)
        assert rig.state == 'estop: estop_silent'
        report(19, 'heartbeat of the e-stop stops', 'locked', reaction)


def test_20_21_a_pressed_estop_stops_at_once_and_is_not_cleared_while_pressed(rig, report):
    from std_msgs.msg import Bool

    from hybrid_rl_ros.ros.qos import LATCHED

    switch = rig.node.create_publisher(Bool, 'estop', LATCHED)
    rig.wait_for(lambda: switch.get_subscription_count() > 0)
    rig.move()
    switch.publish(Bool(data=True))
    pressed = time.monotonic()
    rig.drive(0.3)
    reaction = rig.require_stop(pressed)
    assert rig.state == 'estop: estop'
    report(20, 'e-stop pressed while moving', 'brakes; later actions discarded', reaction)

    refusal = rig.call('safety_node/clear_fault')
    assert not refusal.success and 'persists' in refusal.message
    switch.publish(Bool(data=False))
    rig.spin(0.5)
    rest = rig.seen.joints[-1][1]
    rig.wait_for(lambda: rig.call('safety_node/clear_fault').success)
    rig.spin(0.5)
    # Nothing that was said while it was pressed is done afterwards.
    assert np.abs(rig.seen.joints[-1][1] - rest).max() < 1e-3
    report(21, 'clear_fault while pressed', 'refused; nothing replayed after release')


def test_20_the_estop_service_stops_too(rig):
    rig.move()
    assert rig.call('safety_node/estop').success
    since = time.monotonic()
    rig.require_stop(since, 0.1)
    assert rig.state == 'estop: estop'


def test_24_actions_that_come_too_late_are_dropped(rig, report):
    rig.move()
    rig.age_s = rig.config.safety.max_action_age_s + 0.1
    slow = time.monotonic()
    rig.drive(0.6)
    reaction = rig.require_stop(slow, 0.15)
    assert rig.count('rejected_actions') >= 5
    report(24, 'inference slower than the control period', 'late actions dropped; hold, not last velocity', reaction)


def test_26_a_protective_stop_closes_the_gate(tmp_path, report):
    from std_msgs.msg import Bool

    from hybrid_rl_ros.ros.qos import LATCHED

    state = {'topic': 'program_running', 'type': 'std_msgs/msg/Bool', 'ok': [True]}
    robot = overridden(load_robot('sim_arm'), tmp_path, driver_states=[state])
    with Rig(tmp_path, f'robot={robot}') as rig:
        driver = rig.node.create_publisher(Bool, 'program_running', LATCHED)
        rig.wait_for(lambda: rig.state == 'hold: waiting for the driver state program_running')
        driver.publish(Bool(data=True))
        rig.move()
        driver.publish(Bool(data=False))
        stopped = time.monotonic()
        rig.drive(0.5)
        reaction = rig.require_stop(stopped, 0.15)
        assert rig.state == 'hold: driver'
        assert 'program_running says data False, expected True' in rig.call('safety_node/clear_fault').message
        report(26, 'driver says that its program stopped', 'gate closed until it runs and a person clears', reaction)


def test_30_an_incompatible_publisher_is_named(rig, report):
    from sensor_msgs.msg import JointState

    from hybrid_rl_ros.ros.qos import SENSOR

    rig.node.create_publisher(JointState, 'action/reset', SENSOR)
    rig.wait_for(lambda: rig.count('incompatible_publishers') > 0)
    assert 'rig offers another quality of service on /action/reset' in rig.log('safety_node')
    report(30, 'a best-effort publisher of actions', 'named in the log, counted')
