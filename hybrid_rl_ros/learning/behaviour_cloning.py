"""Behaviour cloning: the agent `bc`, and what pretrains the encoders that `sac` then freezes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.feature_cache import FeatureCache
from hybrid_rl_ros.learning.mirror import Mirror
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.resnet_weights import load_weights
from hybrid_rl_ros.learning.policies.gaussian import gaussian
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import shape_of

Progress = Callable[[int, int, float], None]


def clone_behaviour(
    demos: ReplayStore, config: Config, device: str, progress: Progress, learned: Encoders | None = None
) -> Policy:
    """A policy whose mode has the least mean squared error to the demonstrated actions.

    `learned` encoders, and weights from a file with encoder.mode: frozen, keep their trunks as they are.
    Its deviation is sac.actor_init_std everywhere: the error says nothing of it, and an actor may begin with it.
    `progress(update, updates, loss)` is called after every update.
    """
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    specs, bc = demos.specs.without_state(config.observation.critic_only), config.bc
    shared = len(specs.observation.state)
    policy = Policy.build(specs, shape_of(config, 'bc'), 'bc')
    network = gaussian(policy.network).requires_grad_(True)
    if learned is not None:
        network.encoders.load_state_dict(learned.state_dict())
    elif config.encoder.weights is not None and specs.observation.images:
        load_weights(network.encoders, Path(config.encoder.weights))
    network.to(device)
    frozen = learned is not None or (config.encoder.weights is not None and config.encoder.mode == 'frozen')
    if frozen:
        network.encoders.freeze_trunks()
    cache = FeatureCache(demos, network.encoders if frozen else None, config)
    cache.catch_up(demos.sequence)
    mirror = Mirror(cache.specs, config)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, bc.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, bc.learning_rate, total_steps=bc.updates)
    for update in range(bc.updates):
        rows = demos.sample_rows(bc.batch, rng)
        mirrored = mirror.draw(bc.batch, rng)
        if frozen:
            seen = cache.views(rows, rng, mirrored)
        else:
            seen = _shifted_frames(demos, rows, config.encoder.random_shift_px, rng)
        views = {f'views/{camera}': view for camera, view in seen.items()}
        parts = mirror.parts({'state': cache.states(rows), 'action': cache.actions(rows), **views}, mirrored)
        state = torch.from_numpy(parts['state'][:, :shared]).to(device)
        action = torch.from_numpy(parts['action']).to(device)
        images = {camera: torch.from_numpy(parts[f'views/{camera}']).to(device) for camera in seen}
        loss = (network.actor.mode(network.inputs(state, images)) - action).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(update + 1, bc.updates, float(loss.detach()))
    network.actor.set_deviation(config.sac.actor_init_std)
    return Policy(network.to('cpu'), specs, policy.head, version=1)


def _shifted_frames(
    demos: ReplayStore, rows: np.ndarray, pixels: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    return {camera: random_shift(frames, pixels, rng) for camera, frames in demos.frames(rows).items()}
