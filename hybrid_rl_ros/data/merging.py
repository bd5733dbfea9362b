"""Several stores as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hybrid_rl_ros.data.exchange.dataset import made_whole
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs, require_same_specs


def merge_stores(folders: Sequence[Path], specs: Specs, out: Path) -> None:
    """Write every episode of `folders` to a new store `out`, numbered on. Raises UserError for other specs."""
    steps = 0
    for folder in folders:
        with ReplayStore.open(folder, read_only=True) as store:
            require_same_specs(store.specs, specs, str(folder))
            steps += store.steps
    with made_whole(out) as unfinished, ReplayStore.create(unfinished, specs, max(2, steps)) as merged:
        for folder in folders:
            with ReplayStore.open(folder, read_only=True) as store:
                first = merged.last_episode + 1
                numbers = {summary.episode: first + index for index, summary in enumerate(store.episodes())}
                for row in store.rows():
                    step = store.step_at(int(row))
                    merged.append(replace(step, episode=numbers[step.episode]))
        merged.flush()
