"""Which of a store's episodes to keep, and which part of a split each goes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.inspection import outcome_of
from hybrid_rl_ros.data.number_ranges import ranges_of
from hybrid_rl_ros.data.quality import StoreQuality, measure_quality
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError

ROUNDING = 1e-6


@dataclass(frozen=True)
class Choice:
    """What to leave out, in this order; a fraction is of the episodes that the lines above it left.

    keep: the outcomes to keep, all if empty. worst_divergence: the fraction with the highest action divergence.
    least_diverse, most_diverse: the fractions with the lowest and the highest transition diversity.
    """

    drop: frozenset[int] = frozenset()
    keep: frozenset[str] = frozenset()
    min_steps: int = 0
    worst_divergence: float = 0.0
    least_diverse: float = 0.0
    most_diverse: float = 0.0


@dataclass(frozen=True)
class Split:
    """The fraction of the episodes for each part, by its name."""

    fractions: dict[str, float]
    seed: int


def choose(store: ReplayStore, choice: Choice) -> dict[int, str]:
    """The episodes to leave out, in the store's order, each with the reason. Raises UserError."""
    episodes = store.episodes()
    numbers = [episode.episode for episode in episodes]
    if unknown := sorted(choice.drop - set(numbers)):
        raise UserError(f'{store.folder}: no episode {ranges_of(unknown)} to drop; it has {ranges_of(numbers)}')
    dropped: dict[int, str] = {}
    for episode in episodes:
        found = outcome_of(store.records(store.episode_rows(episode.episode)))
        if episode.episode in choice.drop:
            dropped[episode.episode] = 'named'
        elif choice.keep and found not in choice.keep:
            dropped[episode.episode] = f'outcome {found}'
        elif episode.steps < choice.min_steps:
            dropped[episode.episode] = f'{episode.steps} steps, fewer than {choice.min_steps}'
    if choice.worst_divergence or choice.least_diverse or choice.most_diverse:
        # Over all episodes, so that the figures are those that inspection shows.
        dropped |= _by_quality(measure_quality(store), [n for n in numbers if n not in dropped], choice)
    return {number: dropped[number] for number in numbers if number in dropped}


def split_episodes(numbers: Sequence[int], split: Split) -> dict[str, list[int]]:
    """Each part's episodes, in the order given: the same for the same seed, and every episode in one part.

    Raises UserError if the fractions do not sum to 1 or a part gets no episode.
    """
    total = sum(split.fractions.values())
    if abs(total - 1.0) > ROUNDING:
        raise UserError(f'--split: the fractions sum to {total:g}, expected 1')
    shuffled = np.random.default_rng(split.seed).permutation(np.array(numbers, np.int64))
    ends = np.rint(np.cumsum(list(split.fractions.values())) * len(numbers)).astype(int)
    parts = {}
    for name, start, end in zip(split.fractions, [0, *ends[:-1]], ends):
        if start == end:
            raise UserError(
                f'--split: {name}={split.fractions[name]:g} of {len(numbers)} episodes is none; expected at least one'
            )
        chosen = set(shuffled[start:end].tolist())
        parts[name] = [number for number in numbers if number in chosen]
    return parts


def _by_quality(quality: StoreQuality, numbers: list[int], choice: Choice) -> dict[int, str]:
    divergence = {number: quality.episodes[number].action_divergence for number in numbers}
    diversity = {number: quality.episodes[number].transition_diversity for number in numbers}
    dropped: dict[int, str] = {}
    for fraction, values, highest, name in (
        (choice.worst_divergence, divergence, True, 'action divergence'),
        (choice.least_diverse, diversity, False, 'transition diversity'),
        (choice.most_diverse, diversity, True, 'transition diversity'),
    ):
        left = {number: values[number] for number in numbers if number not in dropped}
        for number, value in _extreme(left, fraction, highest):
            dropped[number] = f'{name} {value:.3g}, of the {"highest" if highest else "lowest"} {fraction:.0%}'
    return dropped


def _extreme(values: dict[int, float | None], fraction: float, highest: bool) -> list[tuple[int, float]]:
    """The `fraction` of the episodes, rounded down, that lie furthest to one side; one without a value never does."""
    measured = [(number, value) for number, value in values.items() if value is not None]
    measured.sort(key=lambda item: item[1], reverse=highest)
    return measured[: int(fraction * len(values) + ROUNDING)]
