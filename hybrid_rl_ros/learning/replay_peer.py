"""Stable-Baselines3's replay buffer of dictionaries, filled and read as its off-policy algorithms do."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples

from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.data.step import Step

PEER = 'sb3 DictReplayBuffer'


class ReplayPeer:
    """Its defaults, on the CPU."""

    def __init__(self, specs: Specs, capacity: int) -> None:
        state = specs.observation.state
        seen: dict[str, spaces.Space] = {'state': spaces.Box(state.low, state.high)}
        for image in specs.observation.images:
            seen[image.camera] = spaces.Box(0, 255, image.shape, np.uint8)
        action = spaces.Box(specs.action.low, specs.action.high)
        self._buffer = DictReplayBuffer(capacity, spaces.Dict(seen), action, device='cpu')

    @property
    def nbytes(self) -> int:
        """What its arrays take for the transitions they hold; memory that was never written is not counted."""
        buffer = self._buffer
        arrays = [*buffer.observations.values(), *buffer.next_observations.values()]
        arrays += [buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts]
        return sum(array[: buffer.size()].nbytes for array in arrays)

    def add(self, step: Step, following: Step) -> None:
        """The transition between two steps of one episode."""
        self._buffer.add(
            _as_dict(step.observation),
            _as_dict(following.observation),
            step.action[None],
            np.array([following.reward]),
            np.array([following.ends_episode]),
            [{'TimeLimit.truncated': following.truncated}],
        )

    def sample(self, batch: int) -> DictReplayBufferSamples:
        return self._buffer.sample(batch)

    def at(self, indices: np.ndarray) -> DictReplayBufferSamples:
        """The transitions that were added at `indices` (B,), counted from 0."""
        return self._buffer._get_samples(indices)


def _as_dict(observation: Observation) -> dict[str, np.ndarray]:
    return {'state': observation.state[None]} | {camera: frame[None] for camera, frame in observation.images.items()}
