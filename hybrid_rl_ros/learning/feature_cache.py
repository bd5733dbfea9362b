"""The agent's inputs for every row of a store, encoded once per frame by frozen encoders."""

from __future__ import annotations

import numpy as np
import torch

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.policy import normalised_states


class FeatureCache:
    """`inputs(rows)` is the normalised state, beside the cameras' features when `encoders` are given."""

    def __init__(self, store: ReplayStore, encoders: Encoders | None) -> None:
        self._store = store
        self._encoders = encoders
        width = len(store.specs.observation.state) + (encoders.width if encoders else 0)
        # Zeroed memory is only taken from the machine when it is first written.
        self._inputs = np.zeros((store.capacity, width), np.float32)
        self._encoded = 0

    def catch_up(self, before_sequence: int) -> None:
        """Encode the steps that came since the last call, up to but without `before_sequence`."""
        # One at a time: a convolution's last bits depend on the size of its batch, and a resumed run must not.
        for sequence in range(max(self._encoded, before_sequence - self._store.capacity), before_sequence):
            rows = np.array([sequence % self._store.capacity])
            self._inputs[rows] = self._encode(rows)
        self._encoded = max(self._encoded, before_sequence)

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        return self._inputs[rows]

    @torch.no_grad()
    def _encode(self, rows: np.ndarray) -> np.ndarray:
        states = normalised_states(self._store.states(rows), self._store.specs)
        if self._encoders is None or not self._encoders.cameras:
            return states
        device = self._encoders.device
        images = {camera: torch.from_numpy(frames).to(device) for camera, frames in self._store.frames(rows).items()}
        return np.concatenate([states, self._encoders(images, len(rows)).cpu().numpy()], axis=-1)
