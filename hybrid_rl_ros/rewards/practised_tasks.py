"""The judge and the time limit of whichever task is under way."""

from __future__ import annotations

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.task_graph import TaskGraph
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.rewards.judge import Judge


class PractisedTasks:
    """`graph` says which it is; `labelling` as for a Judge."""

    def __init__(self, config: Config, specs: Specs, labelling: bool) -> None:
        self.graph = TaskGraph(config.practice, only_first=config.resets_scene)
        self._first = self.graph.current
        if labelling and config.practice.tasks:
            raise UserError('record --label: a classifier is of one task; take practice.tasks out of the configuration')
        tasks, limit = config.practice.tasks, config.episode.time_limit_steps
        self._limits_steps = {name: task.time_limit_steps or limit for name, task in tasks.items()} or {'': limit}
        self._configs = {name: task.reward(config.reward) for name, task in tasks.items()} or {'': config.reward}
        simulated = config.sim is not None
        self._judges = {name: Judge(reward, specs, simulated, labelling) for name, reward in self._configs.items()}

    @property
    def judge(self) -> Judge:
        return self._judges[self.graph.current]

    @property
    def time_limit_steps(self) -> int:
        return self._limits_steps[self.graph.current]

    @property
    def sees(self) -> bool:
        """Whether any of them wants images."""
        return any(judge.sees for judge in self._judges.values())

    @property
    def has_second_opinion(self) -> bool:
        """Whether the simulation has a word of its own on this task, and is not its judge."""
        return self.graph.current == self._first and self._configs[self._first].success is not None
