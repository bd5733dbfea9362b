"""The way back to an episode's start."""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.control.homing import ARRIVED_M, NEARLY_UP_M, homing_action

STEP_M = 0.025
LOW, HIGH = np.array([0.3, -0.25, 0.015]), np.array([0.6, 0.25, 0.35])


def way(tool: list[float], start: list[float]) -> list[np.ndarray]:
    """Every position of a tool that does exactly what it is told."""
    at, path = np.array(tool), [np.array(tool)]
    while (action := homing_action(at, np.array(start), STEP_M, LOW, HIGH)) is not None:
        assert np.abs(action).max() <= STEP_M + 1e-12
        at = at + action
        path.append(at)
        assert len(path) < 200
    return path


def test_the_tool_arrives():
    rng = np.random.default_rng(0)
    for _ in range(50):
        tool, start = rng.uniform(LOW, HIGH, (2, 3))
        assert np.linalg.norm(way(tool.tolist(), start.tolist())[-1] - start) <= ARRIVED_M


def test_from_below_it_goes_up_before_it_goes_sideways():
    """As a peg leaves its hole."""
    path = way([0.5, 0.1, 0.03], [0.4, -0.1, 0.25])
    for at in path:
        if at[2] < 0.25 - NEARLY_UP_M - STEP_M:
            assert np.allclose(at[:2], [0.5, 0.1])


def test_from_the_edge_of_the_workspace_it_comes_in_while_it_goes_up():
    first = way([0.6, 0.25, 0.05], [0.4, -0.1, 0.25])[1]
    assert first[0] < 0.6 and first[1] < 0.25 and first[2] > 0.05
    assert (first[:2] > HIGH[:2] - 0.02 - 1e-9).all()
