"""Faults upstream of the gate, in the whole graph, at the simulated arm. The scripted expert moves it."""

from __future__ import annotations

import json
import os
import signal
import time

import numpy as np
import pytest
from rig import RATE_HZ, Rig

from hybrid_rl_ros.bringup import NodeProcess, node_status, nodes_of_run
from hybrid_rl_ros.run_folder import read_json_lines

pytestmark = [pytest.mark.slow, pytest.mark.real_time]

# So that no episode ends by itself just then.
NEVER = 'reward.success={when: "ee.z < -1"}'
FRONT = 'observation.cameras={front: {width: 32, height: 32, source: {uri: /dev/null}}}'


class GraphRig(Rig):
    """The graph of an evaluation with the expert; nothing is published by the test but what a test adds."""

    def nodes(self) -> list[NodeProcess]:
        nodes = nodes_of_run(self.config, 'eval', expert='reach')
        return [node for node in nodes if not node.name.startswith('camera_node')]

    def _join_graph(self) -> None:
        """Everybody is there already."""

    def _matched(self) -> bool:
        return True

    def moving(self) -> None:
        self.wait_for(lambda: self.speed > 0.15, within_s=40)


@pytest.fixture
def graph(tmp_path):
    with GraphRig(tmp_path, 'episode.time_limit_steps=400') as graph:
        yield graph


def outcomes(graph: Rig) -> list[str]:
    return [episode['outcome'] for episode in read_json_lines(graph.run / 'episodes.jsonl')]


@pytest.mark.parametrize(
    ('case', 'number', 'injected'),
    [
        (15, signal.SIGKILL, 'kill -9 of inference_node'),
        (16, signal.SIGSTOP, 'inference_node alive but mute (SIGSTOP)'),
    ],
)
def test_15_16_inference_gone_or_mute_holds_the_arm(graph, report, case, number, injected):
    graph.moving()
    gone = time.monotonic()
    graph.kill('inference_node', number)
    reaction = graph.require_stop(gone, graph.config.safety.action_timeout_s)
    assert graph.state == 'hold: action_lost'
    report(case, injected, 'hold; a person must clear it', reaction)
    if number == signal.SIGSTOP:
        graph.kill('inference_node', signal.SIGCONT)
        rest = graph.seen.joints[-1][1]
        graph.spin(1.0)
        assert np.abs(graph.seen.joints[-1][1] - rest).max() < 2e-3
        graph.wait_for(lambda: graph.call('safety_node/clear_fault').success)
        graph.moving()


def test_15_without_who_judges_the_arm_holds_and_nothing_is_labelled(tmp_path, report):
    with GraphRig(tmp_path, 'episode.time_limit_steps=400', NEVER) as graph:
        graph.moving()
        gone = time.monotonic()
        graph.kill('reward_reset_node', signal.SIGKILL)
        reaction = graph.require_stop(gone, graph.config.safety.episode_timeout_s)
        with pytest.raises(Exception, match='reward_reset_node was killed by SIGKILL; the arm holds'):
            graph.bringup.check()
        graph.spin(1.0)
        assert graph.mode == 'hold' and outcomes(graph) == []
    report(15, 'kill -9 of reward_reset_node', 'hold; no label; the command says which', reaction)


def test_20_a_person_who_stops_a_reset_is_obeyed_and_the_reset_begins_anew(tmp_path, report):
    there_and_back = [{'move': [0.4, 0.2, 0.3]}, {'move': [0.5, -0.2, 0.2]}]
    settings = ('sim.reset=none', f'reset={json.dumps({"routine": there_and_back})}', 'episode.time_limit_steps=15')
    with GraphRig(tmp_path, *settings, NEVER) as graph:
        graph.wait_for(lambda: graph.mode == 'reset' and graph.speed > 0.1, within_s=60)
        ended = len(outcomes(graph))
        assert graph.call('safety_node/estop').success
        graph.wait_for(lambda: graph.mode == 'estop' and graph.speed < 0.01)
        rest = graph.seen.joints[-1][1]
        graph.spin(1.0)
        assert np.abs(graph.seen.joints[-1][1] - rest).max() < 2e-3
        assert not {'succeeded', 'failed'} & set(outcomes(graph)[ended:])
        graph.wait_for(lambda: graph.call('safety_node/clear_fault').success)
        graph.wait_for(lambda: graph.mode == 'reset' and graph.speed > 0.1)
        graph.wait_for(lambda: graph.mode == 'policy', within_s=40)
        report(20, 'e-stop during a reset', 'stands; no label; the reset begins anew when cleared')


