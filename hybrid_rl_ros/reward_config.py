"""What success is, and what arriving somewhere is worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.expression import Expression, checked_expression

KINDS = ('simulation', 'when', 'classifier', 'source', 'all_of', 'any_of', 'weighted', 'stages')
EXACT = ('simulation', 'all_of', 'any_of', 'weighted', 'stages')
STEADY_STEPS = 3
SOURCE_PATTERN = r'^[A-Za-z_][\w.]*:[A-Za-z_]\w*$'


class SightConfig(Section):
    """One way to see that something is so: exactly one of these keys, and what goes with it.

    all_of, any_of, weighted and stages are of others; in `stages` each counts once, in their order.
    """

    simulation: Literal['success', 'failure'] | None = Field(None, description="the simulation's own word")
    when: str | None = Field(None, description='an expression of named numbers: "task.cube.z > 0.1 and ee.z > 0.2"')
    classifier: str | None = Field(None, description='a folder made by `hybrid-rl pretrain --what classifier`')
    source: str | None = Field(None, pattern=SOURCE_PATTERN, description='module:Class of your own (docs/rewards.md)')
    settings: dict[str, Any] = Field({}, description='for a source of your own, which checks them')
    numbers: list[str] = Field([], description='what a source of your own reads, beside observation.state')
    all_of: list[SightConfig] = []
    any_of: list[SightConfig] = []
    weighted: list[SightConfig] = Field([], description='each with its weight; seen when their share is above at_least')
    stages: list[SightConfig] = []
    weight: float = Field(1.0, gt=0, description='in a list of weighted')
    at_least: float = Field(0.5, ge=0, lt=1)
    gate: str | None = Field(None, description='an expression that must hold too')
    steps: int | None = Field(
        None,
        ge=1,
        description=f'counts once it was so for this many steps in a row; null: {STEADY_STEPS} for what is measured '
        '(when, classifier, source), 1 for the rest',
    )

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind))

    @property
    def steady_steps(self) -> int:
        return self.steps or (1 if self.kind in EXACT else STEADY_STEPS)

    @property
    def parts(self) -> list[SightConfig]:
        return [*self.all_of, *self.any_of, *self.weighted, *self.stages]

    @property
    def names(self) -> set[str]:
        """The numbers that its own expressions, or a source of your own, are about."""
        texts = [text for text in (self.when, self.gate) if text]
        return {*self.numbers, *(name for text in texts for name in Expression(text).names)}

    def all(self) -> Iterator[SightConfig]:
        """This one and all that it is made of."""
        yield self
        for part in self.parts:
            yield from part.all()

    @field_validator('when', 'gate')
    @classmethod
    def _is_an_expression(cls, text: str | None) -> str | None:
        return None if text is None else checked_expression(text)

    @model_validator(mode='after')
    def _is_one_thing(self) -> SightConfig:
        given = [kind for kind in KINDS if getattr(self, kind)]
        if len(given) != 1:
            raise ValueError(f'expected exactly one of {", ".join(KINDS)}; there is {" and ".join(given) or "none"}')
        if (self.settings or self.numbers) and not self.source:
            raise ValueError('settings and numbers are for a source of your own (module:Class)')
        if self.stages and (self.gate or self.steps):
            raise ValueError('gate and steps are of each stage')
        if self.at_least != 0.5 and not self.weighted:
            raise ValueError('at_least is for a list of weighted')
        if any(part.weight != 1.0 for part in [*self.all_of, *self.any_of, *self.stages]):
            raise ValueError('weight is for what stands in a list of weighted')
        if any(part.stages for part in self.parts):
            raise ValueError('stages are not part of something else: name them first')
        return self


class RewardConfig(Section):
    """`success`: success_reward on success and step_reward otherwise; `environment`: task.reward as it comes.

    `shaping` adds a multiple of named task numbers at every step, such as {distance: -1.0}. With stages, success_reward
    is paid in equal parts, each once.
    """

    source: Literal['success', 'environment'] = 'success'
    success: SightConfig | None = Field(
        None, description="how success is seen; null: the simulation's word, and without one a person's"
    )
    failure: SightConfig | None = Field(None, description='how a failure is seen; null: as `success`, if that is null')
    success_reward: float = 1.0
    step_reward: float = 0.0
    shaping: dict[str, float] = {}

    @property
    def sights(self) -> list[SightConfig]:
        """All there is to see, and what it is made of."""
        return [part for sight in (self.success, self.failure) if sight is not None for part in sight.all()]

    @model_validator(mode='after')
    def _one_judge(self) -> RewardConfig:
        if self.source == 'environment' and (self.success or self.failure):
            raise ValueError('source: environment judges by itself; leave success and failure out')
        if self.failure is not None and self.failure.stages:
            raise ValueError('failure: a failure has no stages')
        return self
