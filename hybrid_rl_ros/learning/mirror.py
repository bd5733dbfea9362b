"""Transitions with left and right exchanged: what a rig that is its own mirror image has seen, it has seen twice.

The mirror is the x-z plane of the base's frame, and that of every camera's image its middle column.
"""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.reflection import signs_of
from hybrid_rl_ros.data.specs import Specs


class Mirror:
    """Normalised states and actions, and images, each mirrored where `which` (B,) says so and kept elsewhere.

    Where the configuration knows of no symmetry all stays as it is, and `which` is None.
    """

    def __init__(self, specs: Specs, config: Config) -> None:
        """`specs`: those of the frame that is learned in. Raises ValueError for a number without a mirror image."""
        self._symmetric = config.symmetry == 'left_right'
        if not self._symmetric:
            return
        state = specs.observation.state
        self._action_signs = np.array(signs_of(specs.action.names), np.float32)
        self._state_signs = np.array(signs_of(state.names), np.float32)
        # Bounds need not be the same to both sides.
        middle = (state.high + state.low) / (state.high - state.low)
        self._state_offsets = np.where(self._state_signs < 0, -2.0 * middle, 0.0).astype(np.float32)

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
        return mirrored | self.images(images, which)

    def states(self, states: np.ndarray, which: np.ndarray) -> np.ndarray:
        """(B, T * S), any number of states side by side."""
        copies = states.shape[1] // len(self._state_signs)
        mirrored = states * np.tile(self._state_signs, copies) + np.tile(self._state_offsets, copies)
        return np.where(which[:, None], mirrored, states)

    def actions(self, actions: np.ndarray, which: np.ndarray) -> np.ndarray:
        """(B, h * A), any number of actions side by side."""
        copies = actions.shape[1] // len(self._action_signs)
        return np.where(which[:, None], actions * np.tile(self._action_signs, copies), actions)

    def images(self, images: dict[str, np.ndarray], which: np.ndarray | None) -> dict[str, np.ndarray]:
        """Each (B, ..., H, W, 3), changed in place."""
        if which is not None:
            for view in images.values():
                view[which] = mirrored_images(view[which])
        return images


def mirrored_images(images: np.ndarray) -> np.ndarray:
    """(..., H, W, 3), a view of the same memory."""
    return images[..., ::-1, :]
