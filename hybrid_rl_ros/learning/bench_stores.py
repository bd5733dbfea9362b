"""Replay stores that figures are taken on: filled with noise, or with holes where the frames would be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.store_files import ROW, StoreFiles

EPISODE = 200


def noise_specs(states: int, actions: int, cameras: Sequence[str], size: int) -> Specs:
    """Everything in -1 to 1; images are `size` by `size`."""

    def dimensions(prefix: str, count: int) -> tuple[Dimension, ...]:
        return tuple(Dimension(name=f'{prefix}{i}', unit='1', low=-1, high=1) for i in range(count))

    images = tuple(ImageSpec(camera=camera, height=size, width=size) for camera in cameras)
    observation = ObservationSpec(state=VectorSpec(dimensions=dimensions('s', states)), images=images)
    return Specs(observation=observation, action=ActionSpec(dimensions=dimensions('a', actions)))


def noise_step(specs: Specs, number: int) -> Step:
    """Noise, in episodes of which every other one ends in success."""
    rng = np.random.default_rng(number)
    images = {spec.camera: rng.integers(0, 256, spec.shape, np.uint8) for spec in specs.observation.images}
    observation = Observation(rng.random(len(specs.observation.state), np.float32), images)
    ends = number % EPISODE == EPISODE - 1
    success = number // EPISODE % 2 == 0
    return Step(
        stamp_ns=number + 1,
        episode=number // EPISODE,
        observation=observation,
        action=rng.random(len(specs.action), np.float32),
        reward=float(rng.random(dtype=np.float32)),
        terminal=ends and success,
        truncated=ends and not success,
    )


def noise_store(folder: Path, specs: Specs, steps: int) -> ReplayStore:
    store = ReplayStore.create(folder, specs, steps)
    for number in range(steps):
        store.append(noise_step(specs, number))
    return store


def write_sparse_store(folder: Path, specs: Specs, steps: int) -> None:
    """A whole store whose frames are holes: they take no disk, and memory only as any file's that is read."""
    rng = np.random.default_rng(0)
    files = StoreFiles.create(folder, specs, steps)
    for number in range(steps):
        record = np.zeros(1, ROW)
        record['sequence'], record['episode'], record['stamp_ns'] = number + 1, number // EPISODE, number + 1
        state = rng.random(len(specs.observation.state), np.float32)
        files.write(number, record, {'state': state, 'action': rng.random(len(specs.action), np.float32)})
    files.close()
