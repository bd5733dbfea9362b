"""A reset that the arm does itself, one action for each control step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hybrid_rl_ros.control.homing import INWARD_M, homing_action
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.reset_config import WaypointConfig

OPENED, GRIPPER_S = 0.9, 1.0
AXES = 'xyz'
# What it reads of the arm, m; a gripper also says how far it is open, 0 to 1.
READS = tuple(f'ee.{axis}' for axis in AXES)
OPENING = 'gripper.opening'

Workspace = tuple[np.ndarray, np.ndarray]  # its corners, (3,) m each


def require_possible(routine: Sequence[WaypointConfig], names: Sequence[str], workspace_m: Workspace) -> None:
    """Raises UserError for a routine that actions of `names` cannot do, or that leaves the workspace (low, high)."""
    for number, waypoint in enumerate(routine):
        where = f'reset.routine.{number}'
        if waypoint.gripper and 'gripper' not in names:
            raise UserError(f'{where}.gripper: the actions of this run have no gripper; set action.gripper: true')
        if waypoint.move is None:
            continue
        if list(names[:3]) != [f'ee.d{axis}' for axis in AXES]:
            raise UserError(f'{where}.move: needs action.space: ee_delta; these actions are {", ".join(names)}')
        for axis, place, reach, low, high in zip(AXES, waypoint.move, waypoint.randomise_m, *workspace_m):
            if place is not None and not low <= place - reach <= place + reach <= high:
                raise UserError(
                    f'{where}.move: {axis} {place:g} with randomise_m {reach:g} is not within the workspace, '
                    f'{low:g} to {high:g} m'
                )


class ResetRoutine:
    """Goes through the waypoints; call `begin`, then `act` once for each control step until it is None.

    `late`: what was not reached in its time, or ''. Actions are along the base's axes, in m.
    """

    def __init__(
        self,
        routine: Sequence[WaypointConfig],
        names: Sequence[str],
        max_step_m: float,
        workspace_m: Workspace,
        rate_hz: float,
        rng: np.random.Generator,
    ) -> None:
        self._routine, self._names, self._rng = routine, names, rng
        self._max_step_m, self._workspace_m, self._rate_hz = max_step_m, workspace_m, rate_hz
        self.begin()

    def begin(self) -> None:
        self.late = ''
        self._at = 0
        self._steps = 0
        self._goal: np.ndarray | None = None
        self._gripper: float | None = None

    def act(self, numbers: Mapping[str, float]) -> dict[str, float] | None:
        """The action of this step, or None when the routine is done, or late. Reads READS, and OPENING."""
        tool = np.array([numbers[name] for name in READS])
        if self._gripper is None:
            # What is in the hand at the end of an episode stays there until the routine says otherwise.
            self._gripper = 1.0 if numbers.get(OPENING, 1.0) >= OPENED else -1.0
        while self._at < len(self._routine):
            waypoint = self._routine[self._at]
            way = self._way(waypoint, tool, numbers)
            if way is None:
                self._at, self._steps, self._goal = self._at + 1, 0, None
                continue
            self._steps += 1
            # Waiting and closing take the time that they take.
            may_be_late = waypoint.move is not None or waypoint.gripper == 'open'
            if may_be_late and self._steps > waypoint.within_s * self._rate_hz:
                self.late = f'reset.routine.{self._at} ({_told(waypoint)}) was not done in {waypoint.within_s:g} s'
                return None
            return self._action(way)
        return None

    def _way(self, waypoint: WaypointConfig, tool: np.ndarray, numbers: Mapping[str, float]) -> np.ndarray | None:
        """(3,) m to go at this step, or None when the waypoint is behind."""
        passed_s = self._steps / self._rate_hz
        if waypoint.gripper:
            self._gripper = 1.0 if waypoint.gripper == 'open' else -1.0
            opened = waypoint.gripper == 'open' and numbers[OPENING] >= OPENED
            done = passed_s > 0.0 and (opened or (waypoint.gripper == 'close' and passed_s >= GRIPPER_S))
            return None if done else np.zeros(3)
        if waypoint.wait_s is not None:
            return None if passed_s >= waypoint.wait_s else np.zeros(3)
        assert waypoint.move is not None
        if self._goal is None:
            reach = np.array(waypoint.randomise_m)
            low, high = self._workspace_m
            # Up along the very edge of the workspace the gate lets nothing go: the tool comes in by so much meanwhile.
            stays = np.append(np.clip(tool[:2], low[:2] + INWARD_M, high[:2] - INWARD_M), tool[2])
            there = [now if place is None else place for place, now in zip(waypoint.move, stays)]
            self._goal = np.clip(np.array(there) + self._rng.uniform(-reach, reach), *self._workspace_m)
        return homing_action(tool, self._goal, self._max_step_m, *self._workspace_m)

    def _action(self, way: np.ndarray) -> dict[str, float]:
        """The gripper is told again what it was told last, for the next action would let go."""
        action = dict.fromkeys(self._names, 0.0) | dict(zip(self._names[:3], way.tolist()))
        return action | ({'gripper': self._gripper or 0.0} if 'gripper' in action else {})


def _told(waypoint: WaypointConfig) -> str:
    if waypoint.move is not None:
        return f'move {list(waypoint.move)}'
    return f'gripper {waypoint.gripper}' if waypoint.gripper else f'wait {waypoint.wait_s:g} s'
