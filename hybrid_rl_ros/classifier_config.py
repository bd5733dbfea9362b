"""What a run's configuration says of the image success classifier."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hybrid_rl_ros.config_file import Section


class ClassifierConfig(Section):
    """A success classifier of camera frames (`hybrid-rl pretrain --what classifier`); `encoder` says how it looks."""

    cameras: list[str] = Field([], description='of observation.cameras; none: all of them')
    updates: int = Field(200, ge=1)
    batch: int = Field(64, ge=2, description='frames, half of them successes')
    learning_rate: float = Field(1e-3, gt=0, description='at its highest')
    hidden: int = Field(256, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    held_out: float = Field(0.2, gt=0, lt=1, description='share of the episodes that it is judged by')
    max_false_positive_rate: float = Field(
        0.01,
        ge=0,
        lt=1,
        description='of the held-out frames that are no success; the threshold is raised until it holds',
    )
    gate: Literal['learned', 'off'] = Field(
        'learned', description='learned: a success is only where the proprioception was in those that were learned from'
    )
    gate_margin: float = Field(0.1, ge=0, description="of each state's range in the successes, on both sides")
