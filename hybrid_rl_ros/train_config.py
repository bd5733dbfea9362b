"""How long a run learns, on what, and what it keeps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hybrid_rl_ros.config_file import Section


class TrainConfig(Section):
    env_steps: int = Field(5000, ge=1)
    episodes: int | None = Field(None, ge=1, description='end after so many, if env_steps are not done before')
    hours: float | None = Field(None, gt=0, description='end after so long, with the episode under way; null: never')
    warm_up_steps: int = Field(
        200, ge=0, description='before the first update: actions of the cloned policy with noise, or random without one'
    )
    warm_up_noise: float = Field(
        0.3, ge=0, description="deviation of the noise on the cloned policy's actions, a fraction of half their range"
    )
    publish_every_steps: int = Field(10, ge=1)
    checkpoint_every_steps: int = Field(500, ge=1)
    replay_capacity: int = Field(100_000, ge=100)
    torch_threads: int = Field(1, ge=1)
    device: Literal['auto', 'cpu', 'cuda'] = 'auto'
    compile: Literal['auto', 'on', 'off'] = Field(
        'auto', description='each update as one compiled graph; auto: where there is a C++ compiler. off: to debug'
    )
    max_rollbacks: int = Field(
        5, ge=0, description='how often in a row exploding weights are put back before the learner stops'
    )
    tensorboard: Literal['auto'] | bool = Field(
        'auto', description='events in <run>/tensorboard; auto: where the package is installed'
    )
    precision: Literal['fp32', 'bf16'] = Field('fp32', description='bf16: matrix products in 16 bits, weights in 32')
