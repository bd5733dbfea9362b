"""The facts of a store that a person should know before learning from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.frame_facts import FrameFacts, frame_facts, summed
from hybrid_rl_ros.data.quality import NEGLIGIBLE, Quality, measure_quality
from hybrid_rl_ros.data.replay_store import EpisodeSummary, ReplayStore
from hybrid_rl_ros.data.specs import Dimension
from hybrid_rl_ros.errors import UserError

OUTCOMES = ('success', 'failure', 'truncated', 'cut')
GAP_PERIODS = 1.5
BINS = 16
OUTSIDE_MARGIN = 0.01  # of the range: a velocity that overshoots its limit by less is no mistake


@dataclass(frozen=True)
class EpisodeFacts:
    """One episode. outcome `cut`: neither terminal nor truncated, the recording broke off.

    gaps: steps that come more than 1.5 of the store's periods after the one before. lost_steps: steps missing from
    the files inside the episode. still_states: steps whose whole state is that of the step before. early_ends:
    steps marked terminal or truncated before the last. rewarded_steps: steps arrived at with a reward other than 0, and
    rewarded_early without the last. unearned_reward: the first step's, at which no transition arrives.
    idle_end: the last step of an ended episode has the zero action; None where there is no end.
    """

    episode: int
    steps: int
    transitions: int
    return_: float
    outcome: str
    duration_s: float
    rate_hz: float | None
    interventions: int
    gaps: int
    longest_gap_s: float
    lost_steps: int
    still_states: int
    early_ends: int
    rewarded_steps: int
    rewarded_early: int
    unearned_reward: float
    idle_end: bool | None
    quality: Quality
    cameras: dict[str, FrameFacts]


@dataclass(frozen=True)
class DimensionFacts:
    """One dimension of the state or of the executed actions over the whole store, in its unit.

    at_low, at_high: shares of steps at a bound or beyond; saturated: at either. outside: share beyond by more than
    1% of the range. histogram: shares in equal bins from low to high, what is beyond in the first and the last.
    """

    name: str
    unit: str
    low: float
    high: float
    least: float
    mean: float
    most: float
    at_low: float
    at_high: float
    outside: float
    saturated: float
    constant: bool
    histogram: tuple[float, ...]


@dataclass(frozen=True)
class StoreFacts:
    """`period_s` is the median time from a step to the next, None where no episode has two steps."""

    damaged_rows: int
    steps: int
    transitions: int
    period_s: float | None
    outcomes: dict[str, int]
    quality: Quality
    episodes: tuple[EpisodeFacts, ...]
    state: tuple[DimensionFacts, ...]
    action: tuple[DimensionFacts, ...]
    cameras: dict[str, FrameFacts]


def inspect_store(store: ReplayStore, on_progress: Callable[[int, int], None]) -> StoreFacts:
    """Go through the whole store once, images a few at a time; `on_progress(steps done, steps)` follows it.

    Raises UserError if there is no step.
    """
    if not store.steps:
        raise UserError(f'{store.folder}: holds no steps to inspect')
    quality = measure_quality(store)
    summaries = store.episodes()
    rows = [store.episode_rows(summary.episode) for summary in summaries]
    period_s = _period_s([store.stamps(each) for each in rows])
    episodes: list[EpisodeFacts] = []
    done = 0
    for summary, each in zip(summaries, rows):
        episodes.append(_episode(store, summary, each, period_s, quality.episodes[summary.episode]))
        done += len(each)
        on_progress(done, store.steps)
    every = np.concatenate([np.empty(0, np.int64), *rows])
    records = store.records(every)
    cameras = [image.camera for image in store.specs.observation.images]
    # An ended episode's last step has a zero in place of an action.
    acted = every[(records['terminal'] | records['truncated']) == 0]
    return StoreFacts(
        damaged_rows=store.damaged_rows,
        steps=store.steps,
        transitions=store.transitions,
        period_s=period_s,
        outcomes={name: sum(episode.outcome == name for episode in episodes) for name in OUTCOMES},
        quality=quality.overall,
        episodes=tuple(episodes),
        state=_vector(store.specs.observation.state.dimensions, store.states(every)),
        action=_vector(store.specs.action.dimensions, store.actions(acted)),
        cameras={camera: summed([episode.cameras[camera] for episode in episodes]) for camera in cameras},
    )


def outcome_of(records: np.ndarray) -> str:
    """One of OUTCOMES for an episode's records (T,) of ROW; as in recording, a success ends with a reward."""
    last = records[-1]
    if last['terminal']:
        return 'success' if last['reward'] > 0 else 'failure'
    return 'truncated' if last['truncated'] else 'cut'


