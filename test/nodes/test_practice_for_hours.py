"""Hours of practice with something going wrong every few minutes: no process dies, and nobody counts otherwise.

HYBRID_RL_SIMULATED_HOURS sets how long (0.1; `-s` prints what happened).
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from graph_runs import REACH, call, hybrid_rl, overrides

from hybrid_rl_ros.bringup import node_status
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.run_folder import read_json_lines

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

# Few steps an hour: what is looked at is what goes wrong between them.
RATE_HZ = 2.0
STEPS = round(float(os.environ.get('HYBRID_RL_SIMULATED_HOURS', '0.1')) * 3600 * RATE_HZ)
STEPS_BETWEEN_FAULTS = 300  # two and a half minutes
SETTINGS = [
    f'control_rate_hz={RATE_HZ}',
    f'train.env_steps={STEPS}',
    'train.warm_up_steps=100000000',
    'eval.episodes=0',
    'reward.shaping={}',
    'reward.success={when: "task.distance < 0.04"}',
    'sim.reset=none',
    'reset={routine: [{move: [0.45, 0.0, 0.2], randomise_m: [0.1, 0.15, 0.1]}], verify: {when: "ee.z > 0.05"}}',
]


def test_whoever_counts_the_episodes_comes_to_the_same(tmp_path):
    run, chance, done = tmp_path / 'run', random.Random(1), Counter()
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *overrides(*SETTINGS))
    # Hours of lines fill a pipe that nobody reads, and the command would wait for it.
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.communicate()))
    reader.start()

    def stop() -> None:
        assert call('safety_node/estop').success
        time.sleep(chance.uniform(0.0, 0.5))
        while not call('safety_node/clear_fault').success:
            time.sleep(0.05)

    faults: dict[str, Callable[[], object]] = {
        'e-stop': stop,
        'success': lambda: call('reward_reset_node/success'),
        'failure': lambda: call('reward_reset_node/failure'),
        'discard': lambda: call('reward_reset_node/discard'),
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
    finally:
        process.kill()
        reader.join()
    assert process.returncode == 0, said[1]
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
    told = Counter(success=outcomes['succeeded'], failure=outcomes['failed'], time=outcomes['timed_out'])
    assert ends == told
    assert [line['episode'] for line in lines] == list(range(len(lines))), 'none is missing or told twice'
    for state in ('succeeded', 'failed', 'timed_out', 'aborted'):
        assert counted.get(state, 0) - outcomes[state] in (0, 1), 'but for one that the end of the run cut off'
    assert transitions >= STEPS
    assert json.loads((run / 'summary.json').read_text())['transitions_stored'] == transitions
    print(f'{STEPS / RATE_HZ / 3600:g} simulated hours with {dict(done)}: {len(lines)} episodes, {dict(outcomes)}')
