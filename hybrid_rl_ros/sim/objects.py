"""The things on the table, as MuJoCo has them; Gazebo's models are made from the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Only what builds MuJoCo's scene needs it; Gazebo reads the sizes without it.
    import mujoco

LIFT_CUBE_M = 0.04
LIFT_CUBE_KG = 0.1
PUSH_CUBE_M = 0.05
PUSH_CUBE_KG = 0.15
CUBE_FRICTION = 0.5
TARGET_RADIUS_M = 0.02
GOAL_HALF_THICKNESS_M = 0.0005
PEG_KG = 0.05
PEG_LENGTH_M = 0.07
PEG_FRICTION = 0.3
PEG_WIDTH_M = 0.02
PEG_BELOW_TOOL_M = 0.05
HOLE_CLEARANCE_M = 0.0025  # per side
BLOCK_WIDTH_M = 0.10
BLOCK_HEIGHT_M = 0.05
GOAL_RADIUS_M = 0.03
POST_RADIUS_M = 0.04
POST_HEIGHT_M = 0.20

RED = (0.90, 0.08, 0.08, 1.0)
GREEN = (0.10, 0.75, 0.20, 1.0)
BLUE = (0.08, 0.30, 0.90, 1.0)
ORANGE = (1.0, 0.50, 0.0, 1.0)

# What the fingers and loose objects may touch; arm geoms are (1, 2), so that the arm never collides with itself.
OBJECT_CONTACT = {'contype': 2, 'conaffinity': 3}
NO_CONTACT = {'contype': 0, 'conaffinity': 0}


def add_target(spec: mujoco.MjSpec) -> None:
    """A place in the air."""
    import mujoco

    target = spec.worldbody.add_body(name='target', mocap=True)
    target.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[TARGET_RADIUS_M, 0, 0], rgba=GREEN, **NO_CONTACT)


def add_disc(spec: mujoco.MjSpec) -> None:
    """Where a cube is pushed to."""
    import mujoco

    goal = spec.worldbody.add_body(name='goal', mocap=True)
    size = [GOAL_RADIUS_M, GOAL_HALF_THICKNESS_M, 0]
    goal.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=size, rgba=GREEN, **NO_CONTACT)


def add_post(spec: mujoco.MjSpec) -> None:
    """What the way goes round."""
    import mujoco

    post = spec.worldbody.add_body(name='post', mocap=True)
    size = [POST_RADIUS_M, POST_HEIGHT_M / 2.0, 0]
    post.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=size, rgba=RED, **NO_CONTACT)


def add_cube(spec: mujoco.MjSpec, side_m: float, mass_kg: float) -> None:
    import mujoco

    cube = spec.worldbody.add_body(name='cube', pos=[0, 0, side_m / 2.0])
    cube.add_freejoint(name='cube')
    cube.add_geom(
        name='cube',
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[side_m / 2.0] * 3,
        mass=mass_kg,
        rgba=RED,
        condim=4,
        friction=[CUBE_FRICTION, 0.005, 0.0001],
        solref=[0.004, 1.0],
        solimp=[0.95, 0.99, 0.001, 0.5, 2.0],
        **OBJECT_CONTACT,
    )


def add_peg(spec: mujoco.MjSpec, tool: Any, fingers: list[Any]) -> None:
    """In the hand, from the tool's point down."""
    import mujoco

    half = PEG_WIDTH_M / 2.0
    peg = tool.add_body(name='peg', gravcomp=1.0)
    geom = peg.add_geom(
        name='peg',
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[half, half, PEG_LENGTH_M / 2.0],
        pos=[0, 0, PEG_BELOW_TOOL_M - PEG_LENGTH_M / 2.0],
        mass=PEG_KG,
        rgba=ORANGE,
        friction=[PEG_FRICTION, 0.005, 0.0001],
        **OBJECT_CONTACT,
    )
    peg.add_site(name='peg_tip', pos=[0, 0, PEG_BELOW_TOOL_M])
    # Bodies of one rigid chain do not collide by themselves; without this the fingers would close through the peg.
    for finger in fingers:
        spec.add_pair(geomname1=geom.name, geomname2=finger.name, condim=4, friction=[1.0, 1.0, 0.01, 1e-4, 1e-4])


def hole_walls_m() -> list[tuple[float, float, float, float]]:
    """Middle (x, y) and half sizes of the walls around the hole."""
    inner = PEG_WIDTH_M / 2.0 + HOLE_CLEARANCE_M
    outer = BLOCK_WIDTH_M / 2.0
    thickness = (outer - inner) / 2.0
    middle = (outer + inner) / 2.0
    walls = [(middle, 0.0, thickness, outer), (-middle, 0.0, thickness, outer)]
    return [*walls, (0.0, middle, inner, thickness), (0.0, -middle, inner, thickness)]


def add_block_with_hole(spec: mujoco.MjSpec) -> None:
    """Four walls around a square hole; the body's origin is the middle of the hole's mouth."""
    import mujoco

    block = spec.worldbody.add_body(name='hole', mocap=True, pos=[0, 0, BLOCK_HEIGHT_M])
    for x, y, half_x, half_y in hole_walls_m():
        block.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[x, y, -BLOCK_HEIGHT_M / 2.0],
            size=[half_x, half_y, BLOCK_HEIGHT_M / 2.0],
            rgba=BLUE,
            friction=[PEG_FRICTION, 0.005, 0.0001],
            **OBJECT_CONTACT,
        )
