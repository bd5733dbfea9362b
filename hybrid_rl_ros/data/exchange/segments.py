"""A store's rows as runs that follow one another, which is what a foreign format calls an episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.replay_store import ReplayStore


@dataclass(frozen=True)
class Segment:
    """Rows of one episode without a gap; `number` is the episode's, or a new one for what came after a gap."""

    number: int
    rows: np.ndarray


def segments(store: ReplayStore) -> list[Segment]:
    """All rows of the store in the order written."""
    pieces = []
    for episode in dict.fromkeys(summary.episode for summary in store.episodes()):
        rows = store.episode_rows(episode)
        records = store.records(rows)
        ended = (records['terminal'] | records['truncated']).astype(bool)
        breaks = (np.diff(records['sequence'].astype(np.int64)) != 1) | ended[:-1]
        pieces += [(episode, piece) for piece in np.split(rows, np.flatnonzero(breaks) + 1)]
    pieces.sort(key=lambda piece: int(store.sequence_at(piece[1][:1])[0]))
    found, seen, spare = [], set(), store.last_episode + 1
    for episode, rows in pieces:
        number, spare = (spare, spare + 1) if episode in seen else (episode, spare)
        seen.add(episode)
        found.append(Segment(number, rows))
    return found
