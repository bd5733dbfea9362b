"""Batches from demonstrations and experience, interleaved so that every slice has the same share of each."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.batch_reader import BatchReader
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.samples import action_chunks, histories, n_step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.base import Sampling
from hybrid_rl_ros.learning.batch import Batch, NoiseBatch
from hybrid_rl_ros.learning.feature_cache import FeatureCache
from hybrid_rl_ros.learning.mirror import Mirror
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.staging import Staging

# A steered chunk begins at one step of some, far fewer than this.
MOST_DRAWS = 200
FOR_A_MEAN = 1024

Parts = dict[str, np.ndarray]
AnyBatch = TypeVar('AnyBatch', bound=Batch)


class Source:
    """One store with its cached inputs, and its frames where the encoders' trunks are trained."""

    def __init__(self, store: ReplayStore, encoders: Encoders, config: Config, sampling: Sampling) -> None:
        self.store = store
        frozen = config.encoder.mode == 'frozen'
        self.cache = FeatureCache(store, encoders if frozen else None, config)
        self._reader = None if frozen else BatchReader(store)
        self._mirror = Mirror(self.cache.specs, config)
        self._shift_px = config.encoder.random_shift_px
        self._sampling = sampling

    def draw(self, count: int, rng: np.random.Generator, before_sequence: int | None = None) -> np.ndarray:
        """(count,) rows drawn uniformly from those that can be learned from."""
        if not self._sampling.by_noise:
            return self.store.sample_rows(count, rng, before_sequence)
        drawn, missing = [], count
        for _ in range(MOST_DRAWS):
            rows = self.store.sample_rows(missing, rng, before_sequence)
            drawn.append(rows[~np.isnan(self.store.noises(rows)[:, 0, 0])])
            missing -= len(drawn[-1])
            if not missing:
                return np.concatenate(drawn)
        raise UserError(f'{self.store.folder}: almost no step was made from a noise, which dsrl.variant: sac needs')

    def parts(self, rows: np.ndarray, rng: np.random.Generator, before_sequence: int | None = None) -> Parts:
        """What a batch is made of, for `rows` (B,), by the names of Batch's fields; views/<camera>."""
        sampling = self._sampling
        mirrored = self._mirror.draw(len(rows), rng)
        ahead = n_step(self.store, rows, sampling.n_step, sampling.discount, before_sequence, drawn=True)
        parts = {
            'state': self._states(rows),
            'action': self._actions(rows, before_sequence),
            'reward': ahead.reward,
            'discount': ahead.discount,
            'mask': ahead.mask,
            'next_state': self._states(ahead.next_rows),
        }
        if sampling.by_noise:
            parts['noise'] = self.store.noises(rows).reshape(len(rows), -1)
        for name, views in zip(('views', 'next_views'), self._views(rows, ahead.next_rows, rng, mirrored)):
            parts |= {f'{name}/{camera}': view for camera, view in views.items()}
        return self._mirror.parts(parts, mirrored)

    def _states(self, rows: np.ndarray) -> np.ndarray:
        """(B, To * S), the newest last."""
        if self._sampling.observations == 1:
            return self.cache.states(rows)
        past = histories(self.store, rows, self._sampling.observations).rows
        return self.cache.states(past).reshape(len(rows), -1)

    def _actions(self, rows: np.ndarray, before_sequence: int | None) -> np.ndarray:
        """(B, h * A)."""
        if self._sampling.chunk == 1:
            return self.cache.actions(rows)
        ahead = action_chunks(self.store, rows, self._sampling.chunk, before_sequence, drawn=True).rows
        return self.cache.actions(ahead).reshape(len(rows), -1)

    def _views(
        self, rows: np.ndarray, after: np.ndarray, rng: np.random.Generator, mirrored: np.ndarray | None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        if self._reader is None:
            return self.cache.views(rows, rng, mirrored), self.cache.views(after, rng, mirrored)
        images, next_images = self._reader.frame_pairs(rows, after)
        # Drawn independently for an observation and its successor.
        return (
            {camera: _shifted(frames, self._shift_px, rng) for camera, frames in images.items()},
            {camera: _shifted(frames, self._shift_px, rng) for camera, frames in next_images.items()},
        )


class SymmetricSampler:
    """Draws `updates` batches of `batch` transitions, `demo_ratio` of each from demonstrations.

    What a person did while the robot trained is in both halves (HIL-SERL): it stays in the experience, and counts as a
    demonstration from its first transition on, drawn as often as any other.
    """

    def __init__(self, online: Source, demos: Source | None, batch: int, demo_ratio: float | str) -> None:
        """`demo_ratio` uniform: every transition of either counts the same, and slices are no longer all alike."""
        self._online, self._demos = online, demos
        self._batch = batch
        self._from_demos = None if isinstance(demo_ratio, str) else round(batch * demo_ratio)
        self._staging = Staging('cpu')
        self.demo_ratio = 0.0
        """The share of the last batches that were demonstrations or a person's doing."""

    def sample(self, updates: int, before_sequence: int, rng: np.random.Generator, device: str) -> Batch:
        """The batches laid end to end; experience only from steps before `before_sequence`."""
        self._online.cache.catch_up(before_sequence)
        if self._from_demos is None:
            return self._sample_uniformly(updates, before_sequence, rng, device)
        interventions = self._online.store.intervention_transitions(before_sequence)
        from_demos = self._from_demos if self._demos or interventions else 0
        rows = self._online.draw(updates * (self._batch - from_demos), rng, before_sequence)
        halves = [self._online.parts(rows, rng, before_sequence)]
        if from_demos:
            halves.append(self._demonstrated(updates * from_demos, interventions, before_sequence, rng))
        self.demo_ratio = from_demos / self._batch
        return self._laid_out(halves, updates, device)

    def _sample_uniformly(self, updates: int, before_sequence: int, rng: np.random.Generator, device: str) -> Batch:
        demonstrated = self._demos.store.transitions if self._demos else 0
        count, online = updates * self._batch, self._online
        earned = online.store.transitions_before(before_sequence)
        from_demos = rng.binomial(count, demonstrated / (demonstrated + earned)) if demonstrated else 0
        drawn = [online.parts(online.draw(count - from_demos, rng, before_sequence), rng, before_sequence)]
        if from_demos and self._demos is not None:
            self._demos.cache.catch_up(self._demos.store.sequence)
            drawn.append(self._demos.parts(self._demos.draw(from_demos, rng), rng))
        order = rng.permutation(count)
        self.demo_ratio = from_demos / count
        return self._laid_out(
            [{n: np.concatenate([part[n] for part in drawn])[order] for n in drawn[0]}], updates, device
        )

    def _laid_out(self, halves: list[Parts], updates: int, device: str) -> Batch:
        """Every update's share of each of `halves` side by side, on the device."""
        if self._staging.device != device:
            self._staging = Staging(device)
        for name in halves[0]:
            sliced = [half[name].reshape(updates, -1, *half[name].shape[1:]) for half in halves]
            inner = sliced[0].shape[2:]
            array = self._staging.array(name, (updates * self._batch, *inner), sliced[0].dtype)
            np.concatenate(sliced, axis=1, out=array.reshape(updates, self._batch, *inner))
        return to_batch(self._staging.send(), NoiseBatch if 'noise' in halves[0] else Batch)

    def _demonstrated(self, count: int, interventions: int, before_sequence: int, rng: np.random.Generator) -> Parts:
        """`count` transitions drawn uniformly from the demonstrations and the person's own, together."""
        demonstrations = self._demos.store.transitions if self._demos else 0
        from_person = rng.binomial(count, interventions / (demonstrations + interventions)) if interventions else 0
        drawn = []
        if self._demos and count > from_person:
            self._demos.cache.catch_up(self._demos.store.sequence)
            rows = self._demos.store.sample_rows(count - from_person, rng)
            drawn.append(self._demos.parts(rows, rng))
        if from_person:
            rows = self._online.store.sample_rows(from_person, rng, before_sequence, only_interventions=True)
            drawn.append(self._online.parts(rows, rng, before_sequence))
        if len(drawn) == 1:
            return drawn[0]
        # One after the other they would fill the first updates with the ones and the last with the others.
        order = rng.permutation(count)
        return {name: np.concatenate([parts[name] for parts in drawn])[order] for name in drawn[0]}


def drawn_from(source: Source, seed: int, device: str) -> Batch:
    """So many of one store's transitions that a mean and a deviation are known."""
    rng = np.random.default_rng(seed)
    source.cache.catch_up(source.store.sequence)
    parts = source.parts(source.draw(FOR_A_MEAN, rng), rng)
    return to_batch({name: torch.from_numpy(part).to(device) for name, part in parts.items()})


def _shifted(frames: np.ndarray, shift_px: int, rng: np.random.Generator) -> np.ndarray:
    """In memory of their own: the reader uses that of `frames` again, for the other half of the batch."""
    return random_shift(frames, shift_px, rng) if shift_px else frames.copy()


def to_batch(parts: dict[str, Tensor], kind: type[AnyBatch] = Batch) -> AnyBatch:  # type: ignore[assignment]
    """`kind` from its fields by name, a dictionary's entries as <field>/<camera>."""
    made: dict[str, Any] = {'views': {}, 'next_views': {}}
    for name, value in parts.items():
        field, separator, camera = name.partition('/')
        if separator:
            made[field][camera] = value
        else:
            made[field] = value
    return kind(**made)
