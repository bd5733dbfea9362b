"""The agent's inputs for every row of a store, worked out once: states, and what frozen trunks make of its frames."""

from __future__ import annotations

import numpy as np
import torch

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.policy import normalised_states


class FeatureCache:
    """`states(rows)` (B, S) are normalised; `views(rows)` {camera: (B, ...)} come from the trunks of `encoders`."""

    def __init__(self, store: ReplayStore, encoders: Encoders | None) -> None:
        self._store = store
        self._encoders = encoders
        # Zeroed memory is only taken from the machine when it is first written.
        self._states = np.zeros((store.capacity, len(store.specs.observation.state)), np.float32)
        self._views: dict[str, np.ndarray] = {}
        self._encoded = 0

    def catch_up(self, before_sequence: int) -> None:
        """Encode the steps that came since the last call, up to but without `before_sequence`."""
        # One at a time: a convolution's last bits depend on the size of its batch, and a resumed run must not.
        for sequence in range(max(self._encoded, before_sequence - self._store.capacity), before_sequence):
            rows = np.array([sequence % self._store.capacity])
            self._states[rows] = normalised_states(self._store.states(rows), self._store.specs)
            if self._encoders is not None:
                self._encode(self._encoders, rows)
        self._encoded = max(self._encoded, before_sequence)

    def states(self, rows: np.ndarray) -> np.ndarray:
        return self._states[rows]

    def views(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {camera: values[rows] for camera, values in self._views.items()}

    @torch.no_grad()
    def _encode(self, encoders: Encoders, rows: np.ndarray) -> None:
        frames = self._store.frames(rows)
        images = {camera: torch.from_numpy(frame).to(encoders.device) for camera, frame in frames.items()}
        for camera, value in encoders.trunks(images).items():
            if camera not in self._views:
                self._views[camera] = np.zeros((self._store.capacity, *value.shape[1:]), np.float32)
            self._views[camera][rows] = value.cpu().numpy()
