"""What is drawn from a replay store beyond single transitions: n steps, chunks of actions, histories.

All of it stays within one episode as far as it is held: never across its end, a gap, or the front of the ring. With
`before_sequence`, steps from that number on count as not yet there, so a schedule of draws can be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.replay_store import ReplayStore


@dataclass
class NStep:
    """B returns over up to n steps; the target of row i is `reward + discount * mask * value(next_rows)`.

    reward (B,) float32 is the discounted sum, steps (B,) how many it is of, discount (B,) float32 the discount to that
    power. mask (B,) float32 is 0 only where the last of them arrived at a terminal state; at a time limit `next_rows`
    (B,) is the episode's last observation and mask is 1.
    """

    reward: np.ndarray
    mask: np.ndarray
    discount: np.ndarray
    next_rows: np.ndarray
    steps: np.ndarray


@dataclass
class Chunks:
    """B chunks of h actions: action (B, h, A) float32, valid (B, h) bool, True for those that were executed.

    Behind the last executed one, the chunk repeats it; rows (B, h) says whose action each is.
    """

    action: np.ndarray
    valid: np.ndarray
    rows: np.ndarray


@dataclass
class Histories:
    """B histories of T rows, oldest first and the row itself last: rows (B, T), valid (B, T) bool.

    Before the episode's first observation, the history repeats it. `store.states(rows)` and `store.frames(rows)` give
    (B, T, ...).
    """

    rows: np.ndarray
    valid: np.ndarray


def n_step(
    store: ReplayStore,
    rows: np.ndarray,
    steps: int,
    discount: float,
    before_sequence: int | None = None,
    *,
    drawn: bool = False,
) -> NStep:
    """Returns over `steps` transitions from each of `rows` (B,), fewer where the episode's steps end before.

    Raises ValueError if a row begins no transition. With `drawn` it did when it was drawn; a full ring that another
    thread writes may have dropped it since, and then it counts as a transition of one step.
    """
    path, valid = _ahead(store, rows, steps, before_sequence, drawn)
    taken = valid.sum(axis=1)
    powers = float(discount) ** np.arange(steps + 1)
    last = path[np.arange(len(path)), taken - 1]
    return NStep(
        reward=((store.rewards(path) * powers[:steps]) * valid).sum(axis=1).astype(np.float32),
        mask=store.masks(last),
        discount=powers[taken].astype(np.float32),
        next_rows=store.next_rows(last),
        steps=taken,
    )


def action_chunks(
    store: ReplayStore, rows: np.ndarray, length: int, before_sequence: int | None = None, *, drawn: bool = False
) -> Chunks:
    """The `length` actions executed from each of `rows` (B,) on.

    Raises ValueError if a row begins no transition; `drawn` as for n_step.
    """
    path, valid = _ahead(store, rows, length, before_sequence, drawn)
    last = path[np.arange(len(path)), valid.sum(axis=1) - 1]
    rows = np.where(valid, path, last[:, None])
    return Chunks(store.actions(rows), valid, rows)


def histories(store: ReplayStore, rows: np.ndarray, length: int) -> Histories:
    """The `length` observations up to each of `rows` (B,), which must hold a step."""
    rows = np.asarray(rows)
    back = np.arange(length)
    linked = store.begins_transition((rows[:, None] - back[1:]) % store.capacity)
    reach = np.logical_and.accumulate(linked, axis=1).sum(axis=1)
    steps_back = np.minimum(back, reach[:, None])[:, ::-1]
    return Histories((rows[:, None] - steps_back) % store.capacity, back[::-1] <= reach[:, None])


def _ahead(
    store: ReplayStore, rows: np.ndarray, length: int, before_sequence: int | None, drawn: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(B, length) rows from each of `rows` on, and which of them begin a transition with none missing before them."""
    if length < 1:
        raise ValueError(f'{length} steps, expected 1 or more')
    path = (np.asarray(rows)[:, None] + np.arange(length)) % store.capacity
    begins = store.begins_transition(path, before_sequence)
    begins[:, 0] |= drawn
    valid = np.logical_and.accumulate(begins, axis=1)
    if not valid[:, 0].all():
        raise ValueError(f'{store.folder}: row {path[~valid[:, 0], 0][0]} begins no transition')
    return path, valid
