"""What the nodes of a run leave in its folder."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from hybrid_rl_ros.errors import UserError


def require_run(run: Path) -> None:
    """Raises UserError for a folder that is not a run's."""
    if not (run / 'config.yaml').exists():
        raise UserError(f'{run}: no run here (no config.yaml)')
    if (run / 'rows.bin').exists():
        raise UserError(f'{run}: holds demonstrations, not a run')


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`, or {} if there is none yet."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """One object a line; a last line cut off by a kill is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def open_json_lines(path: Path) -> TextIO:
    """`path`, opened to append whole lines; a last line cut off by a kill is ended first."""
    cut_off = path.exists() and not path.read_bytes().endswith(b'\n') and path.stat().st_size > 0
    file = open(path, 'a', buffering=1)
    if cut_off:
        file.write('\n')
    return file


def success_rate(episodes: list[dict[str, Any]], last: int | None = None) -> float | None:
    """The share among the `last` episodes that succeeded without a person's help; None without any."""
    window = episodes[-last:] if last else episodes
    if not window:
        return None
    return sum(succeeded_alone(episode) for episode in window) / len(window)


def whole_episodes(run: Path) -> list[dict[str, Any]]:
    """The lines of those that were not aborted."""
    return [line for line in read_json_lines(run / 'episodes.jsonl') if line['outcome'] != 'aborted']


def exploring(episodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of training that were no evaluation (eval.every_episodes)."""
    return [episode for episode in episodes if not episode.get('evaluation')]


def evaluations(episodes: list[dict[str, Any]]) -> list[tuple[int, float]]:
    """Of each evaluation while training, the control steps at its end and the share of successes."""
    blocks = [list(block) for due, block in groupby(episodes, lambda e: bool(e.get('evaluation'))) if due]
    return [(block[-1]['env_steps'], success_rate(block) or 0.0) for block in blocks]


def by_task(episodes: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Those of each of several practised tasks; none of a run that has but one."""
    names = sorted({episode['task'] for episode in episodes if 'task' in episode})
    return {name: [episode for episode in episodes if episode.get('task') == name] for name in names}


def succeeded_alone(episode: dict[str, Any]) -> bool:
    """Whether a line of episodes.jsonl tells of a success that nobody intervened in."""
    return episode['outcome'] == 'succeeded' and not episode.get('interventions')
