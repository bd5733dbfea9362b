"""Both cameras see what a policy needs, at the size that a policy sees."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim import gl, rendering
from hybrid_rl_ros.sim.factory import make_simulation

ROBOT = load_robot('sim_arm')
CAMERAS = {'front': {}, 'wrist': {'width': 96, 'height': 64}}


@pytest.fixture
def lift():
    sim = make_simulation(Config(task='lift', observation={'cameras': CAMERAS}), ROBOT, 1)
    yield sim
    sim.close()


def _red(picture: np.ndarray) -> np.ndarray:
    """Where the picture shows the cube, (H, W) bool."""
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return (red > 90) & (red > 2.5 * green) & (red > 2.5 * blue)


def test_pictures_have_the_size_of_their_camera(lift):
    assert lift.cameras == {'front': (64, 64), 'wrist': (64, 96)}
    for camera, size in lift.cameras.items():
        picture = lift.render(camera)
        assert picture.shape == (*size, 3)
        assert picture.dtype == np.uint8


def test_the_front_camera_sees_the_cube_at_every_start(lift):
    for index in range(20):
        lift.reset(index)
        assert _red(lift.render('front')).sum() >= 10, index


def test_the_wrist_camera_sees_the_cube_between_the_fingers(lift):
    from hybrid_rl_ros.control.kinematics import ArmKinematics

    lift.reset(0)
    state = lift.task_state()
    kinematics = ArmKinematics(ROBOT)
    home = np.array(ROBOT.home_rad)
    above = kinematics.tool_pose(home)
    above.translation = np.array([state['cube.x'], state['cube.y'], state['cube.z'] + 0.06])
    lift.command_joints(ROBOT.arm_joints, kinematics.solve(home, above), 1.0)
    lift.advance(1.5)
    red = _red(lift.render('wrist'))
    assert red.sum() >= 60
    assert 32 < np.nonzero(red)[1].mean() < 64  # in the middle third


def test_the_cube_moves_to_the_right_in_the_front_picture_when_it_lies_to_the_left_of_the_robot(lift):
    """The front camera looks back at the robot, so the base's y axis points right in its picture."""
    columns, sides = [], []
    for index in range(12):
        lift.reset(index)
        columns.append(np.nonzero(_red(lift.render('front')))[1].mean())
        sides.append(lift.task_state()['cube.y'])
    assert np.corrcoef(columns, sides)[0, 1] > 0.95


def test_the_camera_matrix_projects_the_target_onto_its_picture():
    """reach's target, which is green, appears where a pinhole camera at the scene's front camera would show it."""
    sim = make_simulation(
        Config(task='reach', observation={'cameras': {'front': {'width': 256, 'height': 256}}}), ROBOT, 1
    )
    sim.reset(4)
    state = sim.task_state()
    picture = sim.render('front').astype(int)
    green = (picture[..., 1] > 80) & (picture[..., 1] > 2 * picture[..., 0]) & (picture[..., 1] > 2 * picture[..., 2])
    rows, columns = np.nonzero(green)
    camera = sim._data.camera('front')
    in_camera = camera.xmat.reshape(3, 3).T @ (np.array([state[f'target.{axis}'] for axis in 'xyz']) - camera.xpos)
    ray = sim.camera_matrix('front') @ (in_camera * [1.0, -1.0, -1.0])  # MuJoCo's camera looks along -z, y up
    np.testing.assert_allclose(ray[:2] / ray[2], [columns.mean(), rows.mean()], atol=2.0)
    sim.close()


def test_the_same_start_gives_the_same_picture(lift):
    lift.reset(5)
    first = {camera: lift.render(camera) for camera in lift.cameras}
    lift.reset(6)
    assert not np.array_equal(lift.render('front'), first['front'])
    lift.reset(5)
    for camera, picture in first.items():
        np.testing.assert_array_equal(lift.render(camera), picture)


def test_two_simulations_render_side_by_side(lift):
    other = make_simulation(Config(task='lift', observation={'cameras': CAMERAS}), ROBOT, 1)
    lift.reset(1)
    other.reset(1)
    np.testing.assert_array_equal(lift.render('front'), other.render('front'))
    other.close()
    np.testing.assert_array_equal(lift.render('front'), lift.render('front'))


def test_a_camera_that_is_not_configured_is_refused(lift):
    with pytest.raises(ValueError, match='front, wrist'):
        lift.render('ceiling')


def test_a_missing_opengl_library_is_named_with_its_package(lift, monkeypatch):
    def _missing(name: str) -> None:
        raise ImportError('Unable to load OSMesa')

    monkeypatch.setattr(rendering.importlib, 'import_module', _missing)
    with pytest.raises(UserError, match=r'osmesa.*Unable to load OSMesa.*apt install libosmesa6'):
        rendering.SceneRenderer(lift._model, lift.cameras, 'osmesa')


def test_no_cameras_means_no_opengl():
    """A machine without any OpenGL library still simulates: MuJoCo is told not to look for one."""
    code = (
        'import os, sys; os.environ.pop("MUJOCO_GL", None)\n'
        'from hybrid_rl_ros.config import Config\n'
        'from hybrid_rl_ros.robot_config import load_robot\n'
        'from hybrid_rl_ros.sim.factory import make_simulation\n'
        'sim = make_simulation(Config(task="lift", sim={"gl": "off"}), load_robot("sim_arm"), 1)\n'
        'sim.advance(0.1)\n'
        'assert sim.cameras == {}\n'
        'assert not {"OpenGL", "glfw"} & sys.modules.keys(), "OpenGL was loaded"\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)


def test_cameras_without_opengl_are_a_contradiction():
    with pytest.raises(UserError, match=r'sim\.gl.*front'):
        make_simulation(Config(task='lift', sim={'gl': 'off'}, observation={'cameras': {'front': {}}}), ROBOT, 1)


@pytest.mark.parametrize(('gpu', 'choice'), [(True, 'egl'), (False, 'osmesa')])
def test_the_gpu_renders_where_there_is_one(monkeypatch, gpu, choice):
    monkeypatch.delenv('MUJOCO_GL', raising=False)
    monkeypatch.setattr(gl.Path, 'exists', lambda path: False)
    monkeypatch.setattr(gl.shutil, 'which', lambda name: '/usr/bin/nvidia-smi' if gpu else None)
    assert gl.choose_gl('auto') == choice
    assert gl.choose_gl('osmesa') == 'osmesa'


def test_the_environment_has_the_last_word_over_auto(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'egl')
    assert gl.choose_gl('auto') == 'egl'
