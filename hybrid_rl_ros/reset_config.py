"""How the arm gets from the end of an episode to the start of the next."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.reward_config import SOURCE_PATTERN, SightConfig

KINDS = ('move', 'joints', 'gripper', 'wait_s')


class WaypointConfig(Section):
    """One part of a reset routine: exactly one of move, joints, gripper and wait_s."""

    move: tuple[float | None, float | None, float | None] | None = Field(
        None, description='where the tool goes, m in the base frame; null: stays as it is along that axis'
    )
    randomise_m: tuple[float, float, float] = Field(
        (0.0, 0.0, 0.0), description='of `move`: at most so far from it along x, y and z, drawn anew each time'
    )
    joints: list[float] | Literal['home'] | None = Field(
        None, description='where the joints go, rad, in the order of the robot file; home: to its home_rad'
    )
    randomise_rad: float = Field(0.0, ge=0, description='of `joints`: each at most so far from it, drawn anew')
    gripper: Literal['open', 'close'] | None = None
    wait_s: float | None = Field(None, gt=0)
    within_s: float = Field(
        15.0, gt=0, description='move, joints, open: given up, and tried again, when it takes longer'
    )

    @model_validator(mode='after')
    def _is_one_thing(self) -> WaypointConfig:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f'expected exactly one of {", ".join(KINDS)}; there is {" and ".join(given) or "none"}')
        if any(self.randomise_m) and self.move is None:
            raise ValueError('randomise_m belongs to move')
        if self.randomise_rad and self.joints is None:
            raise ValueError('randomise_rad belongs to joints')
        if min(self.randomise_m) < 0.0:
            raise ValueError('randomise_m: expected no number below 0')
        return self


class ResetConfig(Section):
    """`routine` or `source`: what the arm does, through the safety gate, after each episode. Without either a
    simulation resets itself and on a real arm a person does.
    """

    routine: list[WaypointConfig] = []
    source: str | None = Field(
        None, pattern=SOURCE_PATTERN, description='module:Class of your own in place of a routine (docs/rewards.md)'
    )
    settings: dict[str, Any] = Field({}, description='for a source of your own, which checks them')
    numbers: list[str] = Field([], description='what a source of your own reads, beside the arm itself')
    verify: SightConfig | None = Field(None, description='what must be seen afterwards, as reward.success is seen')
    verify_within_s: float = Field(2.0, gt=0)
    retries: int = Field(2, ge=0, description='of the whole routine; then a person is called, and nothing moves')
    call: list[str] = Field(
        [], description='a command that calls a person: a sound, a webhook; {why} says what is wrong'
    )
    call_for_fault_after_s: float = Field(
        60.0, ge=0, description='a fault of the gate that nobody has cleared for so long is a call as well'
    )

    @property
    def by_arm(self) -> bool:
        """Whether the arm itself does it."""
        return bool(self.routine or self.source)

    @model_validator(mode='after')
    def _is_one_thing(self) -> ResetConfig:
        if self.routine and self.source:
            raise ValueError('expected routine or source, not both')
        if (self.settings or self.numbers) and not self.source:
            raise ValueError('settings and numbers are for a source')
        if self.verify is not None and not self.by_arm:
            raise ValueError('verify: looks at what a routine has done; there is none')
        return self
