"""What a replay store says of each of its episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.row_index import RowIndex


@dataclass(frozen=True)
class EpisodeSummary:
    """One episode as far as it is held: `steps` counts observations, `return_` sums the reward of arrivals held."""

    episode: int
    first_sequence: int
    steps: int
    transitions: int
    return_: float
    terminal: bool
    truncated: bool
    interventions: int


def summaries(index: RowIndex) -> list[EpisodeSummary]:
    """Every episode held, in the order written."""
    found = []
    for rows in _groups(index.records):
        records = index.records[rows]
        found.append(
            EpisodeSummary(
                episode=int(records['episode'][0]),
                first_sequence=int(records['sequence'][0]) - 1,
                steps=len(rows),
                transitions=int(index.valid[rows].sum()),
                return_=float(records['reward'][1:].sum()),
                terminal=bool(records['terminal'][-1]),
                truncated=bool(records['truncated'][-1]),
                interventions=int(records['intervention'].sum()),
            )
        )
    return found


def _groups(records: np.ndarray) -> list[np.ndarray]:
    rows = np.flatnonzero(records['sequence'])
    if not len(rows):
        return []
    rows = rows[np.argsort(records['sequence'][rows])]
    return np.split(rows, np.flatnonzero(np.diff(records['episode'][rows])) + 1)
