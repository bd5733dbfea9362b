"""A scripted person who watches the simulation and takes over when the policy fails."""

from __future__ import annotations

from hybrid_rl_ros.practice_config import PracticeConfig
from hybrid_rl_ros.sim.backend import NamedVector
from hybrid_rl_ros.sim.experts import Expert, told_of_task


class Overseer:
    """Lets the policy try for `patience_steps` of each episode, then finishes the task with the expert."""

    def __init__(self, expert: Expert, patience_steps: int, practice: PracticeConfig) -> None:
        self._expert, self._patience_steps, self._practice = expert, patience_steps, practice
        self._episode = -1.0
        self._steps = 0

    def action(self, task_state: NamedVector) -> list[float] | None:
        """The action of this step, or None to let the policy go on."""
        if task_state['resets'] != self._episode:
            self._episode, self._steps = task_state['resets'], 0
            self._expert.reset()
        self._steps += 1
        if self._steps <= self._patience_steps:
            return None
        return self._expert.act(told_of_task(task_state, self._practice)).tolist()
