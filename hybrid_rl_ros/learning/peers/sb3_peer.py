"""Stable-Baselines3's SAC with its defaults, and its own train() on its own filled buffer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.logger import configure

if TYPE_CHECKING:
    from hybrid_rl_ros.learning.peers.serve import Case


class Spaces(gymnasium.Env):
    """Only the shapes: no step is ever taken in it."""

    def __init__(self, case: Case) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (case['states'],), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (case['actions'],), np.float32)


def make(case: Case) -> Callable[[int], None]:
    torch.set_num_threads(case['threads'])
    policy = {'net_arch': case['hidden'], 'n_critics': case['critics']}
    model = SAC('MlpPolicy', Spaces(case), buffer_size=case['steps'], policy_kwargs=policy, seed=0, device='cpu')
    model.set_logger(configure(folder=None, format_strings=[]))
    rng, buffer = np.random.default_rng(0), model.replay_buffer
    for _ in range(case['steps']):
        observation, following = rng.uniform(-1, 1, (2, 1, case['states'])).astype(np.float32)
        action = rng.uniform(-1, 1, (1, case['actions'])).astype(np.float32)
        buffer.add(observation, following, action, rng.random(1), np.zeros(1), [{}])
    return lambda updates: model.train(gradient_steps=updates, batch_size=case['batch'])
