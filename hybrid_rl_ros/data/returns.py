"""What a store's episodes earned from each of their steps on."""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.data.replay_store import ReplayStore


def returns_to_go(store: ReplayStore, discount: float) -> np.ndarray:
    """(capacity,) float32: the discounted sum of the rewards from each row to its episode's end; 0 where none begins.

    An episode that met no terminal state goes on beyond what is held. If it earned the same negative reward throughout,
    it is taken to go on earning that for ever, r / (1 - discount): the sum of an attempt that failed would otherwise be
    the better the later the row, and best of all where nothing could succeed any more. Any other is summed as far as it
    is held, without a value behind it: that is what the data bears witness to, and with rewards that are not negative
    never more than what the behaviour is worth.
    """
    returns = np.zeros(store.capacity, np.float32)
    rows = store.valid_rows()
    if not len(rows):
        return returns
    # An episode's last step begins none, so one episode's rows never join another's.
    breaks = np.flatnonzero(np.diff(store.sequence_at(rows)) != 1) + 1
    for episode in np.split(rows, breaks):
        returns[episode] = _to_go(store.rewards(episode), bool(store.masks(episode[-1:])[0]), discount)
    return returns


def _to_go(rewards: np.ndarray, goes_on: bool, discount: float) -> np.ndarray:
    if goes_on and rewards[0] < 0 and (rewards == rewards[0]).all():
        return np.full(len(rewards), rewards[0] / (1.0 - discount))
    returns = np.zeros(len(rewards))
    ahead = 0.0
    for index in reversed(range(len(rewards))):
        returns[index] = ahead = float(rewards[index]) + discount * ahead
    return returns
