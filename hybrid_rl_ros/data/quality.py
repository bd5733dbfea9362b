"""How consistent demonstrations are: action divergence and transition diversity (Belkhale et al. 2023).

Both are conditional spreads, of the action given the state and of the next state given state and action. They are
estimated as what a linear model of the neighbourhood leaves unexplained: the plain spread among neighbours would also
count that the neighbours are in different states. Several ways of doing the task count as divergence, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import VectorSpec

SMALLEST_CELL = 32
CELL_PER_PARAMETER = 4
NEGLIGIBLE = 1e-6  # of a dimension's range


@dataclass(frozen=True)
class Quality:
    """Means over steps; None where the data are too few for their dimensions.

    action_divergence: variance of the action given the state, summed over the action's dimensions, each scaled so
    that its bounds are -1 and 1. transition_diversity: variance of the state's change given state and action, in
    units of the store's variance of that change, averaged over the dimensions that move: 0 where everything is
    explained, about 1 where nothing is.
    """

    action_divergence: float | None
    transition_diversity: float | None


@dataclass(frozen=True)
class StoreQuality:
    """Of all steps, and of each episode by its number."""

    overall: Quality
    episodes: dict[int, Quality]


def measure_quality(store: ReplayStore) -> StoreQuality:
    """Both measures, from state and action alone: what only the images show is not known to them."""
    numbers = [episode.episode for episode in store.episodes()]
    acted, moved = _rows(store, numbers)
    divergence = action_divergence(_scaled(store.specs.action, store.actions(acted)), _state(store, acted))
    diversity = transition_diversity(
        _state(store, moved), _scaled(store.specs.action, store.actions(moved)), _state(store, store.next_rows(moved))
    )
    divergences = _means(store.records(acted)['episode'], divergence)
    diversities = _means(store.records(moved)['episode'], diversity)
    return StoreQuality(
        Quality(_mean(divergence), _mean(diversity)),
        {number: Quality(divergences.get(number), diversities.get(number)) for number in numbers},
    )


def action_divergence(actions: np.ndarray, states: np.ndarray) -> np.ndarray:
    """(N,) for actions (N, A) and states (N, S): its mean estimates the summed variance of the action given the state.

    NaN where the neighbourhood is too small to tell.
    """
    return local_variance(states, actions).sum(1)


def transition_diversity(states: np.ndarray, actions: np.ndarray, next_states: np.ndarray) -> np.ndarray:
    """(N,) for states (N, S), actions (N, A), next states (N, S): the unexplained share of the state's change."""
    changes = next_states - states
    spread = changes.std(0) if len(changes) else np.zeros(changes.shape[1])
    moving = spread > NEGLIGIBLE
    if not moving.any():
        return np.full(len(states), np.nan)
    inputs = np.concatenate([states, actions], 1)
    return local_variance(inputs, changes[:, moving] / spread[moving]).mean(1)


def local_variance(inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """(N, O) whose mean estimates Var(output | input), for inputs (N, D) on one scale and outputs (N, O).

    Each cell of neighbouring points gets a linear model. A point draws its own model towards itself, so its squared
    residual is divided by 1 - leverage, which makes the mean unbiased however few points a cell has. NaN where the
    cell has no point to spare.
    """
    variance = np.full(outputs.shape, np.nan)
    size = max(SMALLEST_CELL, CELL_PER_PARAMETER * (inputs.shape[1] + 1))
    for cell in _cells(inputs, size):
        design = np.concatenate([np.ones((len(cell), 1)), inputs[cell] - inputs[cell].mean(0)], 1)
        directions, strengths, _ = np.linalg.svd(design, full_matrices=False)
        # What does not vary here explains nothing, and rounding would make it a direction of its own.
        directions = directions[:, strengths > NEGLIGIBLE * np.sqrt(len(cell))]
        residuals = outputs[cell] - directions @ (directions.T @ outputs[cell])
        freedom = 1.0 - (directions**2).sum(1)
        judged = freedom > 1e-3
        variance[cell[judged]] = residuals[judged] ** 2 / freedom[judged, None]
    return variance


def _cells(points: np.ndarray, size: int) -> list[np.ndarray]:
    """The points' indices in cells of `size` to 2 * size - 1: halved across the widest spread, again and again."""
    pending, cells = [np.arange(len(points))] if len(points) else [], []
    while pending:
        cell = pending.pop()
        if len(cell) < 2 * size:
            cells.append(cell)
            continue
        column = points[cell, int(points[cell].std(0).argmax())]
        order = np.argsort(column, kind='stable')
        pending += [cell[order[: len(cell) // 2]], cell[order[len(cell) // 2 :]]]
    return cells


def _rows(store: ReplayStore, numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows from which something was executed, and of those the rows whose next step is held."""
    rows = np.concatenate([np.empty(0, np.int64), *(store.episode_rows(number) for number in numbers)])
    records = store.records(rows)
    return rows[(records['terminal'] | records['truncated']) == 0], store.valid_rows()


def _scaled(spec: VectorSpec, vectors: np.ndarray) -> np.ndarray:
    """(N, D) float64 with the bounds at -1 and 1; only centred where the bounds are one."""
    half = (spec.high.astype(np.float64) - spec.low) / 2
    return (vectors - (spec.low + half)) / np.where(half > 0, half, 1.0)


def _state(store: ReplayStore, rows: np.ndarray) -> np.ndarray:
    return _scaled(store.specs.observation.state, store.states(rows))


def _means(episodes: np.ndarray, values: np.ndarray) -> dict[int, float]:
    judged = np.isfinite(values)
    numbers, which = np.unique(episodes[judged], return_inverse=True)
    means = np.bincount(which, values[judged]) / np.maximum(np.bincount(which), 1)
    return dict(zip(numbers.tolist(), means.tolist()))


def _mean(values: np.ndarray) -> float | None:
    judged = values[np.isfinite(values)]
    return float(judged.mean()) if len(judged) else None
