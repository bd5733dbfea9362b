"""The agent's inputs for every row of a store, worked out once: states, and what frozen trunks make of its frames."""

from __future__ import annotations

import numpy as np
import torch

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.mirror import mirrored_images
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.policy import normalised_actions, normalised_states
from hybrid_rl_ros.learning.relative_frame import make_frame


class FeatureCache:
    """`states(rows)` (B, S) and `actions(rows)` (B, A) are normalised, and as seen in the frame of the configuration.

    `views(rows, rng, mirrored)` {camera: (B, ...)} come from the trunks of `encoders`. With encoder.cached_shifts each
    frame has so many shifted copies, and every view is of one of them or of the frame. With symmetry: left_right there
    are mirror images of them all, for the rows that are `mirrored` (B,).
    """

    def __init__(self, store: ReplayStore, encoders: Encoders | None, config: Config) -> None:
        self._store = store
        self._encoders = encoders
        self._frame = make_frame(store.specs, config.sac.relative_frame)
        self._start = np.zeros(4, np.float32)
        self._starts = np.zeros((store.capacity, 4), np.float32)
        self._shifts, self._shift_px = config.encoder.cached_shifts, config.encoder.random_shift_px
        self._symmetric = config.symmetry == 'left_right'
        self._seed = config.seed
        # Zeroed memory is only taken from the machine when it is first written.
        self._states = np.zeros((store.capacity, len(store.specs.observation.state)), np.float32)
        self._views: dict[str, np.ndarray] = {}
        self._encoded = 0

    @property
    def specs(self) -> Specs:
        """Of what it gives, in the frame of the configuration."""
        return self._frame.specs

    def catch_up(self, before_sequence: int) -> None:
        """Encode the steps that came since the last call, up to but without `before_sequence`."""
        # One at a time: a convolution's last bits depend on the size of its batch, and a resumed run must not.
        for sequence in range(max(self._encoded, before_sequence - self._store.capacity), before_sequence):
            rows = np.array([sequence % self._store.capacity])
            self._states[rows] = self._seen(rows, sequence)
            if self._encoders is not None:
                self._encode(self._encoders, rows, sequence)
        self._encoded = max(self._encoded, before_sequence)

    def states(self, rows: np.ndarray) -> np.ndarray:
        return self._states[rows]

    def actions(self, rows: np.ndarray) -> np.ndarray:
        actions = self._frame.actions(self._store.actions(rows), self._starts[rows])
        return normalised_actions(actions, self._frame.specs)

    def views(
        self, rows: np.ndarray, rng: np.random.Generator, mirrored: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """`rng` chooses among a frame's copies, for each row and camera by itself; without copies it is not asked."""
        first = 0 if mirrored is None else mirrored * (self._shifts + 1)
        if not self._shifts:
            return {camera: values[rows, first] for camera, values in self._views.items()}
        return {
            camera: values[rows, first + rng.integers(self._shifts + 1, size=len(rows))]
            for camera, values in self._views.items()
        }

    def _seen(self, rows: np.ndarray, sequence: int) -> np.ndarray:
        """(1, S) of the row (1,) of step number `sequence`, which follows the last one."""
        states = self._store.states(rows)
        if not self._store.completes_transition(sequence):
            self._start = self._frame.start(states[0])
        self._starts[rows] = self._start
        return normalised_states(self._frame.states(states, self._start), self._frame.specs)

    @torch.no_grad()
    def _encode(self, encoders: Encoders, rows: np.ndarray, sequence: int) -> None:
        frames = self._store.frames(rows)
        if self._shifts:
            # Of the step's number alone, so that a resumed run shifts as the first one did.
            rng = np.random.default_rng([self._seed, sequence])
            frames = {camera: self._with_shifts(frame, rng) for camera, frame in frames.items()}
        if self._symmetric:
            frames = {camera: np.concatenate([frame, mirrored_images(frame)]) for camera, frame in frames.items()}
        images = {camera: torch.from_numpy(frame).to(encoders.device) for camera, frame in frames.items()}
        for camera, value in encoders.trunks(images).items():
            if camera not in self._views:
                self._views[camera] = self._room(value)
            self._views[camera][rows] = value.cpu().numpy()

    def _with_shifts(self, frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(1, H, W, 3) to (1 + shifts, H, W, 3), the frame itself first."""
        return np.concatenate([frame, random_shift(np.repeat(frame, self._shifts, axis=0), self._shift_px, rng)])

    def _room(self, value: torch.Tensor) -> np.ndarray:
        """Zeros for every row's copies; `value` are those of one."""
        # A map is large, and 16 bits hold it as well as anyone can tell.
        kind = np.float16 if value.dim() > 2 else np.float32
        shape = (self._store.capacity, *value.shape)
        try:
            return np.zeros(shape, kind)
        except MemoryError:
            size_gb = np.prod(shape, dtype=np.int64) * np.dtype(kind).itemsize / 1e9
            raise UserError(
                f'{self._store.folder}: {size_gb:.0f} GB of features for {self._store.capacity} steps cannot be had; '
                'lower train.replay_capacity or encoder.cached_shifts'
            ) from None
