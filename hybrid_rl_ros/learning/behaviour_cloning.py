"""Behaviour cloning: the agent `bc`, and what pretrains the encoders that `sac` then freezes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hybrid_rl_ros.config import BcConfig, EncoderConfig
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.policies.policy import Policy, normalised_actions, normalised_states

Progress = Callable[[int, int, float], None]


def clone_behaviour(
    demos: ReplayStore, config: BcConfig, encoder: EncoderConfig, seed: int, device: str, progress: Progress
) -> Policy:
    """A policy whose mode has the least mean squared error to the demonstrated actions.

    `progress(update, updates, loss)` is called after every update.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    specs = demos.specs
    policy = Policy.build(specs, encoder.features, config.hidden, 'bc')
    network = policy.network.requires_grad_(True).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=config.updates)
    for update in range(config.updates):
        rows = demos.sample_rows(config.batch, rng)
        state = torch.from_numpy(normalised_states(demos.states(rows), specs)).to(device)
        action = torch.from_numpy(normalised_actions(demos.actions(rows), specs)).to(device)
        images = {
            camera: torch.from_numpy(random_shift(frames, encoder.random_shift_px, rng)).to(device)
            for camera, frames in demos.frames(rows).items()
        }
        loss = (network.actor.mode(network.inputs(state, images)) - action).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(update + 1, config.updates, float(loss.detach()))
    return Policy(network.to('cpu'), specs, policy._head, version=1)
