"""RLPD in JAX, from its checkout: its SACLearner as configs/rlpd_config.py has it, fed as its training script does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hybrid_rl_ros.learning.peers.serve import Case


def make(case: Case) -> Callable[[int], None]:
    sys.path.insert(0, case['checkout'])
    # RLPD reads this attribute of tensorflow_probability, which newer versions only have once it was imported.
    importlib.import_module('tensorflow_probability.substrates.jax')
    import gym
    import jax
    from rlpd.agents.sac.sac_learner import SACLearner
    from rlpd.data.replay_buffer import ReplayBuffer

    observations = gym.spaces.Box(-1.0, 1.0, (case['states'],), np.float32)
    actions = gym.spaces.Box(-1.0, 1.0, (case['actions'],), np.float32)
    agent = SACLearner.create(
        0,
        observations,
        actions,
        hidden_dims=tuple(case['hidden']),
        num_qs=case['critics'],
        num_min_qs=2,
        critic_layer_norm=True,
    )
    buffer, rng = ReplayBuffer(observations, actions, case['steps']), np.random.default_rng(0)
    for _ in range(case['steps']):
        observation, following = rng.uniform(-1, 1, (2, case['states'])).astype(np.float32)
        action = rng.uniform(-1, 1, case['actions']).astype(np.float32)
        buffer.insert(
            {
                'observations': observation,
                'next_observations': following,
                'actions': action,
                'rewards': rng.random(),
                'masks': 1.0,
                'dones': False,
            }
        )

    def update(updates: int) -> None:
        nonlocal agent
        for _ in range(updates // case['utd']):
            agent, _ = agent.update(buffer.sample(case['batch'] * case['utd']), case['utd'])
        jax.block_until_ready(agent.critic.params)

    return update
