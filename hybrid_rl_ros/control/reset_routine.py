"""A reset that the arm does itself, one action for each control step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hybrid_rl_ros.control.homing import INWARD_M, homing_action, joint_homing_action
from hybrid_rl_ros.control.reach import OPENING, TOOL, Reach
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.reset_config import WaypointConfig

OPENED, GRIPPER_S = 0.9, 1.0
MOST_DRAWS = 100


def require_possible(routine: Sequence[WaypointConfig], reach: Reach) -> None:
    """Raises UserError for a routine that the run's actions cannot do, or that goes where the gate would stop it."""
    for number, waypoint in enumerate(routine):
        where = f'reset.routine.{number}'
        if waypoint.gripper and not reach.has_gripper:
            raise UserError(f'{where}.gripper: the actions of this run have no gripper; set action.gripper: true')
        if waypoint.move is not None:
            _require_place(f'{where}.move', waypoint, reach)
        if waypoint.joints is not None:
            _require_joints(f'{where}.joints', waypoint, reach)


def _require_place(where: str, waypoint: WaypointConfig, reach: Reach) -> None:
    assert waypoint.move is not None
    if not reach.moves_tool:
        raise UserError(f'{where}: needs action.space: ee_delta; these actions are {", ".join(reach.names)}')
    for axis, place, off, low, high in zip('xyz', waypoint.move, waypoint.randomise_m, *reach.workspace_m):
        if place is not None and not low <= place - off <= place + off <= high:
            raise UserError(
                f'{where}: {axis} {place:g} with randomise_m {off:g} is not within the workspace, {low:g} to {high:g} m'
            )


def _require_joints(where: str, waypoint: WaypointConfig, reach: Reach) -> None:
    if reach.elbow_is_others:
        raise UserError(f'{where}: the controller of this arm is told poses of the tool, and places the elbow itself')
    joints_rad = _joints_of(waypoint, reach)
    if len(joints_rad) != len(reach.joints):
        each = ', '.join(reach.joints)
        raise UserError(f'{where}: expected {len(reach.joints)} numbers, rad, one each for {each}')
    for joint, place, low, high in zip(reach.joints, joints_rad, *reach.limits_rad):
        off = waypoint.randomise_rad
        if not low <= place - off <= place + off <= high:
            raise UserError(
                f'{where}: {joint} {place:g} with randomise_rad {off:g} is not within its limits, '
                f'{low:.4g} to {high:.4g} rad'
            )
    if region := reach.left_by(joints_rad):
        raise UserError(f'{where}: safety_node would stop the arm on the way there ({region})')


def _joints_of(waypoint: WaypointConfig, reach: Reach) -> np.ndarray:
    return reach.home_rad if waypoint.joints == 'home' else np.array(waypoint.joints, dtype=float)


class ResetRoutine:
    """Goes through the waypoints; call `begin`, then `act` once for each control step until it is None.

    `late`: what was not reached in its time, or ''. Actions are the run's own, along the base's axes in m, or on
    the way of the joints those of `joint_delta` in rad, which safety_node takes of a reset whatever the policy's are.
    """

    def __init__(
        self, routine: Sequence[WaypointConfig], reach: Reach, rate_hz: float, rng: np.random.Generator
    ) -> None:
        self._routine, self._reach, self._rate_hz, self._rng = routine, reach, rate_hz, rng
        self.begin()

    def begin(self) -> None:
        self.late = ''
        self._at = 0
        self._steps = 0
        self._goal: np.ndarray | None = None
        self._gripper: float | None = None

    def act(self, numbers: Mapping[str, float]) -> dict[str, float] | None:
        """The action of this step, or None when the routine is done, or late."""
        if self._gripper is None:
            # What is in the hand at the end of an episode stays there until the routine says otherwise.
            self._gripper = 1.0 if numbers.get(OPENING, 1.0) >= OPENED else -1.0
        while self._at < len(self._routine):
            waypoint = self._routine[self._at]
            way = self._way(waypoint, numbers)
            if way is None:
                self._at, self._steps, self._goal = self._at + 1, 0, None
                continue
            self._steps += 1
            # Waiting and closing take the time that they take.
            may_be_late = waypoint.wait_s is None and waypoint.gripper != 'close'
            if may_be_late and self._steps > waypoint.within_s * self._rate_hz:
                self.late = f'reset.routine.{self._at} ({_told(waypoint)}) was not done in {waypoint.within_s:g} s'
                return None
            return self._with_gripper(way)
        return None

    def _way(self, waypoint: WaypointConfig, numbers: Mapping[str, float]) -> dict[str, float] | None:
        """What to do at this step, or None when the waypoint is behind."""
        passed_s = self._steps / self._rate_hz
        if waypoint.gripper:
            self._gripper = 1.0 if waypoint.gripper == 'open' else -1.0
            opened = waypoint.gripper == 'open' and numbers[OPENING] >= OPENED
            done = passed_s > 0.0 and (opened or (waypoint.gripper == 'close' and passed_s >= GRIPPER_S))
            return None if done else self._reach.nowhere
        if waypoint.wait_s is not None:
            return None if passed_s >= waypoint.wait_s else self._reach.nowhere
        return self._turn(waypoint, numbers) if waypoint.joints else self._move(waypoint, numbers)

    def _move(self, waypoint: WaypointConfig, numbers: Mapping[str, float]) -> dict[str, float] | None:
        assert waypoint.move is not None
        tool, (low, high) = np.array([numbers[name] for name in TOOL]), self._reach.workspace_m
        if self._goal is None:
            # Up along the very edge of the workspace the gate lets nothing go: the tool comes in by so much meanwhile.
            stays = np.append(np.clip(tool[:2], low[:2] + INWARD_M, high[:2] - INWARD_M), tool[2])
            there = [now if place is None else place for place, now in zip(waypoint.move, stays)]
            self._goal = np.clip(there + self._drawn(np.array(waypoint.randomise_m)), low, high)
        way = homing_action(tool, self._goal, self._reach.max_step_m, low, high)
        return None if way is None else self._reach.nowhere | dict(zip(self._reach.names[:3], way.tolist()))

    def _turn(self, waypoint: WaypointConfig, numbers: Mapping[str, float]) -> dict[str, float] | None:
        joints = self._reach.joints
        if self._goal is None:
            self._goal = self._drawn_joints(waypoint)
        now = np.array([numbers[f'{joint}.position'] for joint in joints])
        way = joint_homing_action(now, self._goal, self._reach.max_step_rad)
        return None if way is None else dict(zip(self._reach.joint_actions, way.tolist()))

    def _drawn_joints(self, waypoint: WaypointConfig) -> np.ndarray:
        """Where the gate lets the arm go, which at the very edge not every draw is."""
        there, off = _joints_of(waypoint, self._reach), np.full(len(self._reach.joints), waypoint.randomise_rad)
        for _ in range(MOST_DRAWS):
            goal = there + self._drawn(off)
            if not self._reach.left_by(goal):
                return goal
        return there

    def _drawn(self, reach: np.ndarray) -> np.ndarray:
        return self._rng.uniform(-reach, reach)

    def _with_gripper(self, action: dict[str, float]) -> dict[str, float]:
        """The gripper is told again what it was told last, for the next action would let go."""
        return action | ({'gripper': self._gripper or 0.0} if self._reach.has_gripper else {})


def _told(waypoint: WaypointConfig) -> str:
    if waypoint.move is not None:
        return f'move {list(waypoint.move)}'
    if waypoint.joints:
        return f'joints {waypoint.joints}'
    return f'gripper {waypoint.gripper}' if waypoint.gripper else f'wait {waypoint.wait_s:g} s'
