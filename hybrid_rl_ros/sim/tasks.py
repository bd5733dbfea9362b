"""The tasks on the table: what stands there, their random starts, and when they are done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig
from hybrid_rl_ros.sim.backend import NamedVector
from hybrid_rl_ros.sim.objects import (
    BLOCK_HEIGHT_M,
    GOAL_RADIUS_M,
    HOLE_CLEARANCE_M,
    LIFT_CUBE_KG,
    LIFT_CUBE_M,
    PEG_BELOW_TOOL_M,
    PEG_WIDTH_M,
    POST_HEIGHT_M,
    POST_RADIUS_M,
    PUSH_CUBE_KG,
    PUSH_CUBE_M,
    add_block_with_hole,
    add_cube,
    add_disc,
    add_peg,
    add_post,
    add_target,
)

if TYPE_CHECKING:
    # Only what builds MuJoCo's scene needs it; Gazebo judges and draws starts by this module without it.
    import mujoco

# Where an object stands: x, y, z in m and its turn about z in rad.
Placement = tuple[float, float, float, float]

REACH_TOLERANCE_M = 0.025
PUSH_TOLERANCE_M = GOAL_RADIUS_M
PUSH_WAY_M = (0.08, 0.20)  # from the cube's start to the disc
LIFT_HEIGHT_M = 0.08
INSERTION_DEPTH_M = 0.02
FINGERS_REACH_M = 0.01  # beside the tool's point: nearer to the post than this they touch it
OUT_OF_REACH_M = 0.05
MOST_DRAWS = 1000


class Task:
    """A task's part of the scene. Positions are in m in the base frame.

    `state` names what only the simulation knows; `succeeded` and `failed` judge such a state (together with
    `ee.x|y|z` and `gripper.opening`), and nothing else.
    """

    holds_peg = False
    gripper_starts_closed = False
    closed_on_m = 0.0  # finger position when closed at the start
    start_shift_m = (0.0, 0.0, 0.0)  # of the middle of the tool's starts, from home
    start_offset_m = (0.03, 0.03, 0.03)  # of the tool from there, at most, along x, y and z

    def __init__(self, robot: RobotConfig, placed: Mapping[str, tuple[float, float]] | None = None) -> None:
        """`placed`: x and y in m of objects that stand there at every start. Raises UserError for one there is not."""
        self.low = np.array(robot.limits.workspace_low_m)
        self.high = np.array(robot.limits.workspace_high_m)
        self.centre = (self.low + self.high) / 2.0
        self._placed = placed or {}
        there = list(self.draw(np.random.default_rng(0)))
        if unknown := [name for name in self._placed if name not in there]:
            raise UserError(f'sim.placed: this task has no {unknown[0]!r}, only {", ".join(there)}')
        for name, xy in self._placed.items():
            if (np.array(xy) < self.low[:2]).any() or (np.array(xy) > self.high[:2]).any():
                low, high = self.low[:2].tolist(), self.high[:2].tolist()
                raise UserError(
                    f'sim.placed: {name} at {list(xy)} is out of reach; x and y are within {low} and {high}'
                )

    def build(self, spec: mujoco.MjSpec, tool: Any, fingers: list[Any]) -> None:
        """Add the task's bodies to the scene; `tool` is the tool's body, `fingers` are the fingers' geoms."""

    def start(self, rng: np.random.Generator) -> dict[str, Placement]:
        """Where this start's objects stand. Raises UserError where nothing fits what stands fast."""
        for _ in range(MOST_DRAWS):
            at = self.draw(rng)
            at |= {name: (*xy, *at[name][2:]) for name, xy in self._placed.items()}
            if not self._placed or self.fits(at):
                return at
        raise UserError(f'sim.placed: {dict(self._placed)} leaves no room for a start')

    def draw(self, rng: np.random.Generator) -> dict[str, Placement]:
        """A start in which nothing stands fast."""
        return {}

    def fits(self, at: Mapping[str, Placement]) -> bool:
        """Whether something is left to do."""
        return True

    def reset(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Draw a start. The arm is already in its starting pose."""
        for name, (*position, yaw) in self.start(rng).items():
            mocap = int(model.body(name).mocapid[0])
            if mocap >= 0:
                data.mocap_pos[mocap] = position
            else:
                data.joint(name).qpos[:] = [*position, math.cos(yaw / 2.0), 0.0, 0.0, math.sin(yaw / 2.0)]

    def state_of(self, at: Mapping[str, Placement], tool: NamedVector) -> NamedVector:
        """As `state`, from where the objects stand (those of `draw`) and what else is in `tool` (ee.x, ee.y, ee.z)."""
        return {}

    def state(self, data: mujoco.MjData) -> NamedVector:
        return {}

    def measures(self, state: NamedVector) -> NamedVector:
        """Numbers derived from the state that a shaped reward may use."""
        return {}

    def succeeded(self, state: NamedVector) -> bool:
        raise NotImplementedError

    def failed(self, state: NamedVector) -> bool:
        return False

    def _outside(self, position: np.ndarray) -> bool:
        """Whether an object fell off the table or lies where the tool cannot go."""
        low, high = self.low[:2] - OUT_OF_REACH_M, self.high[:2] + OUT_OF_REACH_M
        return bool((position[:2] < low).any() or (position[:2] > high).any() or position[2] < -0.02)

    def _on_table(self, rng: np.random.Generator, half_x: float, half_y: float) -> np.ndarray:
        """A random (x, y) in a rectangle around the middle of the workspace."""
        return self.centre[:2] + rng.uniform([-half_x, -half_y], [half_x, half_y])


class Reach(Task):
    """Bring the tool to a target in the air."""

    def build(self, spec: mujoco.MjSpec, tool: Any, fingers: list[Any]) -> None:
        add_target(spec)

    def draw(self, rng: np.random.Generator) -> dict[str, Placement]:
        # Inside the box by more than the tolerance, so that no target asks for the very edge.
        margin = np.array([0.03, 0.05, 0.03])
        x, y, z = rng.uniform(self.low + margin, self.high - margin)
        return {'target': (float(x), float(y), float(z), 0.0)}

    def state_of(self, at: Mapping[str, Placement], tool: NamedVector) -> NamedVector:
        return _point('target', at['target'][:3])

    def state(self, data: mujoco.MjData) -> NamedVector:
        return _point('target', data.body('target').xpos)

    def measures(self, state: NamedVector) -> NamedVector:
        offset = _xyz(state, 'target') - _xyz(state, 'ee')
        return {**_point('offset', offset), 'distance': float(np.linalg.norm(offset))}

    def succeeded(self, state: NamedVector) -> bool:
        return math.dist(_xyz(state, 'ee'), _xyz(state, 'target')) <= REACH_TOLERANCE_M


class Push(Task):
    """Push a cube onto a disc, with the gripper closed."""

    gripper_starts_closed = True

    def build(self, spec: mujoco.MjSpec, tool: Any, fingers: list[Any]) -> None:
        add_disc(spec)
        add_cube(spec, PUSH_CUBE_M, PUSH_CUBE_KG)

    def draw(self, rng: np.random.Generator) -> dict[str, Placement]:
        # The tool has to get round the cube, so both stay away from the edges of the workspace.
        cube = self._on_table(rng, 0.05, 0.10)
        goal = self._on_table(rng, 0.07, 0.15)
        while not PUSH_WAY_M[0] <= math.dist(cube, goal) <= PUSH_WAY_M[1]:
            goal = self._on_table(rng, 0.07, 0.15)
        standing = _on_its_face(cube, PUSH_CUBE_M, rng.uniform(-0.2, 0.2))
        return {'cube': standing, 'goal': (float(goal[0]), float(goal[1]), 0.001, 0.0)}

    def fits(self, at: Mapping[str, Placement]) -> bool:
        return math.dist(at['cube'][:2], at['goal'][:2]) >= PUSH_WAY_M[0]

    def state_of(self, at: Mapping[str, Placement], tool: NamedVector) -> NamedVector:
        return {**_point('cube', at['cube'][:3]), 'goal.x': at['goal'][0], 'goal.y': at['goal'][1]}

    def state(self, data: mujoco.MjData) -> NamedVector:
        goal = data.body('goal').xpos
        return {**_point('cube', data.body('cube').xpos), 'goal.x': float(goal[0]), 'goal.y': float(goal[1])}

    def measures(self, state: NamedVector) -> NamedVector:
        # From the tool to the cube, and from the cube to the disc.
        way = {f'way.{axis}': state[f'goal.{axis}'] - state[f'cube.{axis}'] for axis in 'xy'}
        return {**_point('offset', _xyz(state, 'cube') - _xyz(state, 'ee')), **way}

    def succeeded(self, state: NamedVector) -> bool:
        distance = math.dist((state['cube.x'], state['cube.y']), (state['goal.x'], state['goal.y']))
        return distance <= PUSH_TOLERANCE_M and state['cube.z'] < PUSH_CUBE_M

    def failed(self, state: NamedVector) -> bool:
        return self._outside(_xyz(state, 'cube'))


class Lift(Task):
    """Grasp a cube and lift it.

    The tool starts anywhere over the table: a few demonstrations show every part of the way, but not from everywhere,
    which leaves learning something to do.
    """

    start_offset_m = (0.08, 0.14, 0.05)

    def build(self, spec: mujoco.MjSpec, tool: Any, fingers: list[Any]) -> None:
        add_cube(spec, LIFT_CUBE_M, LIFT_CUBE_KG)

    def draw(self, rng: np.random.Generator) -> dict[str, Placement]:
        cube = self._on_table(rng, 0.10, 0.16)
        return {'cube': _on_its_face(cube, LIFT_CUBE_M, rng.uniform(-0.3, 0.3))}

    def state_of(self, at: Mapping[str, Placement], tool: NamedVector) -> NamedVector:
        return {**_point('cube', at['cube'][:3]), 'cube.yaw': at['cube'][3]}

    def state(self, data: mujoco.MjData) -> NamedVector:
        cube = data.body('cube')
        yaw = math.atan2(cube.xmat[3], cube.xmat[0])
        return {**_point('cube', cube.xpos), 'cube.yaw': yaw}

    def measures(self, state: NamedVector) -> NamedVector:
        return _point('offset', _xyz(state, 'cube') - _xyz(state, 'ee'))

    def succeeded(self, state: NamedVector) -> bool:
        """The cube's lower side is high enough, and the cube is between the fingers."""
        height = state['cube.z'] - LIFT_CUBE_M / 2.0
        return height >= LIFT_HEIGHT_M and math.dist(_xyz(state, 'ee'), _xyz(state, 'cube')) < LIFT_CUBE_M * 0.75

    def failed(self, state: NamedVector) -> bool:
        return self._outside(_xyz(state, 'cube'))


class PegInsert(Task):
    """Put the square peg that the gripper holds into a square hole.

    The peg is fixed to the hand: what is learned is the insertion, and no start is lost to a slipped peg.
    """

    holds_peg = True
    gripper_starts_closed = True
    closed_on_m = PEG_WIDTH_M / 2.0

    def build(self, spec: mujoco.MjSpec, tool: Any, fingers: list[Any]) -> None:
        add_peg(spec, tool, fingers)
        add_block_with_hole(spec)

    def draw(self, rng: np.random.Generator) -> dict[str, Placement]:
        x, y = self._on_table(rng, 0.07, 0.10)
        return {'hole': (float(x), float(y), BLOCK_HEIGHT_M, 0.0)}

    def state_of(self, at: Mapping[str, Placement], tool: NamedVector) -> NamedVector:
        # The tool points straight down: only its position is commanded.
        peg = (tool['ee.x'], tool['ee.y'], tool['ee.z'] - PEG_BELOW_TOOL_M)
        return {**_point('peg', peg), **_point('hole', at['hole'][:3])}

    def state(self, data: mujoco.MjData) -> NamedVector:
        return {**_point('peg', data.site('peg_tip').xpos), **_point('hole', data.body('hole').xpos)}

    def measures(self, state: NamedVector) -> NamedVector:
        return _point('offset', _xyz(state, 'hole') - _xyz(state, 'peg'))

    def succeeded(self, state: NamedVector) -> bool:
        peg, hole = _xyz(state, 'peg'), _xyz(state, 'hole')
        inside = np.abs(peg[:2] - hole[:2]).max() <= 2.0 * HOLE_CLEARANCE_M
        return bool(inside and hole[2] - peg[2] >= INSERTION_DEPTH_M)


class Detour(Task):
    """Bring the tool to a target behind a post, round it on either side; touching the post is a failure.

    Both ways are as long and as good. What is wrong is to go half of each, straight ahead.
    """

    gripper_starts_closed = True
    start_shift_m = (0.0, -0.21, -0.13)
    start_offset_m = (0.02, 0.02, 0.02)

    def build(self, spec: mujoco.MjSpec, tool: Any, fingers: list[Any]) -> None:
        add_target(spec)
        add_post(spec)

    def draw(self, rng: np.random.Generator) -> dict[str, Placement]:
        post = self.centre[:2] + rng.uniform([-0.01, -0.01], [0.01, 0.01])
        behind = np.array([0.0, 0.14]) + rng.uniform([-0.02, -0.02], [0.02, 0.02])
        return {
            'post': (*post, POST_HEIGHT_M / 2.0, 0.0),
            'target': (*(self.centre[:2] + behind), 0.12, 0.0),
        }

    def state_of(self, at: Mapping[str, Placement], tool: NamedVector) -> NamedVector:
        return {**_point('target', at['target'][:3]), 'post.x': at['post'][0], 'post.y': at['post'][1]}

    def state(self, data: mujoco.MjData) -> NamedVector:
        post = data.body('post').xpos
        target = _point('target', data.body('target').xpos)
        return {**target, 'post.x': float(post[0]), 'post.y': float(post[1])}

    def succeeded(self, state: NamedVector) -> bool:
        return math.dist(_xyz(state, 'ee'), _xyz(state, 'target')) <= REACH_TOLERANCE_M

    def failed(self, state: NamedVector) -> bool:
        away = math.dist((state['ee.x'], state['ee.y']), (state['post.x'], state['post.y']))
        return away < POST_RADIUS_M + FINGERS_REACH_M and state['ee.z'] < POST_HEIGHT_M


TASKS: dict[str, type[Task]] = {
    'reach': Reach,
    'push': Push,
    'lift': Lift,
    'peg_insert': PegInsert,
    'detour': Detour,
}


def make_task(name: str, robot: RobotConfig, placed: Mapping[str, tuple[float, float]] | None = None) -> Task:
    """The task `name` within the workspace of `robot`. Raises UserError."""
    if name not in TASKS:
        raise UserError(f'task: {name!r} is not a task of the simulated arm; expected one of {", ".join(TASKS)}')
    return TASKS[name](robot, placed)


def _on_its_face(xy: np.ndarray, side_m: float, yaw: float) -> Placement:
    return (float(xy[0]), float(xy[1]), side_m / 2.0, yaw)


def _point(name: str, position: Iterable[float]) -> NamedVector:
    return {f'{name}.{axis}': float(value) for axis, value in zip('xyz', position, strict=True)}


def _xyz(state: NamedVector, name: str) -> np.ndarray:
    return np.array([state[f'{name}.x'], state[f'{name}.y'], state[f'{name}.z']])
