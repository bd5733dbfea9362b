"""Several tasks practised in turn, each of which makes the next one possible: nothing is reset by a person."""

from __future__ import annotations

from pydantic import Field, model_validator

from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.reward_config import RewardConfig, SightConfig


class PractisedTask(Section):
    """One of them. What is left out is as the rest of the configuration has it."""

    success: SightConfig | None = Field(None, description='how it is seen to be done; null: as reward.success')
    failure: SightConfig | None = Field(None, description='null: as reward.failure')
    time_limit_steps: int | None = Field(None, ge=1, description='null: as episode.time_limit_steps')
    next: str | None = Field(None, description='the task after a success; null: the one listed after it, or the first')
    after_failure: str | None = Field(None, description='the task after anything else; null: the same again')
    expert: dict[str, float] = Field(
        {}, description='what the scripted expert is told in place of the task numbers of these names: {goal.x: 0.4}'
    )

    def reward(self, common: RewardConfig) -> RewardConfig:
        """What this task is judged by. Raises ValidationError for what does not go together."""
        own = {key: sight for key in ('success', 'failure') if (sight := getattr(self, key)) is not None}
        return RewardConfig.model_validate({**{key: getattr(common, key) for key in RewardConfig.model_fields}, **own})


class PracticeConfig(Section):
    """`tasks`: by name, in their order. The first is the one that the simulation judges by `task`, and where each start
    is placed (sim.reset: teleport) it is practised alone. With none, there is one task, without a name.
    """

    tasks: dict[str, PractisedTask] = {}

    @property
    def numbers(self) -> list[str]:
        """Of every task, whether it is under way: 1 or 0."""
        return [f'practice.{name}' for name in self.tasks]

    @property
    def sights(self) -> list[SightConfig]:
        found = [sight for task in self.tasks.values() for sight in (task.success, task.failure) if sight is not None]
        return [part for sight in found for part in sight.all()]

    @model_validator(mode='after')
    def _names_its_tasks(self) -> PracticeConfig:
        for name, task in self.tasks.items():
            if not name.isidentifier():
                raise ValueError(f'tasks: {name!r} is no name: letters, digits and underscores')
            for key in ('next', 'after_failure'):
                if getattr(task, key) not in (None, *self.tasks):
                    raise ValueError(
                        f'tasks.{name}.{key}: no task {getattr(task, key)!r}; tasks: {", ".join(self.tasks)}'
                    )
        if len(self.tasks) == 1:
            raise ValueError('tasks: one alone needs no name; leave them out')
        return self
