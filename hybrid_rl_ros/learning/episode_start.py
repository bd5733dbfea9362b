"""Which observation an episode began with, as the replay store will have it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class EpisodeStart:
    """Gives every observation the state that its episode began in.

    A simulation says when it was reset. In real time the store begins anew besides whenever the arm has been held, so
    the start is the last observation before somebody acts:

        held   held   policy   policy   teleop   held   policy
        o0     o1     o2       o3       o4       o5     o6        observation, and who acts from it on
        o0     o1     o2       o2       o2       o5     o6        its start

    In lock-step nothing is held in the middle of an episode, and when word of it comes is no part of what is repeated.
    """

    def __init__(self, lockstep: bool) -> None:
        self._lockstep = lockstep
        self._resets = -1.0
        self._state: np.ndarray | None = None
        self.arm_acts = False

    def of(self, state: np.ndarray, task: Mapping[str, float]) -> np.ndarray:
        """(S,) for the newest observation: its state (S,), and the task's numbers, of which `resets` counts."""
        resets = task.get('resets', self._resets)
        held = not self._lockstep and not self.arm_acts
        if self._state is None or held or resets != self._resets:
            self._state = state
        self._resets = resets
        return self._state
