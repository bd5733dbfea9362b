"""What base policies are cloned from: states with their history, pictures, and the chunk of actions that followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.samples import action_chunks, histories
from hybrid_rl_ros.learning.feature_cache import FeatureCache
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.networks.encoder import Encoders


@dataclass
class ChunkBatch:
    """state (B, To * S), views {camera: (B, ...)}, action (B, h * A); normalised as the specs have it."""

    state: Tensor
    views: dict[str, Tensor]
    action: Tensor


class ChunkData:
    """The transitions of a store, those of some whole episodes held out.

    A chunk begins with the action of its row; behind the episode's last action it repeats that one. A history ends
    with the row's own state; before the episode's first it repeats that one.
    """

    def __init__(self, demos: ReplayStore, frozen: Encoders | None, config: Config, device: str) -> None:
        """`frozen`: encoders that do not learn and whose trunks' output is kept."""
        self._demos, self._frozen, self._device, self._base = demos, frozen, device, config.base
        self._shift_px = config.encoder.random_shift_px
        self._cache = FeatureCache(demos, frozen, config)
        self._cache.catch_up(demos.sequence)
        self._seen = len(demos.specs.observation.state) - len(config.observation.critic_only)
        rows, held_out = demos.valid_rows(), self._held_out_episodes(config.seed)
        apart = np.isin(demos.records(rows)['episode'], held_out)
        self.training, self.validation = rows[~apart], rows[apart]

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> ChunkBatch:
        """Of `rows` (B,); `rng` shifts the pictures, None leaves them as they are."""
        arrays = self._views(rows, rng)
        views = {camera: torch.from_numpy(view).to(self._device) for camera, view in arrays.items()}
        state, action = (torch.from_numpy(array).to(self._device) for array in (self.states(rows), self.actions(rows)))
        return ChunkBatch(state, views, action)

    def states(self, rows: np.ndarray) -> np.ndarray:
        """(B, To * S)."""
        past = histories(self._demos, rows, self._base.observations).rows
        return self._cache.states(past)[..., : self._seen].reshape(len(rows), -1)

    def actions(self, rows: np.ndarray) -> np.ndarray:
        """(B, h * A)."""
        ahead = action_chunks(self._demos, rows, self._base.chunk).rows
        return self._cache.actions(ahead).reshape(len(rows), -1)

    def _views(self, rows: np.ndarray, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        if self._frozen is not None:
            return self._cache.views(rows, rng or np.random.default_rng(0))
        frames = self._demos.frames(rows)
        if rng is None:
            return frames
        return {camera: random_shift(images, self._shift_px, rng) for camera, images in frames.items()}

    def _held_out_episodes(self, seed: int) -> np.ndarray:
        episodes = np.array([summary.episode for summary in self._demos.episodes() if summary.transitions])
        count = int(self._base.validation_share * len(episodes))
        return np.random.default_rng(seed).permutation(episodes)[:count]
