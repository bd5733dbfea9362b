"""Batches from demonstrations and experience, interleaved so that every slice has the same share of each."""

from __future__ import annotations

import numpy as np
import torch

from hybrid_rl_ros.data.batch_reader import BatchReader
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.feature_cache import FeatureCache
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.policy import normalised_actions


class Source:
    """One store with its cached inputs; `with_images` for encoders that are trained."""

    def __init__(self, store: ReplayStore, encoders: Encoders, with_images: bool) -> None:
        self.store = store
        self.cache = FeatureCache(store, None if with_images else encoders)
        self._reader = BatchReader(store) if with_images else None

    def parts(self, rows: np.ndarray, shift_px: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """What a batch is made of, for `rows` (B,); images without a shift hold until the next call."""
        after = self.store.next_rows(rows)
        parts = {
            'inputs': self.cache.inputs(rows),
            'action': normalised_actions(self.store.actions(rows), self.store.specs),
            'reward': self.store.rewards(rows),
            'mask': self.store.masks(rows),
            'next_inputs': self.cache.inputs(after),
        }
        if self._reader:
            images, next_images = self._reader.frame_pairs(rows)
            # Drawn independently for an observation and its successor.
            for camera, frames in images.items():
                parts[f'images/{camera}'] = random_shift(frames, shift_px, rng)
            for camera, frames in next_images.items():
                parts[f'next_images/{camera}'] = random_shift(frames, shift_px, rng)
        return parts


class SymmetricSampler:
    """Draws `updates` batches of `batch` transitions, `demo_ratio` of each from the demonstrations."""

    def __init__(self, online: Source, demos: Source | None, batch: int, demo_ratio: float, shift_px: int) -> None:
        self._online, self._demos = online, demos
        self._batch = batch
        self._from_demos = round(batch * demo_ratio) if demos else 0
        self._shift_px = shift_px

    def sample(self, updates: int, before_sequence: int, rng: np.random.Generator, device: str) -> Batch:
        """The batches laid end to end; experience only from steps before `before_sequence`."""
        self._online.cache.catch_up(before_sequence)
        online: tuple[Source, int, int | None] = (self._online, self._batch - self._from_demos, before_sequence)
        sources = [online]
        if self._demos is not None and self._from_demos:
            self._demos.cache.catch_up(self._demos.store.sequence)
            sources.append((self._demos, self._from_demos, None))
        drawn = []
        for source, count, bound in sources:
            rows = source.store.sample_rows(updates * count, rng, bound)
            parts = source.parts(rows, self._shift_px, rng)
            drawn.append({name: part.reshape(updates, count, *part.shape[1:]) for name, part in parts.items()})
        joined = {}
        for name in drawn[0]:
            value = np.concatenate([parts[name] for parts in drawn], axis=1)
            joined[name] = torch.from_numpy(value.reshape(-1, *value.shape[2:])).to(device)
        return _to_batch(joined)


def _to_batch(parts: dict[str, torch.Tensor]) -> Batch:
    def images(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): value for name, value in parts.items() if name.startswith(prefix)}

    return Batch(
        inputs=parts['inputs'],
        action=parts['action'],
        reward=parts['reward'],
        mask=parts['mask'],
        next_inputs=parts['next_inputs'],
        images=images('images/'),
        next_images=images('next_images/'),
    )