def _episode(
    store: ReplayStore, summary: EpisodeSummary, rows: np.ndarray, period_s: float | None, quality: Quality
) -> EpisodeFacts:
    records = store.records(rows)
    waits_s = np.diff(records['stamp_ns']) / 1e9
    gaps = waits_s[waits_s > GAP_PERIODS * period_s] if period_s else waits_s[:0]
    states = store.states(rows)
    duration_s = float(waits_s.sum())
    ended = summary.terminal or summary.truncated
    return EpisodeFacts(
        episode=summary.episode,
        steps=summary.steps,
        transitions=summary.transitions,
        return_=summary.return_,
        outcome=outcome_of(records),
        duration_s=duration_s,
        rate_hz=len(waits_s) / duration_s if duration_s > 0 else None,
        interventions=summary.interventions,
        gaps=len(gaps),
        longest_gap_s=float(gaps.max(initial=0.0)),
        lost_steps=int((np.diff(records['sequence'].astype(np.int64)) - 1).sum()),
        still_states=int((states[1:] == states[:-1]).all(1).sum()) if states.shape[1] else 0,
        early_ends=int((records['terminal'][:-1] | records['truncated'][:-1]).sum()),
        rewarded_steps=int((records['reward'][1:] != 0).sum()),
        rewarded_early=int((records['reward'][1:-1] != 0).sum()),
        unearned_reward=float(records['reward'][0]),
        idle_end=not store.actions(rows[-1:]).any() if ended else None,
        quality=quality,
        cameras={image.camera: frame_facts(store, image.camera, rows) for image in store.specs.observation.images},
    )


def _period_s(stamps: list[np.ndarray]) -> float | None:
    waits = np.concatenate([np.empty(0), *(np.diff(each) for each in stamps)])
    return float(np.median(waits)) / 1e9 if len(waits) else None


def _vector(dimensions: tuple[Dimension, ...], values: np.ndarray) -> tuple[DimensionFacts, ...]:
    return tuple(_dimension(dimension, values[:, index]) for index, dimension in enumerate(dimensions))


def _dimension(dimension: Dimension, values: np.ndarray) -> DimensionFacts:
    low, high = float(np.float32(dimension.low)), float(np.float32(dimension.high))
    tolerance, margin = NEGLIGIBLE * (high - low), OUTSIDE_MARGIN * (high - low)
    values = values.astype(np.float64)
    least, most = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    edges = np.linspace(low, high, BINS + 1) if high > low else np.linspace(low - 0.5, low + 0.5, BINS + 1)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    count = max(1, len(values))
    return DimensionFacts(
        name=dimension.name,
        unit=dimension.unit,
        low=dimension.low,
        high=dimension.high,
        least=least if len(values) else 0.0,
        mean=float(values.mean()) if len(values) else 0.0,
        most=most if len(values) else 0.0,
        at_low=int((values <= low + tolerance).sum()) / count,
        at_high=int((values >= high - tolerance).sum()) / count,
        saturated=int(((values <= low + tolerance) | (values >= high - tolerance)).sum()) / count,
        outside=int(((values < low - margin) | (values > high + margin)).sum()) / count,
        constant=len(values) > 1 and most - least <= tolerance,
        histogram=tuple((counts / count).tolist()),
    )
