"""A person's device in the graph: demonstrations by a gamepad, and taking over from the policy."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from graph_runs import CONFIG, hybrid_rl, overrides
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState, Joy
from waiting import wait_for

from hybrid_rl_ros.bringup import node_status
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.ros.messages import read_named_vector
from hybrid_rl_ros.ros.qos import STEP
from hybrid_rl_ros.sim.experts import make_expert
from hybrid_rl_ros.teleop_config import load_teleop

pytestmark = pytest.mark.real_time

LIFT = str(CONFIG / 'sim_lift.yaml')
SETTINGS = ['clock=realtime', 'observation.cameras={}', 'sim.gl=off', 'episode.time_limit_steps=150']
STEP_M = 0.025
RATE_HZ = 30.0
START, SUCCESS, DISCARD, CLUTCH = 7, 3, 6, 5


class ScriptedPad:
    """joy_node with a pad whose sticks the scripted expert moves. `held`: buttons pressed beside those of the grip."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node('joy_node', context=self._context)
        self._publisher = self.node.create_publisher(Joy, 'joy', 10)
        self.node.create_subscription(JointState, 'task_state', self._on_task, STEP)
        self.node.create_subscription(JointState, 'reward', self._on_reward, STEP)
        self.node.create_subscription(JointState, 'action/executed', self._on_executed, STEP)
        self.node.create_timer(1.0 / RATE_HZ, self._on_timer)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._deadzone = load_teleop('joy').deadzone
        self._expert = make_expert('lift', 0.0, 1, STEP_M)
        self._axes, self._grip = [0.0] * 8, 0
        self.held: set[int] = set()
        self.steering = self.plugged_in = True
        self.running = False
        self.episode = -1.0
        self.executed_by: list[str] = []
        self._said = 0

    def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f'the condition did not come true in time (running: {self.running})'
            self._executor.spin_once(timeout_sec=0.02)

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def press(self, button: int, messages: int = 6) -> None:
        self.held.add(button)
        self._say(messages)
        self.held.remove(button)
        self._say(messages)

    def _say(self, messages: int) -> None:
        until = self._said + messages
        self.until(lambda: self._said >= until)

    def close(self) -> None:
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _on_task(self, message: JointState) -> None:
        action = self._expert.act(read_named_vector(message))
        push = action[:3] / STEP_M
        beyond = np.sign(push) * (np.abs(push) * (1.0 - self._deadzone) + self._deadzone)
        self._axes[1], self._axes[0], self._axes[4] = (float(value) for value in beyond)
        self._grip = 1 if action[3] > 0 else 0

    def _on_reward(self, message: JointState) -> None:
        values = read_named_vector(message)
        self.running, episode = values['running'] > 0.5, values['episode']
        if episode != self.episode:
            self.episode = episode
            self._expert.reset()

    def _on_executed(self, message: JointState) -> None:
        self.executed_by += [name.removeprefix('by/') for name in message.name if name.startswith('by/')]

    def tap(self, button: int) -> None:
        """Down and up at once: both messages may wait when the node next looks."""
        self._publish({button})
        self._publish(set())

    def _on_timer(self) -> None:
        if self.plugged_in:
            # Between episodes the clutch is open: nobody begins one while the arm moves.
            self._publish(self.held | ({CLUTCH, self._grip} if self.steering and self.running else set()))

    def _publish(self, pressed: set[int]) -> None:
        self._publisher.publish(Joy(axes=self._axes, buttons=[int(button in pressed) for button in range(11)]))
        self._said += 1


@pytest.fixture
def pad() -> Iterator[ScriptedPad]:
    scripted = ScriptedPad()
    yield scripted
    scripted.close()


@pytest.mark.slow
def test_a_gamepad_records_five_lifts_and_takes_one_back(pad: ScriptedPad, tmp_path: Path):
    out = tmp_path / 'demos'
    arguments = ['--config', LIFT, '--teleop', 'joy', '--episodes', '5', '--out', str(out)]
    process = hybrid_rl('record', *arguments, *overrides(*SETTINGS))
    work = tmp_path / 'demos.recording'

    def counted(counter: str) -> int:
        return node_status(work, 'recorder_node').get('counters', {}).get(counter, 0)

    def kept() -> int:
        return counted('kept_episodes')

    def pause_and_say_success() -> None:
        """The clutch open in the middle, and again when the button is pressed: as people do."""
        pad.press(START)
        pad.until(lambda: pad.running)
        pad.wait(0.4)
        pad.steering = False
        pad.wait(0.4)
        pad.steering = True
        pad.wait(0.4)
        pad.steering = False
        pad.wait(0.3)
        pad.press(SUCCESS)
        pad.until(lambda: not pad.running)
        pad.steering = True

    def lift() -> None:
        if not pad.running:
            pad.press(START)
        pad.until(lambda: pad.running or process.poll() is not None)
        pad.until(lambda: not pad.running or process.poll() is not None)

    def lift_until_one_is_kept() -> None:
        """In real time on a busy machine the script drops the cube now and then, as people do: it tries again."""
        while not kept():
            judged = counted('discarded_episodes')
            lift()
            pad.until(lambda judged=judged: kept() == 1 or counted('discarded_episodes') > judged)

    try:
        pad.until(lambda: node_status(work, 'teleop_node').get('counters', {}).get('released', 0) > 0)
        pad.until(lambda: not node_status(work, 'teleop_node')['warning'], within_s=10.0)
        pad.until(lambda: node_status(work, 'reward_reset_node').get('warning', '').startswith('waiting for a person'))
        # An episode that is thrown away while it runs leaves nothing behind.
        pad.tap(START)
        pad.until(lambda: pad.running)
        pad.wait(0.5)
        pad.press(DISCARD)
        pad.until(lambda: not pad.running)
        lift_until_one_is_kept()
        # Outside an episode the same button takes back the last one.
        pad.press(DISCARD)
        pad.until(lambda: kept() == 0)
        pause_and_say_success()
        pad.until(lambda: kept() == 1)
        while process.poll() is None:
            lift()
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert '5 episodes' in output
    with ReplayStore.open(out, read_only=True) as store:
        episodes = store.episodes()
        # Where a busy machine kept the gate waiting it held, and the episode's store has a seam there.
        assert [(e.terminal, e.return_) for e in episodes if e.return_ or e.terminal] == [(True, 1.0)] * 5
        rows = np.concatenate([store.episode_rows(e.episode)[:-1] for e in episodes])
        assert all(e.interventions == e.steps - e.terminal for e in episodes), "every action was the person's"
        assert np.abs(store.actions(rows)[:, :3]).max() <= STEP_M + 1e-6
        assert all((np.diff(store.stamps(store.episode_rows(e.episode))) > 0).all() for e in episodes)


