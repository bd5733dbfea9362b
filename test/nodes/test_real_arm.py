"""The graph of a real arm: no simulation in it, the robot's driver is a foreign process, and a person resets."""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rclpy
from graph_runs import REACH, clear_faults, hybrid_rl, overrides, prepare
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from hybrid_rl_ros.bringup import Bringup, NodeProcess, node_status, running
from hybrid_rl_ros.config_file import save_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.ros.qos import SENSOR
from hybrid_rl_ros.run_folder import read_json_lines

pytestmark = pytest.mark.real_time

ARM = ['joint1', 'joint2', 'joint3', 'joint4', 'joint5', 'joint6', 'joint7']
STATE = ['ee.x', 'ee.y', 'ee.z', 'gripper.opening', 'wrench.fz']
SETTINGS = [
    'clock=realtime',
    'sim=null',
    f'observation.state={json.dumps(STATE)}',
    'action={space: ee_delta, max_step_m: 0.01, gripper: true}',
    'reward.shaping={}',
    'train.warm_up_steps=10',
    'sac.hidden=[32, 32]',
    'eval.episodes=0',
]


class Driver:
    """Republishes the joint states of the simulated arm as some drivers do: arm and gripper in messages of their own.

    `gripper`: what becomes of the gripper's: 'own message' or 'lost'. It also is the person who calls services.
    """

    def __init__(self, gripper: str = 'own message') -> None:
        self._gripper = gripper
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node('driver', context=self._context)
        self._publisher = self._node.create_publisher(JointState, 'my_arm/joint_states', 10)
        self._node.create_subscription(JointState, 'joint_states', self._on_joints, SENSOR)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.positions: list[np.ndarray] = []

    def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, 'the condition did not come true in time'
            self._executor.spin_once(timeout_sec=0.02)

    def _on_joints(self, message: JointState) -> None:
        arm = [message.name.index(name) for name in ARM]
        rest = [i for i in range(len(message.name)) if i not in arm]
        self.positions.append(np.array([message.position[i] for i in arm]))
        for part in (arm, rest) if self._gripper == 'own message' else (arm,):
            half = JointState(header=message.header, name=[message.name[i] for i in part])
            half.position = array('d', [message.position[i] for i in part])
            half.velocity = array('d', [message.velocity[i] for i in part])
            self._publisher.publish(half)

    def call(self, service: str) -> Trigger.Response:
        client = self._node.create_client(Trigger, service)
        self.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(future.done)
        return future.result()

    def close(self) -> None:
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def arm(tmp_path):
    """The simulated arm as if it were a real one, started by somebody else."""
    config = prepare(tmp_path / 'arm', 'clock=realtime', 'observation.state=[ee.x]', 'sim.gl=off')
    with running(Bringup(config, tmp_path / 'arm', 'eval', [NodeProcess('sim_node')])):
        yield


@pytest.fixture
def robot(tmp_path) -> Path:
    path = tmp_path / 'my_arm.yaml'
    save_config(load_robot('sim_arm').model_copy(update={'joint_state_topic': 'my_arm/joint_states'}), path)
    return path


@pytest.mark.slow
def test_a_person_begins_and_judges_the_episodes_of_a_real_arm(tmp_path, arm, robot):
    run, driver = tmp_path / 'run', Driver()
    settings = overrides(*SETTINGS, f'robot={robot}', 'train.env_steps=80', 'episode.time_limit_steps=40')
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *settings)
    try:
        driver.until(lambda: 'person' in node_status(run, 'reward_reset_node').get('warning', ''))
        assert not driver.call('reward_reset_node/success').success
        start = driver.positions[-1]
        assert driver.call('reward_reset_node/begin').success
        driver.until(lambda: node_status(run, 'safety_node')['counters'].get('executed_policy', 0) > 10)
        assert driver.call('reward_reset_node/success').success
        driver.until(lambda: len(read_json_lines(run / 'episodes.jsonl')) == 1)
        assert np.abs(driver.positions[-1] - start).max() > 0.01
        # Refused while the arm is still braking.
        driver.until(lambda: driver.call('reward_reset_node/begin').success)
        driver.until(lambda: len(read_json_lines(run / 'episodes.jsonl')) == 2)
        driver.until(lambda: driver.call('reward_reset_node/begin').success)
        driver.until(lambda: process.poll() is not None)
        assert process.returncode == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()
        driver.close()
    outcomes = [episode['outcome'] for episode in read_json_lines(run / 'episodes.jsonl')]
    assert outcomes[:2] == ['succeeded', 'timed_out']
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        assert store.transitions >= 80


@pytest.mark.slow
def test_an_arm_with_a_reset_routine_and_a_reward_trains_without_a_person(tmp_path, arm, robot):
    run, driver = tmp_path / 'run', Driver()
    low = 'reward.success={when: "ee.z < 0.17", steps: 2}'
    start = [0.45, 0.1, 0.2]
    routine = f'reset={{routine: [{{move: {start}}}, {{gripper: open}}]}}'
    settings = overrides(*SETTINGS, f'robot={robot}', low, routine, 'train.env_steps=60', 'episode.time_limit_steps=20')
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *settings)
    try:
        driver.until(lambda: (clear_faults(run), process.poll() is not None)[-1], within_s=150.0)
        assert process.returncode == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()
        driver.close()
    lines = read_json_lines(run / 'episodes.jsonl')
    assert len(lines) >= 3 and {line['outcome'] for line in lines} <= {'succeeded', 'timed_out', 'aborted'}
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        episodes = [store.states(store.episode_rows(e.episode)) for e in store.episodes()]
    # One whose beginning is lost, where a busy machine kept the gate waiting, begins further on.
    begun = sum(np.linalg.norm(states[0, :3] - start) < 0.04 for states in episodes)
    assert begun >= 3
    assert node_status(run, 'safety_node')['counters']['executed_reset'] > 0


@pytest.mark.slow
def test_a_joint_that_no_message_carries_is_named(tmp_path, arm, robot):
    driver = Driver(gripper='lost')
    settings = overrides(*SETTINGS, f'robot={robot}')
    process = hybrid_rl('train', '--config', REACH, '--run', str(tmp_path / 'run'), *settings)
    try:
        driver.until(lambda: process.poll() is not None)
        _, errors = process.communicate()
    finally:
        driver.close()
    assert process.returncode == 2, errors
    assert 'my_arm/joint_states' in errors and "'finger_left_joint'" in errors, errors
