"""Whether practice still gets anywhere."""

from __future__ import annotations

from collections import deque

WINDOW = 20


class PracticeWatch:
    """Tells when a person should look: after too many failures in a row, or when success that was there is lost.

    `most_success_lost`: how far the success rate of the last 20 episodes may be below the best of any 20 before.
    """

    def __init__(self, most_failures_in_a_row: int | None, most_success_lost: float | None) -> None:
        self._most_failures, self._most_lost = most_failures_in_a_row, most_success_lost
        self._begin()

    def _begin(self) -> None:
        self._failures = 0
        self._best = 0.0
        self._recent: deque[bool] = deque(maxlen=WINDOW)

    def ended(self, succeeded: bool) -> str:
        """Take the outcome of one more episode; why a person should look, or ''. Then it begins anew."""
        self._failures = 0 if succeeded else self._failures + 1
        self._recent.append(succeeded)
        why = self._why()
        if why:
            self._begin()
        return why

    def _why(self) -> str:
        if self._most_failures is not None and self._failures >= self._most_failures:
            return f'{self._failures} episodes in a row without success'
        if len(self._recent) < WINDOW:
            return ''
        rate = sum(self._recent) / WINDOW
        self._best = max(self._best, rate)
        if self._most_lost is not None and self._best - rate > self._most_lost + 1e-9:
            return f'success fell from {self._best:.2f} to {rate:.2f} of {WINDOW} episodes'
        return ''
