"""What a person should look at in a store, a line each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from hybrid_rl_ros.data.inspection import DimensionFacts, EpisodeFacts, StoreFacts
from hybrid_rl_ros.data.number_ranges import ranges_of

NAMED = 5  # episodes of a kind with a line of their own; the rest share one
SATURATED_SHARE = 0.25
SWITCH_SHARE = 0.95  # this often at a bound, a dimension is an open-or-closed one
OUTSIDE_SHARE = 0.05
STILL_SHARE = 0.25
DUPLICATED_SHARE = 0.05
DUPLICATED_RUN = 3
SPARSE_SHARE = 0.8
DIVERGENT_TIMES = 2.0
FEWEST_TO_COMPARE = 5

Check = Callable[[EpisodeFacts], str | None]


def warnings_of(facts: StoreFacts) -> list[str]:
    """Of the dimensions first, then of the episodes, kind by kind."""
    damaged = facts.damaged_rows
    lines = [f'{damaged} damaged rows are left out; whole again from a copy only'] if damaged else []
    lines += [*_of_dimensions('state', facts.state), *_of_dimensions('action', facts.action)]
    checks: list[tuple[str, Check]] = [
        ('no end', _cut),
        ('lost steps', _lost),
        ('gaps', _gap),
        ('an end inside', _early_end),
        ('a reward at the first step', _unearned),
        ('an action at the end', _acting_end),
        ('still states', _still),
    ]
    if _pays_at_the_end(facts):
        checks.append(('early reward', _paid_early))
    if (usual := _usual_divergence(facts)) is not None:
        checks.append(('high action divergence', partial(_divergent, usual)))
    for camera in sorted({camera for episode in facts.episodes for camera in episode.cameras}):
        checks += [
            (f'duplicated frames of camera {camera}', partial(_duplicated, camera)),
            (f'black frames of camera {camera}', partial(_black, camera)),
            (f'overexposed frames of camera {camera}', partial(_overexposed, camera)),
        ]
    for kind, check in checks:
        lines += _listed(kind, [(e.episode, line) for e in facts.episodes if (line := check(e))])
    return lines


def _listed(kind: str, found: list[tuple[int, str]]) -> list[str]:
    lines = [f'episode {number}: {line}' for number, line in found[:NAMED]]
    if rest := [number for number, _ in found[NAMED:]]:
        lines.append(f'{len(rest)} more episodes with {kind}: {ranges_of(rest)}')
    return lines


def _of_dimensions(vector: str, dimensions: tuple[DimensionFacts, ...]) -> list[str]:
    lines = []
    for dimension in dimensions:
        name = f'{vector} {dimension.name}'
        if dimension.constant:
            lines.append(f'{name}: constant at {dimension.mean:g} {dimension.unit}')
        elif vector == 'action' and SATURATED_SHARE < dimension.saturated < SWITCH_SHARE:
            lines.append(f'{name}: at its bounds in {dimension.saturated:.0%} of the steps')
        if dimension.outside > (OUTSIDE_SHARE if vector == 'state' else 0.0):
            lines.append(
                f'{name}: outside {dimension.low:g} to {dimension.high:g} {dimension.unit} in '
                f'{dimension.outside:.1%} of the steps ({dimension.least:g} to {dimension.most:g})'
            )
    return lines


def _cut(episode: EpisodeFacts) -> str | None:
    return 'cut off: its last step is neither terminal nor truncated' if episode.outcome == 'cut' else None


def _lost(episode: EpisodeFacts) -> str | None:
    return f'{_many(episode.lost_steps, "step")} lost inside' if episode.lost_steps else None


def _gap(episode: EpisodeFacts) -> str | None:
    return f'{_many(episode.gaps, "gap")} in time, up to {episode.longest_gap_s:.3g} s' if episode.gaps else None


def _early_end(episode: EpisodeFacts) -> str | None:
    count = episode.early_ends
    return f'{_many(count, "step")} before its last marked terminal or truncated' if count else None


def _unearned(episode: EpisodeFacts) -> str | None:
    reward = episode.unearned_reward
    return f'reward {reward:g} at the first step, at which nothing arrives: it is not learned from' if reward else None


def _acting_end(episode: EpisodeFacts) -> str | None:
    return None if episode.idle_end is not False else 'an action at its last step, from which nothing is executed'


def _still(episode: EpisodeFacts) -> str | None:
    if episode.still_states <= STILL_SHARE * (episode.steps - 1):
        return None
    return f'{episode.still_states} of {episode.steps} steps with the very state of the step before'


def _pays_at_the_end(facts: StoreFacts) -> bool:
    """Whether reward comes once, with the end, in most episodes: then another is a mistake or a second success."""
    paid = [episode for episode in facts.episodes if episode.rewarded_steps]
    late = sum(episode.rewarded_early == 0 for episode in paid)
    return bool(paid) and late >= SPARSE_SHARE * len(paid)


def _paid_early(episode: EpisodeFacts) -> str | None:
    count = episode.rewarded_early
    return f'{_many(count, "step")} before its last with a reward, unlike most episodes' if count else None


def _usual_divergence(facts: StoreFacts) -> float | None:
    known = [v for e in facts.episodes if (v := e.quality.action_divergence) is not None]
    return float(np.median(known)) if len(known) >= FEWEST_TO_COMPARE else None


def _divergent(usual: float, episode: EpisodeFacts) -> str | None:
    found = episode.quality.action_divergence
    if found is None or not found > DIVERGENT_TIMES * usual:
        return None
    return f'action divergence {found:.3g}, where the median episode has {usual:.3g}'


def _duplicated(camera: str, episode: EpisodeFacts) -> str | None:
    frames = episode.cameras[camera]
    if frames.longest_duplicated_run < DUPLICATED_RUN and frames.duplicated_share <= DUPLICATED_SHARE:
        return None
    count = _many(frames.duplicated, 'duplicated frame')
    return f'{count} of camera {camera}, {frames.longest_duplicated_run} in a row'


def _black(camera: str, episode: EpisodeFacts) -> str | None:
    count = episode.cameras[camera].black
    return f'{_many(count, "black frame")} of camera {camera}' if count else None


def _overexposed(camera: str, episode: EpisodeFacts) -> str | None:
    count = episode.cameras[camera].overexposed
    return f'{_many(count, "overexposed frame")} of camera {camera}' if count else None


def _many(count: int, what: str) -> str:
    return f'{count} {what}' if count == 1 else f'{count} {what}s'
