"""How long an episode lasts, and when nobody should begin the next."""

from __future__ import annotations

from pydantic import Field, field_validator

from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.expression import Expression, checked_expression


class StuckConfig(Section):
    within_m: float = Field(0.005, gt=0, description='the tool has not gone further than this')
    for_s: float = Field(5.0, gt=0, description='in this time')


class EpisodeConfig(Section):
    time_limit_steps: int = Field(100, ge=1)
    stuck: StuckConfig | None = Field(
        None, description='end an episode, as a time limit does, in which the tool gets nowhere; null for off'
    )
    most_failures_in_a_row: int | None = Field(
        None, ge=1, description='then a person is called (reset.call), and nothing moves until ~/begin; null: never'
    )
    most_success_lost: float | None = Field(
        None, gt=0, lt=1, description='as well when the last 20 episodes succeed by so much less often than the best 20'
    )
    most_force_risen_n: float | None = Field(
        None, gt=0, description='or when the mean force at the tool has risen by so much over what it was at first'
    )
    pause_when: str | None = Field(
        None, description='an expression that ends the episode and calls a person: "temperature.elbow > 65"'
    )
    observation_timeout_s: float = Field(1.0, gt=0, description='real time: abort when observations stop this long')

    @property
    def watched_numbers(self) -> set[str]:
        """What pause_when and most_force_risen_n are about."""
        forces = {f'wrench.f{axis}' for axis in 'xyz'} if self.most_force_risen_n else set()
        return forces | (set(Expression(self.pause_when).names) if self.pause_when else set())

    @field_validator('pause_when')
    @classmethod
    def _is_an_expression(cls, text: str | None) -> str | None:
        return None if text is None else checked_expression(text)
