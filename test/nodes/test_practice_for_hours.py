"""Hours of practice with something going wrong every few minutes: no process dies, and nobody counts otherwise.

HYBRID_RL_SIMULATED_HOURS sets how long (0.1; `-s` prints what happened).
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest
import rclpy
from std_srvs.srv import Trigger
from test_graph import REACH, hybrid_rl, overrides

from hybrid_rl_ros.bringup import node_status
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.run_folder import read_json_lines

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

RATE_HZ = 10.0
STEPS = round(float(os.environ.get('HYBRID_RL_SIMULATED_HOURS', '0.1')) * 3600 * RATE_HZ)
STEPS_BETWEEN_FAULTS = 300
SETTINGS = [
    f'train.env_steps={STEPS}',
    'train.warm_up_steps=100000000',
    'eval.episodes=0',
    'reward.shaping={}',
    'reward.success={when: "task.distance < 0.04"}',
    'sim.reset=none',
    'reset={routine: [{move: [0.45, 0.0, 0.2], randomise_m: [0.1, 0.15, 0.1]}], verify: {when: "ee.z > 0.05"}}',
]


class Person:
    """Calls services, and waits until what it wants has come true."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node('person', context=self._context)
        self._executor = rclpy.executors.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def call(self, service: str) -> Trigger.Response:
        client = self._node.create_client(Trigger, service)
        assert client.wait_for_service(timeout_sec=20.0)
        future = client.call_async(Trigger.Request())
        self._executor.spin_until_future_complete(future, timeout_sec=20.0)
        self._node.destroy_client(client)
        return future.result()

    def close(self) -> None:
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


def test_whoever_counts_the_episodes_comes_to_the_same(tmp_path):
    run, person, chance, done = tmp_path / 'run', Person(), random.Random(1), Counter()
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *overrides(*SETTINGS))

    def stop() -> None:
        assert person.call('safety_node/estop').success
        time.sleep(chance.uniform(0.0, 0.5))
        while not person.call('safety_node/clear_fault').success:
            time.sleep(0.05)

    faults: dict[str, Callable[[], object]] = {
        'e-stop': stop,
        'success': lambda: person.call('reward_reset_node/success'),
        'failure': lambda: person.call('reward_reset_node/failure'),
        'discard': lambda: person.call('reward_reset_node/discard'),
    }
    try:
        steps, due = 0, STEPS_BETWEEN_FAULTS
        while process.poll() is None:
            time.sleep(0.05)
            steps = node_status(run, 'learner_node').get('env_steps', 0)
            if due <= steps < STEPS - STEPS_BETWEEN_FAULTS:
                name = chance.choice(sorted(faults))
                faults[name]()
                done[name] += 1
                due = steps + chance.randint(1, 2 * STEPS_BETWEEN_FAULTS)
        _, errors = process.communicate()
    finally:
        process.kill()
        process.communicate()
        person.close()
    assert process.returncode == 0, errors
    assert sum(done.values()) >= min(4, STEPS // (3 * STEPS_BETWEEN_FAULTS))
    lines = read_json_lines(run / 'episodes.jsonl')
    outcomes = Counter(line['outcome'] for line in lines)
    counted = node_status(run, 'reward_reset_node')['counters']
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        stored = store.episodes()
        ends = Counter(
            'success' if e.terminal and e.return_ > 0 else 'failure' if e.terminal else 'time'
            for e in stored
            if e.terminal or e.truncated
        )
        transitions = store.transitions
    assert ends == {'success': outcomes['succeeded'], 'failure': outcomes['failed'], 'time': outcomes['timed_out']}
    assert [line['episode'] for line in lines] == list(range(len(lines))), 'none is missing or told twice'
    for state in ('succeeded', 'failed', 'timed_out', 'aborted'):
        assert counted.get(state, 0) - outcomes[state] in (0, 1), 'but for one that the end of the run cut off'
    assert transitions >= STEPS
    assert json.loads((run / 'summary.json').read_text())['transitions_stored'] == transitions
    print(f'{STEPS / RATE_HZ / 3600:g} simulated hours with {dict(done)}: {len(lines)} episodes, {dict(outcomes)}')
