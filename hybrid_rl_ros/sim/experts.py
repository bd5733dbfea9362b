"""Scripted experts: from the privileged task state to an `ee_delta` action, for demonstrations and as references.

Each is a small reactive state machine: it looks at the state anew at every step, so it works from any start and
tries again after a failed attempt.
"""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.practice_config import PracticeConfig
from hybrid_rl_ros.sim.backend import NamedVector

OPEN = 1.0
CLOSED = -1.0
# Fraction of the remaining way that one step asks for; below 1 so that the arm slows down before it arrives.
APPROACH_GAIN = 0.7


class Expert:
    """Base of all experts: subclasses say where the tool should go, this class turns it into a noisy action."""

    def __init__(self, noise: float, seed: int, max_step_m: float, gripper: bool) -> None:
        self._noise = noise
        self._rng = np.random.default_rng(seed)
        self._max_step_m = max_step_m
        self._gripper = gripper

    def reset(self) -> None:
        """Forget the episode; the noise goes on, so that repeated episodes differ."""

    def act(self, task_state: NamedVector) -> np.ndarray:
        """The action [dx, dy, dz(, gripper)]: m along the base axes, gripper from -1 closed to 1 open."""
        tool = _point(task_state, 'ee')
        goal, gripper = self._plan(task_state, tool)
        delta = APPROACH_GAIN * (goal - tool) / self._max_step_m
        # Along a straight line even when far away, which keeps the tool clear of what the plan goes round.
        delta /= max(1.0, np.abs(delta).max())
        action = np.append(delta, gripper) if self._gripper else delta
        action = np.clip(action + self._noise * self._rng.standard_normal(action.shape), -1.0, 1.0)
        action[:3] *= self._max_step_m
        return action

    def _plan(self, state: NamedVector, tool: np.ndarray) -> tuple[np.ndarray, float]:
        """Where the tool (3,) should go, and the gripper command."""
        raise NotImplementedError


class ReachExpert(Expert):
    def _plan(self, state: NamedVector, tool: np.ndarray) -> tuple[np.ndarray, float]:
        return _point(state, 'target'), OPEN


class LiftExpert(Expert):
    """Above the cube, down over it, close, and up; a cube that was lost is approached again."""

    HOVER_M = 0.07  # of the tool above the cube's centre while moving sideways
    ALIGNED_M = 0.012
    GRASP_HEIGHT_M = 0.012
    WIDE_ENOUGH = 0.7  # opening that lets the turned cube in
    CLOSING_STEPS = 4
    CARRY_M = 0.22  # tool height to lift to

    def __init__(self, noise: float, seed: int, max_step_m: float, gripper: bool) -> None:
        super().__init__(noise, seed, max_step_m, gripper)
        self._closing = 0

    def reset(self) -> None:
        self._closing = 0

    def _plan(self, state: NamedVector, tool: np.ndarray) -> tuple[np.ndarray, float]:
        cube = _point(state, 'cube')
        aside = float(np.abs(cube[:2] - tool[:2]).max())
        above = tool[2] - cube[2]
        hover = cube + np.array([0.0, 0.0, self.HOVER_M])
        if self._closing:
            if aside > 2.5 * self.ALIGNED_M or above > 2.5 * self.GRASP_HEIGHT_M:
                self._closing = 0  # missed it or lost it
            else:
                self._closing += 1
                if self._closing <= self.CLOSING_STEPS:
                    return tool, CLOSED
                return np.array([tool[0], tool[1], self.CARRY_M]), CLOSED
        if aside > self.ALIGNED_M:
            # Never sideways at the cube's height: up first, unless already above it.
            return (np.array([tool[0], tool[1], hover[2]]) if above < self.HOVER_M * 0.6 else hover), OPEN
        if state['gripper.opening'] < self.WIDE_ENOUGH:
            return hover, OPEN
        if above > self.GRASP_HEIGHT_M:
            return cube, OPEN
        self._closing = 1
        return tool, CLOSED


