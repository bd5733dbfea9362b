"""An arm that gets hot pauses, and a person lets it go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import rclpy
import yaml
from graph_runs import SMALL, call, clear_faults, executed, prepare
from sensor_msgs.msg import Temperature
from waiting import wait_for

from hybrid_rl_ros.bringup import Bringup, node_status, nodes_of_run, running
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.run_folder import read_json_lines

pytestmark = [pytest.mark.slow, pytest.mark.real_time]


class Thermometer:
    """Tells the elbow's temperature while something is waited for."""

    def __init__(self) -> None:
        self._node = rclpy.create_node('thermometer')
        self._publisher = self._node.create_publisher(Temperature, 'elbow/temperature', 10)
        self.celsius: float | None = None

    def until(self, condition: Callable[[], bool]) -> None:
        def told() -> bool:
            if self.celsius is not None:
                self._publisher.publish(Temperature(temperature=self.celsius))
            return condition()

        wait_for(told)

    def close(self) -> None:
        self._node.destroy_node()


@pytest.fixture
def thermometer():
    rclpy.init()
    thermometer = Thermometer()
    yield thermometer
    thermometer.close()
    rclpy.try_shutdown()


def test_a_hot_joint_ends_the_episode_and_calls_a_person(tmp_path: Path, thermometer: Thermometer) -> None:
    robot = yaml.safe_load((share_folder('config') / 'robots' / 'sim_arm.yaml').read_text())
    robot['temperature_topics'] = {'elbow': 'elbow/temperature'}
    (tmp_path / 'arm.yaml').write_text(yaml.safe_dump(robot))
    hot = ('episode.pause_when=temperature.elbow > 60', f'robot={tmp_path / "arm.yaml"}')
    run = tmp_path / 'run'
    run.mkdir()
    config = prepare(run, *SMALL, 'clock=realtime', 'control_rate_hz=10', 'train.env_steps=100000', *hot)
    with running(Bringup(config, run, 'train', nodes_of_run(config, 'train'))):
        thermometer.until(
            lambda: node_status(run, 'observation_node').get('warning') == 'waiting for elbow/temperature'
        )
        assert executed(run) == 0, 'without the thermometer the arm holds'
        thermometer.celsius = 40.0
        thermometer.until(lambda: (clear_faults(run), executed(run) > 10)[-1])
        thermometer.celsius = 70.0
        called = 'needs a person: temperature.elbow > 60: temperature.elbow is 70'
        thermometer.until(lambda: node_status(run, 'reward_reset_node').get('warning', '').startswith(called))
        before = executed(run)
        thermometer.celsius = 40.0
        assert call('reward_reset_node/begin').success
        thermometer.until(lambda: (clear_faults(run), executed(run) > before + 10)[-1])
    told = [event for event in read_json_lines(run / 'events.jsonl') if 'temperature' in event['cause']]
    assert [event['state'] for event in told] == ['timed_out', 'resetting']
