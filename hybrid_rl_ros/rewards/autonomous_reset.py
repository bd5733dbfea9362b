"""A reset without a person: what the arm does, a look whether it worked, again if not, and only then a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from hybrid_rl_ros.reset_config import ResetConfig
from hybrid_rl_ros.rewards.reset_source import ResetSource
from hybrid_rl_ros.rewards.sights import Sight
from hybrid_rl_ros.rewards.source import Seen

Phase = Literal['moving', 'looking', 'done', 'called']


class AutonomousReset:
    """Call `begin`, then `step` once for each control step while it `runs`.

    `phase`: `called` when all tries were in vain; nothing moves then until `begin`, or `take_as_done` by a person.
    `on_change(cause)` is told when a try begins, and when there is none left.
    """

    def __init__(
        self,
        config: ResetConfig,
        source: ResetSource,
        verify: Sight | None,
        rate_hz: float,
        on_change: Callable[[str], None],
    ) -> None:
        self._config, self._source, self._verify, self._on_change = config, source, verify, on_change
        self._looks = max(1, round(config.verify_within_s * rate_hz))
        self._looked = self._failures = 0
        self.phase: Phase = 'done'

    @property
    def runs(self) -> bool:
        return self.phase in ('moving', 'looking')

    @property
    def sees(self) -> bool:
        """Whether it wants images."""
        return self._source.sees or (self._verify is not None and self._verify.sees)

    def begin(self, cause: str = 'reset routine') -> None:
        self._failures = 0
        self._try(cause)

    def take_as_done(self) -> None:
        self.phase = 'done'

    def step(self, seen: Seen) -> dict[str, float] | None:
        """The action of this step, or None where the arm is to stand still."""
        if self.phase == 'moving':
            action = self._source.act(seen)
            if action is not None:
                return action
            if self._source.late:
                self._fail(self._source.late)
            else:
                self.phase = 'looking' if self._verify else 'done'
        elif self.phase == 'looking' and self._verify is not None:
            self._looked += 1
            if self._verify.look(seen):
                self.phase = 'done'
            elif self._looked >= self._looks:
                self._fail('reset.verify was not seen')
        return None

    def _try(self, cause: str) -> None:
        self.phase, self._looked = 'moving', 0
        self._source.begin()
        if self._verify:
            self._verify.reset()
        self._on_change(cause)

    def _fail(self, why: str) -> None:
        self._failures += 1
        if self._failures <= self._config.retries:
            self._try(f'{why}; try {self._failures + 1} of {self._config.retries + 1}')
        else:
            self.phase = 'called'
            self._on_change(why)
