"""Gazebo's worlds, one for each task, from the URDF and the numbers of MuJoCo's scene.

`python -m hybrid_rl_ros.sim.gazebo.worlds worlds config` writes the files of this repository anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hybrid_rl_ros.robot_config import RobotConfig, load_robot
from hybrid_rl_ros.sim.gazebo.arm_model import ArmModel, Control, optical_axes, write_camera
from hybrid_rl_ros.sim.gazebo.bridge import bridge_files
from hybrid_rl_ros.sim.gazebo.topics import POSES_HZ
from hybrid_rl_ros.sim.gazebo.xml import (
    Element,
    ElementTree,
    add,
    add_box,
    add_friction,
    add_inertial,
    add_material,
    add_plugin,
    add_pose,
    box_inertia,
    rpy_of,
    to_text,
)
from hybrid_rl_ros.sim.layout import (
    FLOOR_RGBA,
    FLOOR_Z_M,
    LAMP_AT_M,
    LAMP_DIRECTION,
    TABLE_AT_M,
    TABLE_FRICTION,
    TABLE_RGBA,
    TABLE_SIZE_M,
    camera_views,
)
from hybrid_rl_ros.sim.objects import (
    BLOCK_HEIGHT_M,
    BLOCK_WIDTH_M,
    BLUE,
    CUBE_FRICTION,
    GOAL_HALF_THICKNESS_M,
    GOAL_RADIUS_M,
    GREEN,
    LIFT_CUBE_KG,
    LIFT_CUBE_M,
    PEG_FRICTION,
    PUSH_CUBE_KG,
    PUSH_CUBE_M,
    RED,
    TARGET_RADIUS_M,
    hole_walls_m,
)
from hybrid_rl_ros.sim.tasks import Placement, make_task

TIMESTEP_S = 0.002
# MuJoCo's block with the hole cannot be moved at all; here its weight holds it, because a static model's collision
# shapes need not follow when an episode puts it elsewhere. Friction with the table: ten times the peg's push.
BLOCK_KG = 40.0
SDF_VERSION = '1.9'
TASKS_HERE = ('reach', 'push', 'lift', 'peg_insert')
COMMENT = 'Written by hybrid_rl_ros.sim.gazebo.worlds from urdf/ and the numbers of the MuJoCo scene; change those.'


def world_text(
    task_name: str, robot: RobotConfig, control: Control = 'gz', controllers: str = '', namespace: str = ''
) -> str:
    """The SDF of a task's world with the arm in it. For gz_ros2_control: its parameters' file, and its namespace."""
    task = make_task(task_name, robot)
    root = ElementTree.Element('sdf', {'version': SDF_VERSION})
    world = add(root, 'world', name=task_name)
    _write_physics(world)
    _write_surroundings(world)
    for name, view in camera_views(robot).items():
        if view.frame == robot.base_frame:
            model = _static_model(world, f'{name}_camera')
            write_camera(add(model, 'link', name='link'), name, view, np.zeros(3), np.eye(3))
            frame = add(model, 'frame', name=f'{name}_optical_frame')
            add_pose(frame, view.eye_m, rpy_of(optical_axes(view)))
    ArmModel(robot).write(world, task, control, controllers, namespace)
    for name, placement in task.draw(np.random.default_rng(0)).items():
        _OBJECTS[task_name, name](world, placement)
    return to_text(root, COMMENT)


def _write_physics(world: Element) -> None:
    physics = add(world, 'physics', name='default', type='dart')
    add(physics, 'max_step_size', TIMESTEP_S)
    add(physics, 'real_time_factor', 1.0)
    for system in ('physics', 'user-commands', 'scene-broadcaster'):
        add_plugin(world, system)
    add_plugin(world, 'sensors', render_engine='ogre2')
    add_plugin(world, 'forcetorque', 'ForceTorque')
    add(world, 'gravity', (0.0, 0.0, -9.81))


def _write_surroundings(world: Element) -> None:
    scene = add(world, 'scene')
    add(scene, 'ambient', (0.6, 0.6, 0.6, 1.0))
    add(scene, 'background', (0.0, 0.0, 0.0, 1.0))
    add(scene, 'shadows', False)
    lamp = add(world, 'light', name='lamp', type='directional')
    add_pose(lamp, LAMP_AT_M, (0, 0, 0))
    add(lamp, 'cast_shadows', False)
    add(lamp, 'diffuse', (0.5, 0.5, 0.5, 1.0))
    add(lamp, 'specular', (0.1, 0.1, 0.1, 1.0))
    add(lamp, 'direction', LAMP_DIRECTION)
    table = _static_model(world, 'table')
    add_pose(table, TABLE_AT_M, (0, 0, 0))
    _write_box(add(table, 'link', name='link'), 'table', TABLE_SIZE_M, TABLE_RGBA, TABLE_FRICTION)
    floor = _static_model(world, 'floor')
    add_pose(floor, (0.0, 0.0, FLOOR_Z_M), (0, 0, 0))
    link = add(floor, 'link', name='link')
    for kind in ('visual', 'collision'):
        element = add(link, kind, name=f'floor_{kind}')
        plane = add(add(element, 'geometry'), 'plane')
        add(plane, 'normal', (0.0, 0.0, 1.0))
        add(plane, 'size', (10.0, 10.0))
        if kind == 'visual':
            add_material(element, FLOOR_RGBA)


def _static_model(world: Element, name: str) -> Element:
    model = add(world, 'model', name=name)
    add(model, 'static', True)
    return model


def _write_box(link: Element, name: str, size: tuple[float, ...], rgba: tuple[float, ...], friction: float) -> None:
    for kind in ('visual', 'collision'):
        element = add(link, kind, name=f'{name}_{kind}')
        add_box(add(element, 'geometry'), size)
        add_material(element, rgba) if kind == 'visual' else add_friction(element, friction)


def _write_target(world: Element, at: Placement) -> None:
    visual = _marker(world, 'target', at)
    add(add(add(visual, 'geometry'), 'sphere'), 'radius', TARGET_RADIUS_M)
    add_material(visual, GREEN)


def _write_goal(world: Element, at: Placement) -> None:
    visual = _marker(world, 'goal', at)
    disc = add(add(visual, 'geometry'), 'cylinder')
    add(disc, 'radius', GOAL_RADIUS_M)
    add(disc, 'length', 2.0 * GOAL_HALF_THICKNESS_M)
    add_material(visual, GREEN)


def _marker(world: Element, name: str, at: Placement) -> Element:
    """The visual of something that is seen and not touched."""
    model = _static_model(world, name)
    add_pose(model, at[:3], (0, 0, 0))
    return add(add(model, 'link', name='link'), 'visual', name=f'{name}_visual')


def _write_cube(world: Element, at: Placement, side_m: float, mass_kg: float) -> None:
    model = add(world, 'model', name='cube')
    add_pose(model, at[:3], (0, 0, at[3]))
    link = add(model, 'link', name='link')
    size = (side_m, side_m, side_m)
    add_inertial(link, mass_kg, box_inertia(mass_kg, size))
    _write_box(link, 'cube', size, RED, CUBE_FRICTION)
    add_plugin(
        model,
        'pose-publisher',
        publish_model_pose=True,
        publish_link_pose=False,
        publish_nested_model_pose=False,
        use_pose_vector_msg=False,
        update_frequency=POSES_HZ,
    )


def _write_block(world: Element, at: Placement) -> None:
    """Its origin is the middle of the hole's mouth."""
    model = add(world, 'model', name='hole')
    add_pose(model, at[:3], (0, 0, 0))
    link = add(model, 'link', name='link')
    outer = (BLOCK_WIDTH_M, BLOCK_WIDTH_M, BLOCK_HEIGHT_M)
    add_inertial(link, BLOCK_KG, box_inertia(BLOCK_KG, outer), (0.0, 0.0, -BLOCK_HEIGHT_M / 2.0))
    for index, (x, y, half_x, half_y) in enumerate(hole_walls_m()):
        for kind in ('visual', 'collision'):
            wall = add(link, kind, name=f'wall{index}_{kind}')
            add_pose(wall, (x, y, -BLOCK_HEIGHT_M / 2.0), (0, 0, 0))
            add_box(add(wall, 'geometry'), (2.0 * half_x, 2.0 * half_y, BLOCK_HEIGHT_M))
            add_material(wall, BLUE) if kind == 'visual' else add_friction(wall, PEG_FRICTION)


_OBJECTS = {
    ('reach', 'target'): _write_target,
    ('push', 'goal'): _write_goal,
    ('push', 'cube'): lambda world, at: _write_cube(world, at, PUSH_CUBE_M, PUSH_CUBE_KG),
    ('lift', 'cube'): lambda world, at: _write_cube(world, at, LIFT_CUBE_M, LIFT_CUBE_KG),
    ('peg_insert', 'hole'): _write_block,
}


def generated_files(robot: RobotConfig) -> dict[str, str]:
    """Every file that is written from the sources, by its path in the repository."""
    worlds = {f'worlds/{task}.sdf': world_text(task, robot) for task in TASKS_HERE}
    return {**worlds, **{f'config/{name}': text for name, text in bridge_files(robot).items()}}


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else '.')
    for name, text in generated_files(load_robot('sim_arm')).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


if __name__ == '__main__':
    main()
