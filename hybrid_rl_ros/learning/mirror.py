"""Transitions with left and right exchanged: what a rig that is its own mirror image has seen, it has seen twice.

The mirror is the x-z plane of the base's frame, and that of every camera's image its middle column.
"""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import Specs, VectorSpec
from hybrid_rl_ros.errors import UserError

# What points along y, and what turns about x or z, changes its sign.
EXCHANGED = ('y', 'yaw', 'vy', 'dy', 'drx', 'drz')
KEPT = ('x', 'z', 'vx', 'vz', 'dx', 'dz', 'dry', 'gripper', 'opening', 'distance')


class Mirror:
    """Normalised states and actions, and images, each mirrored where `which` (B,) says so and kept elsewhere.

    Where the configuration knows of no symmetry all stays as it is, and `which` is None.
    """

    def __init__(self, specs: Specs, config: Config) -> None:
        """`specs`: those of the frame that is learned in. Raises UserError for a number without a mirror image."""
        self._symmetric = config.symmetry == 'left_right'
        if not self._symmetric:
            return
        self._state_signs, self._state_offsets = _reflection(specs.observation.state, 'observation.state')
        self._action_signs, offsets = _reflection(specs.action, 'action')
        if offsets.any():
            name = specs.action.names[int(np.flatnonzero(offsets)[0])]
            raise UserError(f'symmetry: left_right: the bounds of action {name} are not the same to both sides')

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray | None:
        """(count,) bool, each by even chance."""
        return rng.random(count) < 0.5 if self._symmetric else None

    def parts(self, parts: dict[str, np.ndarray], which: np.ndarray | None) -> dict[str, np.ndarray]:
        """Of a batch (learning/sampler.py); features that come instead of images are of mirrored ones already."""
        if which is None:
            return parts
        mirrored = parts | {'action': self.actions(parts['action'], which)}
        mirrored |= {name: self.states(parts[name], which) for name in ('state', 'next_state') if name in parts}
        images = {name: view for name, view in parts.items() if '/' in name and view.dtype == np.uint8}
        return mirrored | {name: _mirrored_where(which, view) for name, view in images.items()}

    def states(self, states: np.ndarray, which: np.ndarray) -> np.ndarray:
        """(B, T * S), any number of states side by side."""
        copies = states.shape[1] // len(self._state_signs)
        mirrored = states * np.tile(self._state_signs, copies) + np.tile(self._state_offsets, copies)
        return np.where(which[:, None], mirrored, states)

    def actions(self, actions: np.ndarray, which: np.ndarray) -> np.ndarray:
        """(B, h * A), any number of actions side by side."""
        copies = actions.shape[1] // len(self._action_signs)
        return np.where(which[:, None], actions * np.tile(self._action_signs, copies), actions)


def mirrored_images(images: np.ndarray) -> np.ndarray:
    """(B, H, W, 3), a view of the same memory."""
    return images[:, :, ::-1]


def _mirrored_where(which: np.ndarray, images: np.ndarray) -> np.ndarray:
    """`images` themselves, changed in place."""
    images[which] = mirrored_images(images[which])
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
