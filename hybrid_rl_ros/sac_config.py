"""What a run's configuration says of SAC, and of what it learns from stored episodes before its first step."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from hybrid_rl_ros.config_file import Section

# What the published configurations of these methods say; every key can be set beside `preset`.
_SAC_PRESETS: dict[str, dict[str, Any]] = {
    # As it has them for robots that are told of success alone, where entropy is no value and each step costs 1. Beside
    # values of at most 1, where a success earns 1 and nothing costs, such a temperature is large.
    'rlpd': {
        'averaged_updates': 1,
        'activation': 'relu',
        'actor_layer_norm': False,
        'critics': 10,
        'critic_subset': 2,
        'discount': 0.99,
        'initial_temperature': 1.0,
        'batch': 256,
        'updates_per_step': 20,
        'critic_updates_per_actor_update': 20,
    },
    'serl': {
        'averaged_updates': 1,
        'critics': 10,
        'critic_subset': 2,
        'discount': 0.96,
        'batch': 256,
        'updates_per_step': 4,
        'critic_updates_per_actor_update': 4,
    },
    # Haarnoja et al. 2018, as Stable-Baselines3 has it; no demonstrations.
    'sac': {
        'averaged_updates': 1,
        'activation': 'relu',
        'actor_layer_norm': False,
        'discount': 0.99,
        'initial_temperature': 1.0,
        'target_entropy_per_dim': -1.0,
        'entropy_backup': True,
        'batch': 256,
        'demo_ratio': 0.0,
        'updates_per_step': 1,
    },
    'hil_serl': {
        'averaged_updates': 1,
        'discount': 0.97,
        'batch': 256,
        'updates_per_step': 4,
        'critic_updates_per_actor_update': 2,
    },
}


class SacConfig(Section):
    """SAC with demonstrations (RLPD, HIL-SERL); defaults are the calibrated ones."""

    preset: Literal['rlpd', 'serl', 'hil_serl', 'sac'] | None = Field(
        None, description='values as published, under the ones that are set here'
    )
    hidden: list[int] = [256, 256]
    activation: Literal['tanh', 'relu'] = 'tanh'
    actor_layer_norm: bool = True
    critic_layer_norm: bool = True
    critics: int = Field(2, ge=1)
    critic_subset: int = Field(2, ge=1, description='the target is the least of so many, drawn anew for every update')
    discount: float = Field(0.97, gt=0, lt=1)
    n_step: int = Field(1, ge=1, description='rewards summed before the target bootstraps')
    tau: float = Field(0.005, gt=0, le=1)
    averaged_updates: int = Field(
        500, ge=1, description='the policy that acts has the mean weights of so many updates; 1: those of the last'
    )
    learning_rate: float = Field(3e-4, gt=0)
    initial_temperature: float = Field(0.01, gt=0)
    target_entropy_per_dim: float = Field(-0.5, description='times the number of action dimensions; RLPD: -0.5')
    entropy_backup: bool = False
    batch: int = Field(128, ge=2)
    demo_ratio: float = Field(0.5, ge=0, lt=1)
    updates_per_step: int = Field(4, ge=1)
    critic_updates_per_actor_update: int = Field(1, ge=1)
    gripper: Literal['continuous', 'dqn'] = Field(
        'continuous',
        description='dqn: close, keep or open by a critic of these three; needs action.gripper_mode: discrete',
    )
    gripper_penalty: float = Field(
        -0.02,
        le=0,
        description='with gripper: dqn, what its critic adds to the reward when the fingers are made to move',
    )
    input_scale: Literal['specs', 'demonstrations'] = Field(
        'specs',
        description='specs: a state has the range of its dimension, a feature what its encoder gives; demonstrations, '
        'where there are any: each has mean 0 and deviation 1 over them',
    )
    relative_frame: bool = Field(
        False, description='states and actions as seen from where the tool stood when the episode began; also of bc'
    )
    actor_init: Literal['auto', 'random', 'bc'] = Field(
        'auto', description='bc: the actor begins as the cloned policy; auto: it does with offline.method cal_ql alone'
    )
    actor_init_std: float = Field(
        0.15, gt=0, description='a cloned actor: deviation before the tanh, which cloning does not teach'
    )
    critic_warm_up_updates: int = Field(
        2000, ge=0, description='a cloned actor: updates of the critics alone, which know nothing of its actions yet'
    )
    actor_pull: float = Field(
        0.1, ge=0, description='a pretrained actor: weight of its divergence from what it was, at first'
    )
    actor_pull_updates: int = Field(12_000, ge=1, description='over so many updates of the critics it falls to 0')

    @model_validator(mode='before')
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get('preset'), str):
            return data
        return {**_SAC_PRESETS.get(data['preset'], {}), **data}

    @model_validator(mode='after')
    def _subset_fits(self) -> SacConfig:
        if self.critic_subset > self.critics:
            raise ValueError(f'critic_subset ({self.critic_subset}) is larger than critics ({self.critics})')
        return self


class OfflineConfig(Section):
    """What is learned from stored episodes before the first step, and what remains of it online.

    cal_ql: calibrated Q-learning (Nakamoto et al. 2023) after behaviour cloning. wsrl (Zhou et al. 2024): the
    pretrained policy fills the replay store by itself, then learns from that alone; symmetric: demonstrations stay in
    every batch.
    """

    method: Literal['bc', 'cal_ql'] = 'bc'
    data: list[str] = Field([], description='replay stores beside demos, of episodes of any quality')
    updates: int = Field(1500, ge=1, description='in the first third the critics alone learn')
    batch: int = Field(128, ge=2)
    alpha: float = Field(5.0, ge=0, description='weight of the conservative loss')
    value_scale: float = Field(
        100.0, gt=0, description='alpha is meant for values that span hundreds; a success reward of 1 needs some 100'
    )
    temperature: float = Field(1.0, gt=0, description="of the conservative loss's soft maximum over actions")
    actions: int = Field(4, ge=1, description='random ones, and of the policy here and one step on; published: 10')
    calibrated: bool = Field(True, description='false: conservative Q-learning (Kumar et al. 2020)')
    max_target_backup: bool = Field(True, description='targets take the best of `actions` next actions')
    online: Literal['symmetric', 'wsrl'] = 'symmetric'
    warm_up_steps: int = Field(500, ge=1, description='wsrl: steps of the pretrained policy alone; published: 5000')

    @model_validator(mode='after')
    def _wsrl_has_critics(self) -> OfflineConfig:
        if self.online == 'wsrl' and self.method != 'cal_ql':
            raise ValueError('online: wsrl needs the critics of method: cal_ql')
        return self
