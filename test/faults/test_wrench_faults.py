"""The force sensor at the wrist: too much, in other axes than the tool's, in unknown ones, and none at all."""

from __future__ import annotations

import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import WrenchStamped
from rig import AT_REST_RAD_S, CONFIG, SWAY, Rig, overridden
from waiting import wait_for

from hybrid_rl_ros.bringup import prepare_run, resolve_specs
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.nodes.safety_node import SafetyNode
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.ros.qos import SENSOR

pytestmark = [pytest.mark.slow, pytest.mark.real_time]


class WrenchRig(Rig):
    """The test is the force sensor too: `force` (3,) N along the axes of `wrench_frame`, or None for silence."""

    force: np.ndarray | None = np.zeros(3)
    wrench_frame = 'base_link'

    def _listen(self) -> None:
        publisher = self.node.create_publisher(WrenchStamped, 'sensor/wrench', SENSOR)

        def sense() -> None:
            if self.force is not None:
                message = WrenchStamped()
                message.header.frame_id = self.wrench_frame
                message.wrench.force.x, message.wrench.force.y, message.wrench.force.z = map(float, self.force)
                publisher.publish(message)

        self.node.create_timer(0.01, sense)
        super()._listen()


@pytest.fixture
def rig(tmp_path):
    robot = overridden(load_robot('sim_arm'), tmp_path, wrench_topic='sensor/wrench', limits={'force_n': 20.0})
    # The sensor shares this process with the test, which may be kept waiting.
    with WrenchRig(tmp_path, f'robot={robot}', 'safety.wrench_timeout_s=0.5') as rig:
        yield rig


def test_a_pushed_arm_stops_gives_way_and_goes_on(rig, report):
    rig.move()
    rig.force = np.array([0.0, -30.0, 0.0])
    pushed = time.monotonic()
    rig.drive(1.0)
    # Stopped by the push: the actions go on all the time.
    reaction = [at for at, _, speed in rig.seen.joints if np.abs(speed).max() > AT_REST_RAD_S][-1] - pushed
    assert rig.mode == 'policy' and reaction < 0.5
    report(9, '30 N against the motion, limit 20 N', 'no further; retreat allowed', reaction)
    stood = rig.tool()
    rig.action = lambda _: {**SWAY, 'ee.dy': -0.012}
    rig.drive_until(lambda: rig.tool()[1] < stood[1] - 0.03)
    rig.force = np.zeros(3)
    rig.action = lambda _: dict(SWAY)
    rig.drive_until(lambda: rig.tool()[1] > stood[1] - 0.02)


def test_a_silent_force_sensor_stops_the_arm(rig, report):
    rig.move()
    rig.force = None
    silent = time.monotonic()
    rig.drive(1.0)
    reaction = rig.require_stop(silent, rig.config.safety.wrench_timeout_s + 0.1)
    assert rig.state == 'hold: wrench_lost'
    report(13, 'the force sensor stops', 'hold, latched', reaction)


def test_a_wrench_in_an_unknown_frame_opens_nothing(tmp_path):
    robot = overridden(load_robot('sim_arm'), tmp_path, wrench_topic='sensor/wrench', limits={'force_n': 20.0})
    WrenchRig.wrench_frame = 'somewhere'
    try:
        with WrenchRig(tmp_path, f'robot={robot}') as rig:
            rig.drive(0.5)
            assert rig.state == 'hold: waiting for sensor/wrench'
            assert "frame 'somewhere' is not in the URDF" in rig.log('safety_node')
    finally:
        WrenchRig.wrench_frame = 'base_link'


def test_what_the_sensor_said_while_the_gate_itself_stood_still_counts(tmp_path):
    robot = overridden(load_robot('sim_arm'), tmp_path, wrench_topic='sensor/wrench', limits={'force_n': 20.0})
    config = load_config(CONFIG / 'sim_reach_state.yaml', ['clock=realtime', f'robot={robot}'])
    prepare_run(tmp_path, config, resolve_specs(config))
    rclpy.init(args=['--ros-args', '-p', f'run_dir:={tmp_path}'])
    gate, sensor = SafetyNode(), rclpy.create_node('sensor')
    try:
        publisher = sensor.create_publisher(WrenchStamped, 'sensor/wrench', SENSOR)
        gate.trigger_configure()
        gate.trigger_activate()
        message = WrenchStamped()
        message.header.frame_id = 'base_link'

        def heard() -> bool:
            publisher.publish(message)
            gate.tick()
            return gate._wrench.heard

        wait_for(heard)
        time.sleep(2.0 * config.safety.wrench_timeout_s)
        publisher.publish(message)
        time.sleep(0.5 * config.safety.wrench_timeout_s)
        gate._check_surroundings()
        assert not gate._gate.faults
        time.sleep(2.0 * config.safety.wrench_timeout_s)
        gate._check_surroundings()
        assert [fault.code for fault in gate._gate.faults.faults] == ['wrench_lost']
    finally:
        gate.destroy_node()
        sensor.destroy_node()
        rclpy.try_shutdown()
