"""The way back to the start of an episode, as actions like anybody else's: they too pass the gate."""

from __future__ import annotations

import numpy as np

GAIN = 0.7
ARRIVED_M = 0.01
ARRIVED_RAD = 0.02
# Sideways only once the tool is nearly up: what stands on the table, or round the peg, stays where it is.
NEARLY_UP_M = 0.02
SIDEWAYS_M = 0.02
# From the very edge of the workspace the gate lets nothing go straight up: the tool comes in by so much meanwhile.
INWARD_M = 0.02


def homing_action(
    tool_m: np.ndarray, start_m: np.ndarray, max_step_m: float, low_m: np.ndarray, high_m: np.ndarray
) -> np.ndarray | None:
    """(3,) translation of the tool in m along the base's axes, or None when it has arrived.

    low_m, high_m (3,): the workspace's corners.
    """
    way = start_m - tool_m
    if np.linalg.norm(way) <= ARRIVED_M:
        return None
    if way[2] > NEARLY_UP_M and np.linalg.norm(way[:2]) > SIDEWAYS_M:
        inside = np.clip(tool_m[:2], low_m[:2] + INWARD_M, high_m[:2] - INWARD_M)
        way = np.append(inside - tool_m[:2], way[2])
    step = GAIN * way
    return step / max(1.0, np.abs(step).max() / max_step_m)


def joint_homing_action(joints_rad: np.ndarray, goal_rad: np.ndarray, max_step_rad: float) -> np.ndarray | None:
    """(J,) rad for each joint to go, all of them at once, or None when they have arrived."""
    way = goal_rad - joints_rad
    furthest = float(np.abs(way).max())
    return None if furthest <= ARRIVED_RAD else way * min(GAIN, max_step_rad / furthest)
