"""Encoders from the dynamics of demonstrations, without their actions (DynaMo, Cui et al. 2024).

What an encoder sees of a step must let the next step's features be foretold, given a small code of what changed:

    s_t = expander(encoders(frames_t))      z_t = inverse(s_t, s_t+1)      p_t+1 = forward(s_0..t, z_0..t)
    loss = 1 - cos(p_t+1, s'_t+1) + the spread and covariance terms of VICReg over s

with s' from a slow copy of encoders and expander, which no gradient reaches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.mirror import Mirror
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.resnet_weights import load_weights
from hybrid_rl_ros.learning.policies.shape import shape_of

# Small against the features: what changed fits in, and the next step as a whole does not.
CODE = 8
HIDDEN = 128
EXPANDED = 128
TAU = 0.02
LEAST_SPREAD = 0.5
SPREAD_WEIGHT = 1.0
COVARIANCE_WEIGHT = 0.04


class Expanded(nn.Module):
    """Encoders, and behind them what only the loss looks at: (B, EXPANDED) of views.

    Features need not be as spread and as independent as the loss wants its numbers: the places that keypoints are
    would have to leap across the image for it, and would tell less of it than untrained ones.
    """

    def __init__(self, encoders: Encoders) -> None:
        super().__init__()
        self.encoders = encoders
        self.expander = nn.Sequential(
            nn.Linear(encoders.width, 2 * EXPANDED),
            nn.LayerNorm(2 * EXPANDED),
            nn.ReLU(),
            nn.Linear(2 * EXPANDED, EXPANDED),
        )

    def forward(self, views: dict[str, Tensor], batch: int) -> Tensor:
        return self.expander(self.encoders(views, batch))


class Dynamics(nn.Module):
    """(B, T, D) of windows to what is foretold of their steps 1 to T - 1: (B, T - 1, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inverse = nn.Sequential(
            nn.Linear(2 * width, HIDDEN), nn.LayerNorm(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CODE), nn.Tanh()
        )
        self.memory = nn.GRU(width + CODE, HIDDEN, batch_first=True)
        self.forward_head = nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, width))

    def forward(self, features: Tensor) -> Tensor:
        before, after = features[:, :-1], features[:, 1:]
        code = self.inverse(torch.cat([before, after], dim=-1))
        memory, _ = self.memory(torch.cat([before, code], dim=-1))
        return self.forward_head(memory)


def learn_encoders(
    demos: ReplayStore, config: Config, device: str, progress: Callable[[int, int, float], None]
) -> Encoders:
    """Encoders of the configured kind, all of them trained. Raises UserError where no episode fills a window.

    `progress(update, updates, loss)` is called after every update.
    """
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    settings = config.dynamo
    encoders = Encoders(demos.specs.observation.images, shape_of(config, 'bc'))
    if config.encoder.weights is not None:
        load_weights(encoders, Path(config.encoder.weights))
    expanded = Expanded(encoders).to(device)
    slow = copy.deepcopy(expanded).requires_grad_(False)
    dynamics = Dynamics(EXPANDED).to(device)
    mirror = Mirror(demos.specs, config)
    windows = whole_windows(demos, settings.window)
    optimiser = torch.optim.AdamW([*expanded.parameters(), *dynamics.parameters()], settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.updates)
    for update in range(settings.updates):
        rows = windows[rng.integers(len(windows), size=settings.batch)]
        frames = mirror.images(demos.frames(rows), mirror.draw(settings.batch, rng))
        # Shifted apart: features of the shift itself, which a window keeps, would be foretold for nothing.
        seen, later = (_shifted_windows(frames, config.encoder.random_shift_px, rng, device) for _ in range(2))
        features = expanded(seen, rows.size).unflatten(0, rows.shape)
        with torch.no_grad():
            targets = slow(later, rows.size).unflatten(0, rows.shape)
        loss = dynamics_loss(dynamics, features, targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            for follower, parameter in zip(slow.parameters(), expanded.parameters()):
                follower.lerp_(parameter, TAU)
        progress(update + 1, settings.updates, float(loss.detach()))
    return encoders.to('cpu')


def dynamics_loss(dynamics: nn.Module, features: Tensor, targets: Tensor) -> Tensor:
    """`features` and `targets` (B, T, D) of the same steps, from the encoders and from their slow copy."""
    # A direction that all steps share would be foretold for nothing.
    centred = (targets - targets.mean((0, 1)))[:, 1:].detach()
    missed = 1.0 - F.cosine_similarity(dynamics(features), centred, dim=-1).mean()
    return missed + collapse_penalty(features.flatten(0, 1))


def collapse_penalty(features: Tensor) -> Tensor:
    """Of (N, D): numbers that stay the same, and numbers that say what others say (Bardes et al. 2022, VICReg)."""
    centred = features - features.mean(0)
    covariance = centred.T @ centred / (len(features) - 1)
    spread = (covariance.diagonal() + 1e-6).sqrt()
    off_diagonal = covariance.square().sum() - covariance.diagonal().square().sum()
    return SPREAD_WEIGHT * F.relu(LEAST_SPREAD - spread).mean() + COVARIANCE_WEIGHT * off_diagonal / len(covariance)


def whole_windows(demos: ReplayStore, steps: int) -> np.ndarray:
    """(N, steps) rows of every run of `steps` steps within an episode. Raises UserError if there is none."""
    windows = (demos.rows()[:, None] + np.arange(steps)) % demos.capacity
    whole = windows[demos.begins_transition(windows[:, :-1]).all(axis=1)]
    if not len(whole):
        raise UserError(f'{demos.folder}: no episode has dynamo.window={steps} steps; lower it, or record longer ones')
    return whole


def _shifted_windows(
    frames: dict[str, np.ndarray], pixels: int, rng: np.random.Generator, device: str
) -> dict[str, Tensor]:
    """Per camera (B, T, H, W, 3) to (B * T, H, W, 3), every window shifted as a whole: a shift is no motion."""
    shifted = {}
    for camera, windows in frames.items():
        batch, steps, height, width, channels = windows.shape
        stacked = np.moveaxis(windows, 1, 3).reshape(batch, height, width, steps * channels)
        moved = random_shift(stacked, pixels, rng).reshape(batch, height, width, steps, channels)
        by_frame = np.moveaxis(moved, 3, 1).reshape(-1, height, width, channels)
        shifted[camera] = torch.from_numpy(by_frame).to(device)
    return shifted