@pytest.mark.slow
def test_holding_the_clutch_takes_over_at_once_and_letting_go_hands_back(pad: ScriptedPad, tmp_path: Path):
    """And a pad that is pulled out in the middle does not hand back to the policy: the arm holds until cleared."""
    run = tmp_path / 'run'
    settings = [*SETTINGS, 'teleop.device=joy', 'train.env_steps=100000', 'train.warm_up_steps=100000']
    settings += ['episode.time_limit_steps=10000', 'sac.hidden=[32, 32]', 'eval.episodes=0']
    pad.steering = False
    process = hybrid_rl('train', '--config', LIFT, '--run', str(run), *overrides(*settings))
    try:
        pad.until(lambda: pad.executed_by[-5:] == ['policy'] * 5)
        before = len(pad.executed_by)
        pad.steering = True
        pad.until(lambda: pad.executed_by[-5:] == ['teleop'] * 5)
        pad.steering = False
        pad.until(lambda: pad.executed_by[-5:] == ['policy'] * 5)
        assert 'hold' not in pad.executed_by[before:], 'neither taking over nor handing back stops the arm'
        pad.steering = True
        pad.until(lambda: pad.executed_by[-5:] == ['teleop'] * 5)
        pad.plugged_in = False
        pad.until(lambda: node_status(run, 'safety_node').get('faults') == ['teleop_lost'])
        assert pad.executed_by[-1] != 'policy'
        lost = len(pad.executed_by)
        pad.plugged_in = True
        pad.wait(0.5)
        assert {'policy', 'teleop'}.isdisjoint(pad.executed_by[lost:])
    finally:
        process.terminate()
        process.communicate(timeout=30)
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        marked = sum(episode.interventions for episode in store.episodes())
        assert marked == pad.executed_by.count('teleop')
    lines = [json.loads(line) for line in (run / 'episodes.jsonl').read_text().splitlines()]
    assert sum(line['interventions'] for line in lines) == pad.executed_by.count('teleop')


@pytest.mark.slow
def test_a_recording_that_is_stopped_keeps_what_it_has(tmp_path: Path):
    out, work = tmp_path / 'demos', tmp_path / 'demos.recording'
    settings = ['observation.cameras={}', 'sim.gl=off']
    arguments = ['--config', LIFT, '--expert', 'lift', '--episodes', '1000', '--out', str(out)]
    process = hybrid_rl('record', *arguments, *overrides(*settings))
    try:
        wait_for(lambda: node_status(work, 'recorder_node').get('counters', {}).get('kept_episodes', 0) >= 3)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    with ReplayStore.open(out, read_only=True) as store:
        episodes = store.episodes()
        assert len(episodes) >= 3
        assert all(episode.terminal and episode.return_ == 1.0 for episode in episodes)
        assert f'{len(episodes)} episodes' in output
    assert not work.exists()


@pytest.mark.slow
def test_an_input_that_the_pad_does_not_have_is_one_line(pad: ScriptedPad, tmp_path: Path):
    """Else the arm would not move along it, and the demonstrations would be of that."""
    mapping = tmp_path / 'mine.yaml'
    mapping.write_text((CONFIG / 'teleop' / 'joy.yaml').read_text().replace('axis1: 1.0', 'axis44: 1.0'))
    arguments = ['--config', LIFT, '--teleop', str(mapping), '--episodes', '1', '--out', str(tmp_path / 'demos')]
    process = hybrid_rl('record', *arguments, *overrides(*SETTINGS))
    try:
        pad.until(lambda: process.poll() is not None)
    finally:
        process.kill()
    _, errors = process.communicate()
    assert process.returncode == 2
    (line,) = errors.strip().splitlines()
    assert f'{mapping}: motion.ee.dx: the device has no axis44; it has 8 axes and 11 buttons' in line
