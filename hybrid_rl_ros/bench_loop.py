"""`hybrid-rl bench loop`: how fast the whole graph goes round."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from hybrid_rl_ros.bench_result import bench_result, bench_row, write_result
from hybrid_rl_ros.bringup import Bringup, NodeProcess, node_status, nodes_of_run, prepare_run, resolve_specs, running
from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.config_file import share_folder

LOCKSTEP_SECONDS = 15.0
START_WITHIN_S = 60.0
PERCENTILES = ('p50', 'p99')
CAMERAS = 'observation.cameras={front: {width: 128, height: 128}, wrist: {width: 128, height: 128}}'
# Updates begin at once, and the run outlasts the measurement.
LEARNING = ['eval.episodes=0', 'train.warm_up_steps=1', 'train.env_steps=1000000000']


def bench_loop(as_json: bool, seconds: float) -> None:
    """Lock-step with state observations, and real time at 20 Hz with two 128x128 cameras for `seconds`.

    In real time the learner's network acts while it learns, as in any training. In lock-step the simulation waits for
    the learner, so what is timed there is the graph alone, with the task's scripted expert acting.
    """
    state = load_config(share_folder('config') / 'sim_reach_state.yaml', ['eval.episodes=0'])
    realtime = ['clock=realtime', 'control_rate_hz=20', CAMERAS, *LEARNING]
    cameras = load_config(share_folder('config') / 'sim_lift.yaml', realtime)
    rows = [_lockstep_row(state), *_realtime_rows(cameras, seconds)]
    write_result(bench_result('loop', rows), as_json)


def _lockstep_row(config: Config) -> dict[str, Any]:
    status = _run(config, 'eval', nodes_of_run(config, 'eval', expert=config.task), LOCKSTEP_SECONDS)
    timing = status['sim_node']['timings']['cycle']
    rate = 1e3 / timing['p50_ms']
    return bench_row('lockstep state, one step', timing['p50_ms'], timing['n'], steps_per_s=round(rate, 1))


def _realtime_rows(config: Config, seconds: float) -> list[dict[str, Any]]:
    status = _run(config, 'train', nodes_of_run(config, 'train'), seconds)
    timing = status['safety_node']['timings']['loop']
    lost = {
        'lost_steps': status['learner_node']['counters'].get('dropped_steps', 0),
        'updates': status['learner_node'].get('updates', 0),
    }
    name = 'real time 20 Hz, two 128x128 cameras'
    rows = [bench_row(f'{name}, stamp to executed, {p}', timing[f'{p}_ms'], timing['n'], **lost) for p in PERCENTILES]
    period = status['inference_node']['timings']['period']
    rows += [bench_row(f'{name}, period of actions, {p}', period[f'{p}_ms'], period['n']) for p in PERCENTILES]
    return [*rows, *(_process_row(name, status, period['n']) for name, status in status.items())]


def _process_row(name: str, status: dict[str, Any], steps: int) -> dict[str, Any]:
    """CPU time a control step, share of a core, start-up, and growth of its own memory after the first quarter."""
    early = status['early']
    cpu_s, wall_s = status['cpu_s'] - early['cpu_s'], status['up_s'] - early['up_s']
    return bench_row(
        f'{name}, CPU time of a step',
        round(1e3 * cpu_s / (0.75 * steps), 3),
        steps,
        percent_of_a_core=round(100 * cpu_s / wall_s, 1),
        active_after_s=status['active_after_s'],
        memory_mb=status['memory_mb'],
        memory_growth_mb=round(status['memory_mb'] - early['memory_mb'], 1),
    )


def _run(config: Config, role: str, nodes: list[NodeProcess], seconds: float) -> dict[str, dict[str, Any]]:
    """The status of every node after the graph has run its episodes for `seconds`."""
    with tempfile.TemporaryDirectory(prefix='hybrid_rl_bench_') as folder:
        run = Path(folder)
        prepare_run(run, config, resolve_specs(config))
        with running(Bringup(config, run, role, nodes)) as bringup:
            deadline = time.monotonic() + START_WITHIN_S
            while not node_status(run, 'safety_node').get('counters', {}).get('executed_policy'):
                bringup.check()
                if time.monotonic() > deadline:
                    raise RuntimeError(f'no step within {START_WITHIN_S:g} s')
                time.sleep(0.1)
            began = time.monotonic()
            early: dict[str, dict[str, Any]] = {}
            late: dict[str, dict[str, Any]] = {}
            while (elapsed := time.monotonic() - began) < seconds:
                bringup.check()
                # Of the graph at work: what is left as it is brought down is another matter.
                late = {node.name: node_status(run, node.name) for node in nodes}
                if not early and elapsed > seconds / 4:
                    early = late
                time.sleep(0.1)
        return {name: {**status, 'early': early[name]} for name, status in late.items()}
