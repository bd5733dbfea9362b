"""States and actions as seen from where the tool stood when the episode began (Luo et al. 2024, SERL).

The store keeps the base's frame; who learns and who acts look through this. The same scene elsewhere, and turned about
the vertical, is then the same scene.
"""

from __future__ import annotations

import math

import numpy as np

from hybrid_rl_ros.data.specs import Dimension, Specs, VectorSpec

START = ('ee.x', 'ee.y', 'ee.z')
YAW = 'ee.yaw'
Pair = tuple[int, int]


class BaseFrame:
    """The frame that states and actions are stored in: nothing changes. `specs`: the bounds of what is seen."""

    def __init__(self, specs: Specs) -> None:
        self.specs = specs

    def start(self, state: np.ndarray) -> np.ndarray:
        """(..., 4) where an episode that began in states (..., S) is seen from: x, y, z, yaw."""
        return np.zeros((*state.shape[:-1], 4), state.dtype)

    def states(self, states: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """(..., S) as seen from `starts` (..., 4); physical units, as everywhere here."""
        return states

    def actions(self, actions: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """(..., A) of the base's frame as seen from `starts` (..., 4)."""
        return actions

    def base_actions(self, actions: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """The inverse of `actions`."""
        return actions


class RelativeFrame(BaseFrame):
    """Positions are shifted and turned, velocities, offsets and actions turned, headings counted from the start's.

    Which numbers these are follows from their names; a state without ee.yaw is only shifted. What is no place in the
    base's frame, such as joints, wrenches and the gripper, stays as it is.
    """

    def __init__(self, specs: Specs) -> None:
        """Raises ValueError for specs without the tool's position or its motion along x and y."""
        state, action = specs.observation.state, specs.action
        names = state.names
        self._start = [names.index(name) for name in START]
        self._yaw = names.index(YAW) if YAW in names else None
        self._points = [pair for name, pair in _pairs(names) if not _is_vector(name)]
        self._vectors = [pair for name, pair in _pairs(names) if _is_vector(name)]
        self._heights = [i for i, name in enumerate(names) if _is_place(name, 'z') and not _is_vector(name)]
        self._headings = [i for i, name in enumerate(names) if _is_place(name, 'yaw')]
        kinds = ['d', 'dr'] if 'ee.drx' in action.names else ['d']
        self._motions = [(action.names.index(f'ee.{kind}x'), action.names.index(f'ee.{kind}y')) for kind in kinds]
        self._most = action.high
        observation = specs.observation.model_copy(update={'state': VectorSpec(dimensions=self._bounds(state))})
        super().__init__(specs.model_copy(update={'observation': observation}))

    def start(self, state: np.ndarray) -> np.ndarray:
        yaw = np.zeros_like(state[..., :1]) if self._yaw is None else state[..., [self._yaw]]
        return np.concatenate([state[..., self._start], yaw], axis=-1)

    def states(self, states: np.ndarray, starts: np.ndarray) -> np.ndarray:
        seen = states.copy()
        for x, y in self._points:
            seen[..., x] -= starts[..., 0]
            seen[..., y] -= starts[..., 1]
        for height in self._heights:
            seen[..., height] -= starts[..., 2]
        for pair in (*self._points, *self._vectors):
            _turn(seen, pair, -starts[..., 3])
        for heading in self._headings:
            seen[..., heading] = _wrapped(seen[..., heading] - starts[..., 3])
        return seen

    def actions(self, actions: np.ndarray, starts: np.ndarray) -> np.ndarray:
        return self._turned(actions, -starts[..., 3])

    def base_actions(self, actions: np.ndarray, starts: np.ndarray) -> np.ndarray:
        return self._turned(actions, starts[..., 3])

    def _turned(self, actions: np.ndarray, angle: np.ndarray) -> np.ndarray:
        turned = actions.copy()
        for x, y in self._motions:
            _turn(turned, (x, y), angle)
            # A corner of the bounds turns out of them. It is shortened: cut off at one side it would point elsewhere.
            beyond = np.maximum(np.abs(turned[..., x]), np.abs(turned[..., y])) / self._most[x]
            for index in (x, y):
                turned[..., index] /= np.maximum(1.0, beyond)
        return turned

    def _bounds(self, state: VectorSpec) -> tuple[Dimension, ...]:
        """From wherever in its bounds a number began, and however turned, it stays inside these, but for corners."""
        dimensions = list(state.dimensions)
        for pair in (*self._points, *self._vectors):
            shifted = pair in self._points
            reach = max(_reach(dimensions[index], shifted) for index in pair)
            for index in pair:
                dimensions[index] = dimensions[index].model_copy(update={'low': -reach, 'high': reach})
        for index in self._heights:
            reach = _reach(dimensions[index], shifted=True)
            dimensions[index] = dimensions[index].model_copy(update={'low': -reach, 'high': reach})
        return tuple(dimensions)


def make_frame(specs: Specs, relative: bool) -> BaseFrame:
    return RelativeFrame(specs) if relative else BaseFrame(specs)


def _pairs(names: list[str]) -> list[tuple[str, Pair]]:
    """The name of each x that lies in the base's frame, with the columns of it and of its y."""
    horizontal = [name for name in names if _is_place(name, 'x') or name == 'ee.vx']
    return [(name, (names.index(name), names.index(f'{name[:-1]}y'))) for name in horizontal]


def _is_place(name: str, part: str) -> bool:
    return name == f'ee.{part}' or (name.startswith('task.') and name.endswith(f'.{part}'))


def _is_vector(name: str) -> bool:
    """A velocity or a difference of two places: it turns, and has no origin to be shifted to."""
    return name.startswith(('ee.v', 'task.offset.'))


def _reach(dimension: Dimension, shifted: bool) -> float:
    return dimension.high - dimension.low if shifted else max(-dimension.low, dimension.high)


def _turn(values: np.ndarray, pair: Pair, angle: np.ndarray) -> None:
    """Turn the two columns of `values` (..., D) by `angle` (...) about z, in place."""
    x, y = values[..., pair[0]].copy(), values[..., pair[1]].copy()
    values[..., pair[0]] = np.cos(angle) * x - np.sin(angle) * y
    values[..., pair[1]] = np.sin(angle) * x + np.cos(angle) * y


def _wrapped(angle: np.ndarray) -> np.ndarray:
    """In [-pi, pi)."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi
