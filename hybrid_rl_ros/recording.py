"""Recording demonstrations: a graph, whose whole episodes become a replay store."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from hybrid_rl_ros.bringup import (
    RunFailedError,
    nodes_of_run,
    prepare_run,
    require_teleop_fits,
    resolve_specs,
    run_graph,
)
from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.display import display
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.rewards.presence import require_sources


def record(
    config_path: Path,
    overrides: list[str],
    episodes: int,
    out: Path,
    expert: str | None = None,
    noise: float = 0.0,
    keep: str = 'success',
    label: bool = False,
) -> None:
    """Keep `episodes` episodes of the scripted expert, or of a person, in the store `out`.

    `keep`: `success` for successful ones alone, `all` for every one that ended by itself. `label`: success ends no
    episode and is rewarded wherever it is seen, which is what a success classifier learns from; all are kept.
    Without an expert config.teleop.device says how the person steers. Stopped early, what was kept by then is in `out`.
    Raises UserError.
    """
    config, work = begin_recording(config_path, overrides, out, expert)
    keep = 'all' if label else keep
    nodes = nodes_of_run(config, 'record', episodes=episodes, expert=expert, expert_noise=noise, keep=keep, label=label)
    try:
        with display(work, config, 'record') as show:
            run_graph(config, work, 'record', nodes, show)
    except (UserError, RunFailedError):
        # The message names a log, which stays.
        take_recording(work, out, keep)
        raise
    except KeyboardInterrupt:
        take_recording(work, out, keep)
        shutil.rmtree(work)
        raise
    finish_recording(work, out, keep)
    if label and out.exists():
        with ReplayStore.open(out, read_only=True) as store:
            successes = int((store.records(store.rows())['reward'] > 0.0).sum())
            sys.stdout.write(f'{successes} steps with success, {store.steps - successes} without\n')


def finish_recording(work: Path, out: Path, keep: str) -> None:
    """The recording in `work` becomes `out`, and nothing else of it stays."""
    take_recording(work, out, keep)
    shutil.rmtree(work)


def begin_recording(config_path: Path, overrides: list[str], out: Path, expert: str | None) -> tuple[Config, Path]:
    """A recording's configuration, checked, and the folder to record in. Raises UserError."""
    config = load_config(config_path, overrides)
    require_sources(config)
    if expert is None:
        require_teleop_fits(config, resolve_specs(config))
    elif config.sim is None:
        raise UserError(f'--expert {expert}: the scripted experts know a simulation only, and sim is null')
    elif expert != config.task:
        raise UserError(f'--expert {expert}: the task of {config_path} is {config.task!r}, whose expert has that name')
    if (out / 'specs.json').exists():
        raise UserError(f'{out}: already holds a replay store; name another folder, or remove it')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f'{out}: there is something else there; name a folder that is new')
    specs = resolve_specs(config)
    work = out.with_name(f'{out.name}.recording')
    if (work / 'replay').exists():
        mend = f'hybrid-rl data curate {work}/replay --keep success --out {out}'
        raise UserError(f'{work}: a recording that was cut off; take what it holds with {mend}, then remove it')
    prepare_run(work, config, specs)
    return config, work


def take_recording(work: Path, out: Path, keep: str) -> None:
    """Make the store of the episodes recorded in `work` the folder `out`; nothing, if there are none."""
    kept = _keep_whole_episodes(work / 'replay', keep)
    if kept:
        out.parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / 'replay', out)
        for name in ('episodes.jsonl', 'events.jsonl', 'config.yaml', 'bag', 'disputed'):
            if (work / name).exists():
                os.replace(work / name, out / name)
        with ReplayStore.open(out, read_only=True) as store:
            sys.stdout.write(f'{kept} episodes, {store.transitions} transitions in {out}\n')
    elif (work / 'replay').exists():
        sys.stdout.write('no episode was kept\n')
        shutil.rmtree(work / 'replay')


def _keep_whole_episodes(folder: Path, keep: str) -> int:
    """Drop what a killed recorder left behind the last episode that ended; how many there are."""
    if not (folder / 'specs.json').exists():
        return 0
    with ReplayStore.open(folder) as store:
        whole = [episode for episode in store.episodes() if episode.terminal or (keep == 'all' and episode.truncated)]
        last = whole[-1] if whole else None
        store.truncate(last.first_sequence + last.steps if last else 0)
        return len(whole)
