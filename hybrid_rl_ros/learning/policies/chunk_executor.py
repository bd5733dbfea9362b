"""Which action of a chunk is due."""

from __future__ import annotations

import numpy as np


class ChunkExecutor:
    """Gives every action of a chunk its slot of one control period, counted from the observation's stamp.

        stamp    +1 T     +2 T     +3 T
        | a0     | a1     | a2     |   None from here on: an underrun, the arm holds
                   ^ now: a1, and a0 is dropped if nobody asked for it in its slot

    Deadlines are absolute, so that a late chunk is entered where it should be by now and never played in a burst.
    Times are ns of one clock.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self._chunk: np.ndarray | None = None
        self._stamp = 0
        self._next = 0
        self.dropped = 0
        self.underruns = 0

    def offer(self, chunk: np.ndarray, stamp: int, skipped: int = 0) -> None:
        """(h, A) actions for the observation of `stamp` take the place of what is left of an older chunk.

        One that was overtaken by a chunk of a newer observation is dropped whole. The first `skipped` were never meant
        to be done, and do not count as dropped.
        """
        if self._chunk is not None and stamp < self._stamp:
            self.dropped += len(chunk)
            return
        self._chunk, self._stamp, self._next = chunk, stamp, skipped

    def holds(self, now: int) -> bool:
        """Whether there is an action whose slot contains `now`."""
        return self._chunk is not None and 0 <= (now - self._stamp) // self.period < len(self._chunk)

    def peek(self, now: int) -> np.ndarray | None:
        """(A,) the action whose slot contains `now`, without asking for it."""
        return self._chunk[(now - self._stamp) // self.period] if self._chunk is not None and self.holds(now) else None

    def action(self, now: int) -> np.ndarray | None:
        """(A,) the action whose slot contains `now`, or None: an underrun, unless no chunk has come yet."""
        if self._chunk is not None:
            slot = (now - self._stamp) // self.period
            passed = min(max(slot, 0), len(self._chunk))
            self.dropped += max(0, passed - self._next)
            self._next = max(self._next, passed)
            if 0 <= slot < len(self._chunk):
                self._next = slot + 1
                return self._chunk[slot]
            self.underruns += 1
        return None

    def clear(self) -> None:
        """Forget what is left: it belongs to another episode, or to the time before a stop."""
        self._chunk = None
