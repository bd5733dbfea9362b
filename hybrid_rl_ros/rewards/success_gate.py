"""Where the arm has to be for a success to be believed: what the cameras take for one elsewhere is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.data.specs import VectorSpec

# Of a dimension's own range: a state that was the same in every success still has a sensor that is not.
LEAST_MARGIN = 0.01
VELOCITIES = ('.velocity', '.vx', '.vy', '.vz')


class SuccessGate(Section):
    """Per state name the lowest and the highest value, both allowed; without any, it is open everywhere."""

    ranges: dict[str, tuple[float, float]] = {}

    def holds(self, state: Mapping[str, float]) -> bool:
        """Raises KeyError for a name that is not in `state`."""
        return all(low <= state[name] <= high for name, (low, high) in self.ranges.items())

    def holds_each(self, states: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """(N,) bool for states (N, S) whose columns have these names."""
        return np.array([self.holds(dict(zip(names, state))) for state in states.tolist()], bool)


def refusals(gate: SuccessGate, states: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """Of states (N, S), how many each name that is ever outside its range keeps out, the worst first."""
    columns = dict(zip(names, states.T))
    outside = {
        name: int(((columns[name] < low) | (columns[name] > high)).sum()) for name, (low, high) in gate.ranges.items()
    }
    return {name: count for name, count in sorted(outside.items(), key=lambda item: -item[1]) if count}


def gate_around(states: np.ndarray, spec: VectorSpec, margin: float) -> SuccessGate:
    """The gate that holds for all of `states` (N, S), widened by `margin` of each range on both sides.

    Not of velocities: who got there at another speed, or rests there, has succeeded too. Not of `task.*`: only a
    simulation knows it.
    """
    ranges = {}
    for dimension, low, high in zip(spec.dimensions, states.min(0).tolist(), states.max(0).tolist()):
        if not dimension.name.startswith('task.') and not dimension.name.endswith(VELOCITIES):
            beyond = max(margin * (high - low), LEAST_MARGIN * (dimension.high - dimension.low))
            ranges[dimension.name] = (low - beyond, high + beyond)
    return SuccessGate(ranges=ranges)
