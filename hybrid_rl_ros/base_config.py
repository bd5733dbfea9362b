"""What a run's configuration says of base policies: diffusion and flow policies cloned from demonstrations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hybrid_rl_ros.config_file import Section

WIDTHS = {'mlp': [128, 128, 128], 'unet': [64, 128, 256], 'transformer': [128, 128, 128]}
HEADS = 4
# What its group normalisation divides channels into.
GROUPS = 8


class BaseConfig(Section):
    """A policy that turns noise into a chunk of actions (`agent: base`), which `agent: dsrl` steers by that noise."""

    file: str | None = Field(
        None,
        description='of an exported policy that somebody else trained, instead of one cloned here; base.chunk is its',
    )
    method: Literal['ddpm', 'flow', 'mean_flow'] = Field(
        'flow',
        description='ddpm: noise prediction, sampled by DDIM. flow: rectified flow, sampled by Euler steps. '
        'mean_flow: mean velocities, sampled in one step',
    )
    denoiser: Literal['mlp', 'unet', 'transformer'] = Field(
        'mlp', description='mlp: for short chunks. unet: 1-D convolutions over the chunk. transformer: over its actions'
    )
    hidden: list[int] | None = Field(
        None,
        min_length=1,
        description='mlp: widths of its layers. unet: channels of its levels. transformer: one equal width a layer. '
        'null: 128, 128, 128; unet 64, 128, 256',
    )
    chunk: int = Field(4, ge=1, le=256, description='actions that are made at once, the first for what is seen now')
    executed: int | None = Field(None, ge=1, description='how many of them are done before new ones; null: all')
    blend: int = Field(
        2, ge=0, description='real time: over so many actions a new chunk takes over from the one that it overlaps'
    )
    observations: int = Field(
        1, ge=1, le=16, description='states that are seen, the newest last; of the cameras always the newest picture'
    )
    steps: int = Field(10, ge=1, description='calls of the denoiser for a chunk; mean_flow: 1, whatever this says')
    refine: int | None = Field(
        None,
        ge=1,
        description='real-time iteration: calls of the denoiser for every chunk but the first of an episode, each '
        'beginning with the one before; null: steps, from noise',
    )
    refine_share: float = Field(
        0.4,
        gt=0,
        le=1,
        description='of the way from noise, which these calls go again; less: what was begun is kept to, and what is '
        'seen since counts less',
    )
    refine_noise: bool = Field(
        True,
        description='what refine begins with is noised as its first step expects; false: it is not, and posterior '
        'means are taken down from timestep refine - 1, as published for ddpm',
    )
    train_steps: int = Field(100, ge=2, le=1000, description='ddpm: noise levels in training; steps is at most this')
    normalisation: Literal['minmax', 'quantile'] = Field(
        'minmax',
        description='of states and actions, by the ends of what was demonstrated, or by its 1st and 99th percentile',
    )
    updates: int = Field(4000, ge=1)
    batch: int = Field(128, ge=2)
    learning_rate: float = Field(1e-3, gt=0, description='at its highest; it falls to 0 along a cosine')
    warm_up_updates: int = Field(100, ge=0, description='over which the learning rate rises')
    weight_decay: float = Field(1e-6, ge=0)
    ema_power: float = Field(
        0.75, gt=0, le=1, description='averaged weights act: update n keeps a share 1 - (1 + n)^-ema_power of them'
    )
    ema_max: float = Field(0.999, ge=0, lt=1, description='the largest such share')
    noise: Literal['sampled', 'zero'] = Field(
        'sampled', description='agent base, evaluated: drawn anew for every chunk, or none, which is always the same'
    )
    validation_share: float = Field(0.1, ge=0, le=0.5, description='of the episodes, held out; rounded down')
    validate_every: int = Field(500, ge=1, description='updates')
    rollouts: int = Field(0, ge=0, description='simulated episodes at every validation, without ROS; 0 for none')
    checkpoint_every: int = Field(1000, ge=1, description='updates; a killed pretraining goes on from the last')

    processes: int = Field(1, ge=1, description='that learn it, a GPU each where there are GPUs, by torchrun')

    @property
    def widths(self) -> list[int]:
        return WIDTHS[self.denoiser] if self.hidden is None else self.hidden

    @property
    def acts(self) -> int:
        """How many actions of a chunk are executed."""
        return self.chunk if self.executed is None else self.executed

    @property
    def calls(self) -> int:
        """How often the denoiser runs for one chunk."""
        return 1 if self.method == 'mean_flow' else self.steps

    @model_validator(mode='after')
    def _keys_fit(self) -> BaseConfig:
        if self.acts > self.chunk:
            raise ValueError(f'executed ({self.executed}) is more than a chunk has: chunk ({self.chunk})')
        if self.method == 'ddpm' and self.steps > self.train_steps:
            raise ValueError(f'steps ({self.steps}) is more than train_steps ({self.train_steps})')
        if self.refine is not None and self.refine >= self.calls:
            raise ValueError(f'refine ({self.refine}) saves nothing: a chunk from noise takes {self.calls}')
        if self.refine is not None and self.acts == self.chunk:
            raise ValueError(f'refine ({self.refine}) begins with what is left of a chunk: set executed below chunk')
        if not self.refine_noise and self.method != 'ddpm':
            raise ValueError(f'refine_noise: false is for method: ddpm, not {self.method}')
        widths = self.widths
        if min(widths) < 1:
            raise ValueError(f'hidden: widths are above 0, got {widths}')
        if self.denoiser == 'transformer' and (len(set(widths)) > 1 or widths[0] % (2 * HEADS)):
            raise ValueError(f'hidden: a transformer has one width, a multiple of {2 * HEADS}, a layer; got {widths}')
        if self.denoiser == 'unet' and any(width % GROUPS for width in widths):
            raise ValueError(f'hidden: channels of a unet are multiples of {GROUPS}, got {widths}')
        return self
