"""Which of several practised tasks comes next."""

from __future__ import annotations

from hybrid_rl_ros.practice_config import PracticeConfig


class TaskGraph:
    """Begins with the first task. `current` is its name, '' where there is only one and it has none."""

    def __init__(self, config: PracticeConfig, only_first: bool = False) -> None:
        self._tasks, self._only_first = config.tasks, only_first
        self._names = list(config.tasks)
        self.current = self._names[0] if self._names else ''

    @property
    def numbers(self) -> dict[str, float]:
        """`practice.<task>` of every task: 1 for the one under way."""
        return {f'practice.{name}': float(name == self.current) for name in self._names}

    def go_on_after(self, task: str, succeeded: bool) -> None:
        """What an earlier part of the run ended with."""
        if task in self._names:
            self.current = task
            self.ended(succeeded)

    def ended(self, succeeded: bool) -> None:
        """An episode of the current task has ended by itself."""
        if self._only_first or not self._names:
            return
        task = self._tasks[self.current]
        following = self._names[(self._names.index(self.current) + 1) % len(self._names)]
        self.current = (task.next or following) if succeeded else (task.after_failure or self.current)
