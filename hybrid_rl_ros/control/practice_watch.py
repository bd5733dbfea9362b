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
    """Tells when a person should look: what `step` and `ended` return is why, or ''. What was told is counted anew.

    most_failures_in_a_row; most_success_lost: how far the success rate of a task's last 20 episodes may be below the
    best of any 20 before; most_force_risen_n: how far the mean force of the last 20 may be above that of the first 20,
    whatever the tasks; pause_when: what must not hold for three steps in a row.
    """

    def __init__(self, config: EpisodeConfig) -> None:
        self._config = config
        self._pause = Expression(config.pause_when) if config.pause_when else None
        self._progress: dict[str, _Progress] = {}
        self._steady = 0
        self._force_n: list[float] = []
        self._first_n: list[float] = []
        self._last_n: deque[float] = deque(maxlen=WINDOW)

    def began(self) -> None:
        """An episode begins."""
        self._force_n = []

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
        stands = ', '.join(f'{name} is {numbers[name]:.3g}' for name in watched)
        return f'{self._config.pause_when or "not finite"}: {stands}'

    def ended(self, succeeded: bool, task: str = '') -> str:
        """Take the outcome of one more episode of a task."""
        progress = self._progress.setdefault(task, _Progress())
        why = progress.ended(succeeded, self._config)
        if why:
            self._progress[task] = _Progress()
        told = f'{task}: {why}' if task and why else why
        return '; '.join(filter(None, (told, self._force_risen())))

    def _force_risen(self) -> str:
        if self._config.most_force_risen_n is None:
            return ''
        finite_n = [force for force in self._force_n if math.isfinite(force)]
        mean_n = math.fsum(finite_n) / max(1, len(finite_n))
        self._force_n = []
        if len(self._first_n) < WINDOW:
            self._first_n.append(mean_n)
        self._last_n.append(mean_n)
        first, last = math.fsum(self._first_n) / WINDOW, math.fsum(self._last_n) / WINDOW
        if len(self._first_n) < WINDOW or last - first <= self._config.most_force_risen_n:
            return ''
        self._first_n = []
        self._last_n.clear()
        return f'the mean force rose from {first:.1f} to {last:.1f} N'


class _Progress:
    """How one task goes."""

    def __init__(self) -> None:
        self._failures, self._best = 0, 0.0
        self._recent: deque[bool] = deque(maxlen=WINDOW)

    def ended(self, succeeded: bool, config: EpisodeConfig) -> str:
        self._failures = 0 if succeeded else self._failures + 1
        self._recent.append(succeeded)
        if config.most_failures_in_a_row is not None and self._failures >= config.most_failures_in_a_row:
            return f'{self._failures} episodes in a row without success'
        rate = sum(self._recent) / WINDOW
        if len(self._recent) == WINDOW:
            self._best = max(self._best, rate)
        if config.most_success_lost is not None and self._best - rate > config.most_success_lost + 1e-9:
            return f'success fell from {self._best:.2f} to {rate:.2f} of {WINDOW} episodes'
        return ''
