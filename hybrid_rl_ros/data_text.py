"""The facts of a store as text for a person, or as one JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from hybrid_rl_ros.data.frame_facts import FrameFacts
from hybrid_rl_ros.data.inspection import DimensionFacts, EpisodeFacts, StoreFacts
from hybrid_rl_ros.data.inspection_warnings import warnings_of

BARS = ' ▁▂▃▄▅▆▇█'
MOST_EPISODES = 40
PLAIN_WIDTH = 200


def as_json(facts: StoreFacts) -> str:
    """Every fact and the warnings, one object on one line."""
    plain = asdict(facts)
    for episode in plain['episodes']:
        episode['return'] = episode.pop('return_')
    return json.dumps({'warnings': warnings_of(facts), **plain}, allow_nan=False)


def write_text(facts: StoreFacts, file: TextIO) -> None:
    """Tables in colour on a terminal; columns of plain text otherwise."""
    console = Console(file=file)
    if not console.is_terminal:
        console = Console(file=file, width=PLAIN_WIDTH, no_color=True, highlight=False)
    for name, value in overview(facts):
        console.print(f'{name}: {value}', highlight=False, markup=False)
    _write_table(console, 'episodes', EPISODE_HEAD, [episode_row(e) for e in facts.episodes[:MOST_EPISODES]])
    if (hidden := len(facts.episodes) - MOST_EPISODES) > 0:
        console.print(f'and {hidden} more; --json and --html have them all', highlight=False)
    for name, dimensions in (('action', facts.action), ('state', facts.state)):
        _write_table(console, name, DIMENSION_HEAD, [dimension_row(dimension) for dimension in dimensions])
    if facts.cameras:
        _write_table(console, 'cameras', CAMERA_HEAD, camera_rows(facts.cameras))
    console.print('\nto look at' if warnings_of(facts) else '\nnothing to look at', style='bold')
    for line in warnings_of(facts):
        console.print(f'  {line}', highlight=False, markup=False, soft_wrap=True)


EPISODE_HEAD = ('episode', 'outcome', 'steps', 'return', 's', 'Hz', 'gaps', 'teleop', 'divergence', 'diversity')
DIMENSION_HEAD = ('', 'unit', 'low', 'high', 'min', 'mean', 'max', 'at low', 'at high', 'outside', 'low to high')
CAMERA_HEAD = ('', 'frames', 'duplicated', 'share', 'in a row', 'black', 'overexposed')


def overview(facts: StoreFacts) -> list[tuple[str, str]]:
    """Names and values of what is true of the whole store."""
    lengths = sorted(episode.steps for episode in facts.episodes)
    returns = [episode.return_ for episode in facts.episodes]
    outcomes = ', '.join(f'{count} {name}' for name, count in facts.outcomes.items() if count)
    duration_s = sum(episode.duration_s for episode in facts.episodes)
    rate = f' at {1 / facts.period_s:.4g} Hz' if facts.period_s else ''
    interventions = sum(episode.interventions for episode in facts.episodes)
    return [
        ('episodes', f'{len(facts.episodes)} ({outcomes})'),
        ('steps', f'{facts.steps}, {facts.transitions} transitions, {duration_s:.1f} s{rate}'),
        ('steps of an episode', f'{lengths[0]} to {lengths[-1]}, median {lengths[len(lengths) // 2]}'),
        ('return', f'{min(returns):.4g} to {max(returns):.4g}, mean {sum(returns) / len(returns):.4g}'),
        ('interventions', f'{interventions} steps in {sum(e.interventions > 0 for e in facts.episodes)} episodes'),
        ('action divergence', _figure(facts.quality.action_divergence)),
        ('transition diversity', _figure(facts.quality.transition_diversity)),
    ]


def episode_row(episode: EpisodeFacts) -> list[str]:
    """A row under EPISODE_HEAD."""
    return [
        str(episode.episode),
        episode.outcome,
        str(episode.steps),
        f'{episode.return_:.4g}',
        f'{episode.duration_s:.2f}',
        _figure(episode.rate_hz),
        str(episode.gaps),
        str(episode.interventions),
        _figure(episode.quality.action_divergence),
        _figure(episode.quality.transition_diversity),
    ]


def dimension_row(dimension: DimensionFacts) -> list[str]:
    """A row under DIMENSION_HEAD."""
    numbers = (dimension.low, dimension.high, dimension.least, dimension.mean, dimension.most)
    shares = (dimension.at_low, dimension.at_high, dimension.outside)
    return [
        dimension.name,
        dimension.unit,
        *(f'{number:.3g}' for number in numbers),
        *(f'{share:.1%}' for share in shares),
        sparkline(dimension.histogram),
    ]


def camera_rows(cameras: dict[str, FrameFacts]) -> list[list[str]]:
    """Rows under CAMERA_HEAD."""
    rows = []
    for camera, frames in cameras.items():
        share = f'{frames.duplicated_share:.1%}'
        counts = (frames.longest_duplicated_run, frames.black, frames.overexposed)
        rows.append([camera, str(frames.frames), str(frames.duplicated), share, *map(str, counts)])
    return rows


def sparkline(shares: tuple[float, ...]) -> str:
    """A bar a bin; only an empty bin has none."""
    highest = max(shares) or 1.0
    return ''.join(BARS[0 if not share else 1 + round(share / highest * (len(BARS) - 2))] for share in shares)


def _write_table(console: Console, title: str, head: tuple[str, ...], rows: list[list[Any]]) -> None:
    table = Table(*head, title=title, title_justify='left', box=box.SIMPLE_HEAD if console.is_terminal else None)
    for row in rows:
        table.add_row(*row)
    console.print()
    console.print(table, highlight=False, markup=False)


def _figure(value: float | None) -> str:
    return '-' if value is None else f'{value:.3g}'
