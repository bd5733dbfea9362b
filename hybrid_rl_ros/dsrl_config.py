"""What a run's configuration says of steering a base policy by its noise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hybrid_rl_ros.config_file import Section


class DsrlConfig(Section):
    """Diffusion steering (DSRL, Wagenmaker et al. 2025): SAC whose action is the noise of a frozen base policy.

    Defaults are those of the calibration that reached most in 200 episodes from few demonstrations.
    """

    variant: Literal['na', 'sac'] = Field(
        'na',
        description='na: critics of actions, from demonstrations too, distilled into critics of noise. '
        'sac: critics of noise alone, which need no pass of the base policy',
    )
    bound: float = Field(1.5, ge=0, le=5, description='each number of the noise is within plus and minus this')
    noise: Literal['per_step', 'tiled'] = Field(
        'per_step', description='tiled: one vector for all steps of a chunk; for bases that were cloned with it'
    )
    hidden: list[int] = [128, 128]
    critics: int = Field(2, ge=1)
    discount: float = Field(
        0.987, gt=0, lt=1, description='of one control step; a chunk of h bootstraps with its power h'
    )
    tau: float = Field(0.005, gt=0, le=1)
    learning_rate: float = Field(3e-4, gt=0)
    initial_temperature: float = Field(
        0.1, gt=0, description='values are scaled so that 1 is what one chunk without success costs'
    )
    target_entropy_per_dim: float = Field(-0.3, description='of the noise within its bounds, which are 1 here')
    batch: int = Field(256, ge=2)
    updates_per_step: int = Field(1, ge=1, description='of the critics, for a control step')
    critic_updates_per_actor_update: int = Field(2, ge=1)
    first_updates: int = Field(500, ge=0, description='once, when the steps of the base policy alone are done')
    demos: Literal['uniform', 'off'] = Field(
        'uniform', description='na: demonstrations are drawn as often as experience, transition by transition'
    )
    gate: bool = Field(
        True, description='of several noises, among them none, take that whose actions the critics think the most of'
    )
    gate_actor_samples: int = Field(4, ge=0, description='noises drawn from the actor')
    gate_normal_samples: int = Field(4, ge=0, description='noises drawn as the base policy draws them')
