"""The state machine of an episode."""

from __future__ import annotations

from dataclasses import dataclass

STATES = ('resetting', 'ready', 'running', 'succeeded', 'failed', 'timed_out', 'aborted')


@dataclass
class Episode:
    """Where the current episode stands. `steps` counts executed actions, `number` the episodes begun (from 0)."""

    time_limit_steps: int
    state: str = 'resetting'
    number: int = -1
    steps: int = 0
    return_: float = 0.0

    @property
    def running(self) -> bool:
        return self.state == 'running'

    def reset(self) -> None:
        self.state = 'resetting'

    def start(self, time_limit_steps: int | None = None) -> None:
        self.time_limit_steps = time_limit_steps or self.time_limit_steps
        self.state, self.steps, self.return_ = 'running', 0, 0.0
        self.number += 1

    def arrive(self, reward: float, succeeded: bool, failed: bool, truncated: bool) -> None:
        """Account for the step that one executed action led to."""
        self.steps += 1
        self.return_ += reward
        if succeeded:
            self.state = 'succeeded'
        elif failed:
            self.state = 'failed'
        elif truncated or self.steps >= self.time_limit_steps:
            self.state = 'timed_out'

    def abort(self) -> None:
        self.state = 'aborted'

    @property
    def terminal(self) -> bool:
        """A true end; a time limit is none, its last step bootstraps."""
        return self.state in ('succeeded', 'failed')

    @property
    def truncated(self) -> bool:
        """Ended by the clock. An aborted episode has no last observation to bootstrap from, so it is not."""
        return self.state == 'timed_out'
