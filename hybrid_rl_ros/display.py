"""Progress of a run: a live table on a terminal, a line every few seconds without one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from hybrid_rl_ros.bringup import Bringup, node_status
from hybrid_rl_ros.config import Config
from hybrid_rl_ros.run_folder import exploring, read_json_lines, success_rate
from hybrid_rl_ros.teleop_config import load_teleop

LINE_EVERY_S = 5.0
REFRESH_EVERY_S = 0.5
WINDOW = 20


class Graph(Protocol):
    """Who knows which nodes a run goes on without."""

    @property
    def learner_lost(self) -> bool: ...

    @property
    def bag_lost(self) -> bool: ...


class Rates:
    """How fast the counters grow, from one look to the next."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}

    def of(self, name: str, value: float) -> float:
        now = time.monotonic()
        then, before = self._last.get(name, (now, value))
        self._last[name] = (now, value)
        return (value - before) / (now - then) if now > then else 0.0


@contextmanager
def display(run: Path, config: Config, role: str, episodes: int = 0) -> Iterator[Callable[[Bringup], None]]:
    """Yields what to call at every poll."""
    rates = Rates()
    console = Console()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            yield _throttled(REFRESH_EVERY_S, lambda b: live.update(_table(progress(run, config, role, rates, b))))
    else:
        yield _throttled(LINE_EVERY_S, lambda b: _write_line(role, progress(run, config, role, rates, b)))


def _throttled(period_s: float, show: Callable[[Bringup], None]) -> Callable[[Bringup], None]:
    last = time.monotonic()

    def call(bringup: Bringup) -> None:
        nonlocal last
        if time.monotonic() - last >= period_s:
            last = time.monotonic()
            show(bringup)

    return call


def progress(run: Path, config: Config, role: str, rates: Rates, graph: Graph) -> dict[str, str]:
    """What to show of a run under way."""
    learner, sim = node_status(run, 'learner_node'), node_status(run, 'sim_node')
    safety, recorder = node_status(run, 'safety_node'), node_status(run, 'recorder_node')
    episodes = read_json_lines(run / 'episodes.jsonl')
    window = episodes[-WINDOW:]
    counters = safety.get('counters', {})
    steps = counters.get('executed_policy', 0) + counters.get('executed_teleop', 0)
    facts = {'episodes': str(len(episodes)), 'steps': str(learner.get('env_steps', steps))}
    if role == 'record':
        facts['kept'] = str(recorder.get('counters', {}).get('kept_episodes', 0))
        facts['discarded'] = str(recorder.get('counters', {}).get('discarded_episodes', 0))
    if config.teleop.device is not None and (legend := load_teleop(config.teleop.device).legend()):
        facts['press'] = legend
    if button := node_status(run, 'teleop_node').get('button'):
        facts['button'] = button
    if teleop := counters.get('executed_teleop', 0):
        facts['by a person'] = f'{teleop / steps:.0%}'
    rate = success_rate(exploring(episodes), WINDOW)
    if rate is not None and role != 'record':
        facts[f'success (last {len(window)})'] = f'{rate:.2f}'
        facts['return'] = f'{sum(episode["return"] for episode in window) / len(window):.2f}'
    facts['steps/s'] = f'{rates.of("steps", steps):.1f}'
    if role == 'train':
        facts['updates/s'] = f'{rates.of("updates", learner.get("updates", 0)):.1f}'
    timing = (sim if config.clock == 'lockstep' else safety).get('timings', {})
    timing = timing.get('cycle') or timing.get('loop')
    if timing:
        facts['loop p50/p99 ms'] = f'{timing["p50_ms"]:.1f}/{timing["p99_ms"]:.1f}'
    dropped = learner.get('counters', {}).get('dropped_steps', 0) + recorder.get('counters', {}).get('dropped_steps', 0)
    facts['dropped'] = str(dropped)
    for status in sorted((run / 'status').glob('*.json')):
        if warning := node_status(run, status.stem).get('warning'):
            facts[status.stem] = warning
    if not learner.get('updates') and learner.get('env_steps', 0) >= max(1, config.warm_up_steps):
        facts['learner'] = 'its first updates, which take longest (they may have to be compiled)'
    if graph.learner_lost:
        facts['learner'] = 'LOST: the arm goes on with the last weights; stop, then train --resume'
    if graph.bag_lost:
        facts['bag'] = 'LOST: bag_node died; nothing more is recorded, the run goes on'
    return facts


def _table(facts: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def progress_line(role: str, facts: dict[str, str]) -> str:
    return f'{role}: ' + ', '.join(f'{name} {value}' for name, value in facts.items())


def _write_line(role: str, facts: dict[str, str]) -> None:
    sys.stdout.write(progress_line(role, facts) + '\n')
    sys.stdout.flush()
