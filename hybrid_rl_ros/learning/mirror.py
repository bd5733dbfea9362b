"""Transitions with left and right exchanged: what a rig that is its own mirror image has seen, it has seen twice.

The mirror is the x-z plane of the base's frame, and that of every camera's image its middle column.
"""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.data.specs import Specs, VectorSpec
from hybrid_rl_ros.errors import UserError

# What points along y, and what turns about x or z, changes its sign.
EXCHANGED = ('y', 'yaw', 'vy', 'dy', 'drx', 'drz')
KEPT = ('x', 'z', 'vx', 'vz', 'dx', 'dz', 'dry', 'gripper', 'opening', 'distance')


class Mirror:
    """Normalised states and actions and (B, H, W, 3) images, each mirrored where `which` (B,) says so, others kept."""

    def __init__(self, specs: Specs) -> None:
        """`specs`: those of the frame that is learned in. Raises UserError for a number without a mirror image."""
        self._state_signs, self._state_offsets = _reflection(specs.observation.state, 'observation.state')
        self._action_signs, offsets = _reflection(specs.action, 'action')
        if offsets.any():
            name = specs.action.names[int(np.flatnonzero(offsets)[0])]
            raise UserError(f'symmetry: left_right: the bounds of action {name} are not the same to both sides')

    def half_of(self, parts: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The parts of a batch (learning/sampler.py), each transition as it was or mirrored, by even chance."""
        which = rng.random(len(parts['state'])) < 0.5
        mirrored = parts | {'action': self.actions(parts['action'], which)}
        mirrored |= {name: self.states(parts[name], which) for name in ('state', 'next_state') if name in parts}
        return mirrored | {name: self.images(view, which) for name, view in parts.items() if '/' in name}

    def states(self, states: np.ndarray, which: np.ndarray) -> np.ndarray:
        """(B, T * S), any number of states side by side."""
        copies = states.shape[1] // len(self._state_signs)
        mirrored = states * np.tile(self._state_signs, copies) + np.tile(self._state_offsets, copies)
        return np.where(which[:, None], mirrored, states)

    def actions(self, actions: np.ndarray, which: np.ndarray) -> np.ndarray:
        """(B, h * A), any number of actions side by side."""
        copies = actions.shape[1] // len(self._action_signs)
        return np.where(which[:, None], actions * np.tile(self._action_signs, copies), actions)

    def images(self, images: np.ndarray, which: np.ndarray) -> np.ndarray:
        """In place."""
        images[which] = images[which, :, ::-1]
        return images


def _reflection(vector: VectorSpec, where: str) -> tuple[np.ndarray, np.ndarray]:
    """(D,) signs and offsets: what a normalised number is multiplied by, and what is added then."""
    signs, offsets = np.ones(len(vector), np.float32), np.zeros(len(vector), np.float32)
    for index, dimension in enumerate(vector.dimensions):
        part = dimension.name.rpartition('.')[2]
        if part in EXCHANGED:
            signs[index] = -1.0
            offsets[index] = -2.0 * (dimension.low + dimension.high) / (dimension.high - dimension.low)
        elif part not in KEPT:
            raise UserError(f'symmetry: left_right: {where} has {dimension.name}, whose mirror image is not known')
    return signs, offsets