def test_11_a_camera_that_stops_ends_in_a_hold_and_the_episode_has_no_label(tmp_path, report):
    times = 'observation.max_age_s=0.3', 'episode.observation_timeout_s=0.6', 'episode.time_limit_steps=400'
    with CameraRig(tmp_path, FRONT, *times, NEVER) as graph:
        graph.moving()
        ended = len(outcomes(graph))
        graph.film = 'stopped'
        stopped = time.monotonic()
        reaction = graph.require_stop(stopped, 0.3 + graph.config.safety.action_timeout_s)
        assert graph.mode == 'hold'
        report(11, 'a camera stops', 'observations stop by age of stamps; hold', reaction)
        graph.wait_for(lambda: set(outcomes(graph)[ended:]) == {'aborted'})
        graph.film = 'live'
        graph.wait_for(lambda: graph.call('safety_node/clear_fault').success)
        graph.moving()
        report(11, 'a camera stops in an episode', 'aborted without a label; goes on when it is back')


def test_12_a_camera_that_repeats_one_picture_ends_in_a_hold(tmp_path, report):
    with CameraRig(tmp_path, FRONT, 'observation.frozen_after_s=0.3') as graph:
        graph.moving()
        graph.film = 'frozen'
        frozen = time.monotonic()
        reaction = graph.require_stop(frozen, 0.5 + graph.config.safety.action_timeout_s)
        assert graph.mode == 'hold'
        assert 'front/image_raw repeats one picture' in graph.log('observation_node')
        report(12, 'a camera repeats one picture with new stamps', 'named; observations stop; hold', reaction)


class CameraRig(GraphRig):
    """A graph whose camera `front` is the test: noise, one picture, or nothing."""

    film = 'live'

    def __enter__(self) -> CameraRig:
        import rclpy
        from rclpy.node import Node
        from sensor_msgs.msg import Image

        from hybrid_rl_ros.ros.messages import write_image
        from hybrid_rl_ros.ros.qos import CAMERA

        super().__enter__()
        publisher = self.node.create_publisher(Image, 'front/image_raw', CAMERA)
        noise = np.random.default_rng(0)
        picture = np.zeros((32, 32, 3), np.uint8)

        def film() -> None:
            nonlocal picture
            if self.film == 'live':
                picture = noise.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            if self.film != 'stopped':
                publisher.publish(write_image(picture, self.node.get_clock().now().nanoseconds, 'front_optical_frame'))

        self.node.create_timer(1 / RATE_HZ / 2, film)
        assert rclpy.ok() and isinstance(self.node, Node)
        return self


def test_17_a_callback_that_raises_ends_its_process_visibly(graph, report):
    """A state without a name that the configuration asks for is a bug upstream, not something to act on."""
    from sensor_msgs.msg import JointState

    from hybrid_rl_ros.ros.messages import write_named_vector
    from hybrid_rl_ros.ros.qos import STEP

    graph.moving()
    rogue = graph.node.create_publisher(JointState, 'reward', STEP)
    graph.wait_for(lambda: rogue.get_subscription_count() > 0)
    rogue.publish(write_named_vector({'nonsense': 1.0}, graph.node.get_clock().now().nanoseconds))
    raised = time.monotonic()
    reaction = graph.require_stop(raised, 0.2)
    with pytest.raises(Exception, match='safety_node ended with status 1'):
        graph.bringup.check()
    assert 'KeyError' in graph.log('safety_node')
    report(17, 'a callback raises', 'the process ends, the command says which', reaction)


def test_22_a_clock_that_stands_still_does_not_stop_the_watchdogs(tmp_path, report):
    """The gate on simulated time with nobody publishing /clock."""
    from sensor_msgs.msg import JointState

    from hybrid_rl_ros.ros.messages import write_named_vector
    from hybrid_rl_ros.ros.qos import STEP

    gate = NodeProcess('safety_node', {'use_sim_time': True})
    with Rig(tmp_path, 'safety.max_action_age_s=10.0', nodes=(NodeProcess('sim_node'), gate)) as rig:
        actions = rig.node.create_publisher(JointState, 'action/policy', STEP)
        rig.node.destroy_publisher(rig._actions.pop('policy'))
        rig.wait_for(lambda: actions.get_subscription_count() > 0)
        for step in range(100):
            # Time is 0 for ever, so stamps are counted up within what may lead it.
            rig._reward.publish(write_named_vector({'reward': 0.0, 'running': 1.0}, 1 + step))
            actions.publish(write_named_vector(rig.action(step), 1 + step, rig.frame))
            rig.spin(1 / RATE_HZ)
            if step >= 20 and rig.mode == 'policy':
                break
        assert rig.mode == 'policy'
        silent = time.monotonic()
        rig.spin(0.5)
        rig.wait_for(lambda: rig.mode == 'hold', within_s=2.0)
        held = next(at for at, state in rig.seen.states if at > silent and state.startswith('hold'))
        report(22, '/clock stands still', 'watchdogs go on: hold', held - silent)


