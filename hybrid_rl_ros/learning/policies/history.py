"""The last few states, for policies that see more than one."""

from __future__ import annotations

from collections import deque

import numpy as np


class History:
    """Keeps the newest `length` states of an episode."""

    def __init__(self, length: int) -> None:
        self._states: deque[np.ndarray] = deque(maxlen=length)

    def add(self, state: np.ndarray, anew: bool) -> np.ndarray:
        """(T, S) the states up to this one (S,), oldest first; `anew`: it is the first of an episode."""
        if anew:
            self.clear()
        self._states.append(state)
        return np.stack(self._states)

    def clear(self) -> None:
        self._states.clear()


def history_of(states: np.ndarray, length: int) -> np.ndarray:
    """(length, S) of a state (S,) or some (T, S): the newest; before the first there was nothing but it."""
    states = np.atleast_2d(states)[-length:]
    return np.concatenate([np.repeat(states[:1], length - len(states), axis=0), states])
