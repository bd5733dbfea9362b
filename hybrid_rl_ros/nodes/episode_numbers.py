"""Which random starts a run draws: never the same for demonstrations, training and evaluation."""

from __future__ import annotations

from pathlib import Path

from hybrid_rl_ros.data.replay_store import ReplayStore

EVAL_STARTS = 1_000_000
RECORD_STARTS = 2_000_000


def first_reset(run: Path, role: str) -> int:
    """The number of the first reset: training goes on after the episodes that its store already holds."""
    if role == 'eval':
        return EVAL_STARTS
    if role == 'record':
        return RECORD_STARTS + episodes_held(run / 'replay')
    return episodes_held(run / 'replay')


def episodes_held(folder: Path) -> int:
    if not (folder / 'specs.json').exists():
        return 0
    with ReplayStore.open(folder, read_only=True) as store:
        return store.last_episode + 1
