"""Behaviour cloning: the agent `bc`, and what pretrains the encoders that `sac` then freezes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.policies.policy import Policy, normalised_actions, normalised_states
from hybrid_rl_ros.learning.policies.shape import shape_of

Progress = Callable[[int, int, float], None]


def clone_behaviour(demos: ReplayStore, config: Config, device: str, progress: Progress) -> Policy:
    """A policy whose mode has the least mean squared error to the demonstrated actions.

    Its deviation is sac.actor_init_std everywhere: the error says nothing of it, and an actor may begin with it.
    `progress(update, updates, loss)` is called after every update.
    """
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    specs, bc = demos.specs, config.bc
    policy = Policy.build(specs, shape_of(config, 'bc'), 'bc')
    network = policy.network.requires_grad_(True).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), bc.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, bc.learning_rate, total_steps=bc.updates)
    for update in range(bc.updates):
        rows = demos.sample_rows(bc.batch, rng)
        state = torch.from_numpy(normalised_states(demos.states(rows), specs)).to(device)
        action = torch.from_numpy(normalised_actions(demos.actions(rows), specs)).to(device)
        images = {
            camera: torch.from_numpy(random_shift(frames, config.encoder.random_shift_px, rng)).to(device)
            for camera, frames in demos.frames(rows).items()
        }
        loss = (network.actor.mode(network.inputs(state, images)) - action).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(update + 1, bc.updates, float(loss.detach()))
    network.actor.set_deviation(config.sac.actor_init_std)
    return Policy(network.to('cpu'), specs, policy._head, version=1)
