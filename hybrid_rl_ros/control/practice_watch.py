"""Whether practice still gets anywhere, and does the arm no harm."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from hybrid_rl_ros.episode_config import EpisodeConfig
from hybrid_rl_ros.expression import Expression

WINDOW = 20
STEADY_STEPS = 3
FORCE = ('wrench.fx', 'wrench.fy', 'wrench.fz')


class PracticeWatch:
    """Tells when a person should look: what `step` and `ended` return is why, or ''. Then it begins anew.

    most_failures_in_a_row; most_success_lost: how far the success rate of the last 20 episodes may be below the best
    of any 20 before; most_force_risen_n: how far the mean force of the last 20 may be above that of the first 20;
    pause_when: what must not hold for three steps in a row.
    """

    def __init__(self, config: EpisodeConfig) -> None:
        self._config = config
        self._pause = Expression(config.pause_when) if config.pause_when else None
        self._begin()

    def _begin(self) -> None:
        self._failures = 0
        self._best = 0.0
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._steady = 0
        self._force_n: list[float] = []
        self._first_n: list[float] = []
        self._last_n: deque[float] = deque(maxlen=WINDOW)

    def step(self, numbers: Mapping[str, float]) -> str:
        """Take the numbers of one step of an episode. Raises KeyError for one that they lack."""
        if self._config.most_force_risen_n is not None:
            self._force_n.append(math.hypot(*(numbers[name] for name in FORCE)))
        return self.pauses(numbers)

    def pauses(self, numbers: Mapping[str, float]) -> str:
        """As `step`, outside of episodes. What is not finite is as bad as what must not be."""
        watched = sorted(self._config.watched_numbers)
        finite = all(math.isfinite(numbers[name]) for name in watched)
        so = not finite or (self._pause is not None and self._pause.holds(numbers))
        self._steady = self._steady + 1 if so else 0
        if self._steady < STEADY_STEPS:
            return ''
        self._steady = 0
        self._force_n = []
        stands = ', '.join(f'{name} is {numbers[name]:.3g}' for name in watched)
        return f'{self._config.pause_when or "not finite"}: {stands}'

    def ended(self, succeeded: bool) -> str:
        """Take the outcome of one more episode."""
        self._failures = 0 if succeeded else self._failures + 1
        self._recent.append(succeeded)
        if self._force_n:
            finite_n = [force for force in self._force_n if math.isfinite(force)]
            mean_n = math.fsum(finite_n) / max(1, len(finite_n))
            if len(self._first_n) < WINDOW:
                self._first_n.append(mean_n)
            self._last_n.append(mean_n)
            self._force_n = []
        why = self._why()
        if why:
            self._begin()
        return why

    def _why(self) -> str:
        config = self._config
        if config.most_failures_in_a_row is not None and self._failures >= config.most_failures_in_a_row:
            return f'{self._failures} episodes in a row without success'
        if len(self._recent) < WINDOW:
            return ''
        rate = sum(self._recent) / WINDOW
        self._best = max(self._best, rate)
        if config.most_success_lost is not None and self._best - rate > config.most_success_lost + 1e-9:
            return f'success fell from {self._best:.2f} to {rate:.2f} of {WINDOW} episodes'
        if config.most_force_risen_n is not None:
            first, last = math.fsum(self._first_n) / WINDOW, math.fsum(self._last_n) / WINDOW
            if last - first > config.most_force_risen_n:
                return f'the mean force rose from {first:.1f} to {last:.1f} N'
        return ''