class TrainingRig(GraphRig):
    """The graph of a training; the learner's weights move the arm."""

    role = 'train'

    def nodes(self) -> list[NodeProcess]:
        return nodes_of_run(self.config, 'train')

    def learning(self) -> None:
        self.wait_for(lambda: node_status(self.run, 'inference_node').get('policy_version', 0) >= 1, within_s=60)
        self.moving()


TRAINING = ('train.env_steps=100000', 'train.warm_up_steps=20', 'sac.hidden=[32, 32]', 'episode.time_limit_steps=400')


def test_15_without_the_learner_the_arm_goes_on(tmp_path, report):
    with TrainingRig(tmp_path, *TRAINING) as graph:
        graph.learning()
        graph.kill('learner_node', signal.SIGKILL)
        before = graph.count('executed_policy')
        graph.wait_for(lambda: graph.count('executed_policy') > before + 40)
        assert graph.mode == 'policy'
        report(15, 'kill -9 of learner_node', 'the arm goes on with the last weights')


def test_25_weights_that_are_not_a_policy_are_refused(tmp_path, report):
    from std_msgs.msg import UInt8MultiArray

    from hybrid_rl_ros.ros.messages import write_bytes
    from hybrid_rl_ros.ros.qos import LATCHED

    with TrainingRig(tmp_path, *TRAINING) as graph:
        graph.learning()
        forged = graph.node.create_publisher(UInt8MultiArray, 'policy/weights', LATCHED)
        graph.wait_for(lambda: forged.get_subscription_count() > 0)
        forged.publish(write_bytes(b'not a policy'))
        graph.wait_for(lambda: graph.count('rejected_weights', 'inference_node') > 0)
        before = graph.count('executed_policy')
        graph.wait_for(lambda: graph.count('executed_policy') > before + 20)
        report(25, 'weights that are no policy', 'refused, counted; acts on with the old ones')


def test_26_an_episode_under_a_fault_is_aborted_not_failed(graph, report):
    graph.moving()
    ended = len(outcomes(graph))
    assert graph.call('safety_node/estop').success
    graph.wait_for(lambda: 'aborted' in outcomes(graph)[ended:])
    graph.spin(1.5)
    assert outcomes(graph)[ended:] == ['aborted']
    graph.wait_for(lambda: graph.call('safety_node/clear_fault').success)
    graph.moving()
    report(26, 'a fault in an episode', 'episode aborted (no label); next after clearing')


@pytest.mark.skipif(os.geteuid() != 0, reason='mounting a small file system needs root')
def test_31_a_full_disk_stops_the_recorder_and_not_the_arms_safety(tmp_path, report):
    import subprocess

    replay = tmp_path / 'run' / 'replay'
    replay.mkdir(parents=True)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', str(replay)], capture_output=True).returncode:
        pytest.skip('no file system can be mounted here')
    try:
        with GraphRig(tmp_path, 'episode.time_limit_steps=400') as graph:
            graph.moving()
            with pytest.raises(OSError, match='No space left'), open(replay / 'filler', 'wb', buffering=0) as filler:
                while True:
                    filler.write(bytes(4096))
            recorder = graph.bringup.process('recorder_node')
            graph.wait_for(lambda: recorder.poll() is not None, within_s=60)
            assert recorder.returncode == 2
            assert 'a step could not be written: No space left' in graph.log('recorder_node')
            assert graph.bringup.process('safety_node').poll() is None
            report(31, 'disk full', 'recorder says so and ends; the gate goes on')
    finally:
        subprocess.run(['umount', '-l', str(replay)], check=False)


def test_32_without_a_reset_nothing_is_labelled(tmp_path, report):
    """The service sim/reset is not there: no episode begins, and none succeeds."""
    with GraphRig(tmp_path) as graph:
        graph.moving()
        graph.kill('sim_node', signal.SIGSTOP)
        # What had ended by then is written.
        graph.spin(0.5)
        count = len(outcomes(graph))
        graph.spin(4.0)
        graph.kill('sim_node', signal.SIGCONT)
        assert 'succeeded' not in outcomes(graph)[count:]
        report(32, 'reset and reward without a source', 'episode aborted, no success labelled')