class PushExpert(Expert):
    """Behind the cube as seen from the goal, down, and straight on; round it again when the cube slips aside."""

    TRAVEL_M = 0.11  # tool height while going round
    PUSH_HEIGHT_M = 0.022
    BEHIND_M = 0.065  # from the cube's centre, where the tool comes down
    CONTACT_M = 0.035  # from the cube's centre to the tool when they touch

    def _plan(self, state: NamedVector, tool: np.ndarray) -> tuple[np.ndarray, float]:
        cube = _point(state, 'cube')[:2]
        goal = np.array([state['goal.x'], state['goal.y']])
        way = goal - cube
        distance = float(np.linalg.norm(way))
        if distance < 0.008:
            return tool, CLOSED
        ahead = way / distance
        offset = tool[:2] - cube
        along = float(offset @ ahead)
        sideways = float(np.linalg.norm(offset - along * ahead))
        low = tool[2] < 0.045
        if low and along < -0.02 and sideways < 0.02:
            # The push leads the cube's far side a little, and stops at the goal.
            reach = min(0.03, distance)
            return np.array([*(cube + ahead * (reach - self.CONTACT_M)), self.PUSH_HEIGHT_M]), CLOSED
        behind = cube - ahead * self.BEHIND_M
        if np.abs(tool[:2] - behind).max() < 0.012:
            return np.array([*behind, self.PUSH_HEIGHT_M]), CLOSED
        if tool[2] < 0.085:
            return np.array([tool[0], tool[1], self.TRAVEL_M]), CLOSED
        return np.array([*behind, self.TRAVEL_M]), CLOSED


class PegInsertExpert(Expert):
    """Over the hole, then down while the peg stays in line with it; up and again when it does not."""

    CLEAR_M = 0.015  # of the tip above the block while moving sideways
    ALIGNED_M = 0.0015
    LOST_M = 0.004

    def _plan(self, state: NamedVector, tool: np.ndarray) -> tuple[np.ndarray, float]:
        tip, hole = _point(state, 'peg'), _point(state, 'hole')
        error = hole - tip
        aside = float(np.abs(error[:2]).max())
        height = tip[2] - hole[2]
        line = tool[:2] + error[:2]
        inside = height < -0.002 and aside < self.LOST_M
        if inside or (aside < self.ALIGNED_M and height < 2.0 * self.CLEAR_M):
            return np.array([*line, tool[2] - height - 0.035]), CLOSED
        if height < self.CLEAR_M * 0.5 and aside > self.LOST_M:
            return np.array([tool[0], tool[1], tool[2] - height + 2.0 * self.CLEAR_M]), CLOSED
        return np.array([*line, tool[2] - height + self.CLEAR_M]), CLOSED


class DetourExpert(Expert):
    """Up to the post, past it by a side that is drawn for every episode, and on to the target."""

    BEFORE_M = 0.16  # from the post's middle, where it turns aside
    IN_LINE_M = 0.04
    ASIDE_M = 0.11
    PASSED_M = -0.01  # along y: from here on it is straight to the target

    def __init__(self, noise: float, seed: int, max_step_m: float, gripper: bool) -> None:
        super().__init__(noise, seed, max_step_m, gripper)
        self.reset()

    def reset(self) -> None:
        self._side = float(self._rng.choice([-1.0, 1.0]))

    def _plan(self, state: NamedVector, tool: np.ndarray) -> tuple[np.ndarray, float]:
        target = _point(state, 'target')
        x, y = tool[0] - state['post.x'], tool[1] - state['post.y']
        if y > self.PASSED_M:
            return target, CLOSED
        if y < -self.BEFORE_M and abs(x) < self.IN_LINE_M:
            return np.array([tool[0], state['post.y'], target[2]]), CLOSED
        return np.array([state['post.x'] + self._side * self.ASIDE_M, state['post.y'], target[2]]), CLOSED


EXPERTS: dict[str, type[Expert]] = {
    'reach': ReachExpert,
    'push': PushExpert,
    'lift': LiftExpert,
    'peg_insert': PegInsertExpert,
    'detour': DetourExpert,
}


def make_expert(task: str, noise: float, seed: int, max_step_m: float, gripper: bool = True) -> Expert:
    """The expert of `task`. `noise` is the deviation of Gaussian action noise, relative to the largest action."""
    if task not in EXPERTS:
        raise UserError(f'no scripted expert for task {task!r}; expected one of {", ".join(EXPERTS)}')
    if task == 'lift' and not gripper:
        raise UserError('the expert for task lift needs the gripper; set action.gripper to true')
    return EXPERTS[task](noise, seed, max_step_m, gripper)


def told_of_task(numbers: NamedVector, practice: PracticeConfig) -> NamedVector:
    """What an expert is told: `numbers`, some of them replaced for the task under way. Raises UserError for others."""
    for name, task in practice.tasks.items():
        if unknown := [key for key in task.expert if key not in numbers]:
            there = ', '.join(key for key in numbers if not key.startswith('practice.'))
            raise UserError(f'practice.tasks.{name}.expert: no number {unknown[0]!r} here, only {there}')
        if numbers[f'practice.{name}'] > 0.5:
            numbers = {**numbers, **task.expert}
    return numbers


def _point(state: NamedVector, name: str) -> np.ndarray:
    return np.array([state[f'{name}.x'], state[f'{name}.y'], state[f'{name}.z']])
