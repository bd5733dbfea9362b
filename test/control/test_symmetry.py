"""What can be its own mirror image, as far as an arm and its numbers go, and that the simulated rig is."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.control.arm_specs import arm_specs
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.data.reflection import sign_of
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig, load_robot
from hybrid_rl_ros.sim.gl import choose_gl
from hybrid_rl_ros.sim.rendering import SceneRenderer
from hybrid_rl_ros.sim.scene import build_scene
from hybrid_rl_ros.sim.tasks import make_task

ROBOT = load_robot('sim_arm')
UPRIGHT = ('joint1', 'joint3', 'joint5', 'joint7')  # at home


def specs_of(robot: RobotConfig = ROBOT, state: tuple[str, ...] = ('ee.x', 'ee.y')) -> Specs:
    config = Config.model_validate({'symmetry': 'left_right', 'observation': {'state': list(state)}})
    return arm_specs(config, robot, ArmKinematics(robot))


@pytest.mark.parametrize(
    'name, sign',
    [
        *((name, 1) for name in ('ee.x', 'ee.vz', 'ee.dx', 'ee.dry', 'gripper', 'gripper.opening', 'task.distance')),
        *((name, -1) for name in ('ee.y', 'ee.yaw', 'ee.vy', 'ee.dy', 'ee.drx', 'ee.drz', 'task.cube.y')),
        *((name, None) for name in ('joint1.position', 'wrench.fy', 'practice.y', 'task.next', 'y')),
    ],
)
def test_names_say_what_changes_its_sign(name, sign):
    assert sign_of(name) == sign


def test_the_configuration_of_push_can_be_mirrored():
    config = load_config(share_folder('config') / 'sim_push.yaml')
    assert config.symmetry == 'left_right'
    arm_specs(config, ROBOT, ArmKinematics(ROBOT))


def test_a_number_without_a_mirror_image_is_named():
    with pytest.raises(UserError, match='symmetry: left_right: joint1.position has no mirror image that is known'):
        specs_of(state=('ee.x', 'joint1.position'))


@pytest.mark.parametrize(
    'joint, turned, complaint', [(0, 0.3, '0.133 m beside the x-z plane'), (6, math.pi / 2, 'its x axis 1.57 rad out')]
)
def test_a_tool_that_begins_beside_the_plane_or_turned_out_of_it_is_refused(joint, turned, complaint):
    home = list(ROBOT.home_rad)
    home[joint] += turned
    with pytest.raises(UserError, match=complaint):
        specs_of(ROBOT.model_copy(update={'home_rad': home}))


def test_both_cameras_see_the_simulated_rig_mirrored_as_its_mirror_image():
    """Arm, cube and disc on the one side, and on the other: but for the lamp the pictures are the same, mirrored."""
    model = build_scene(ROBOT, make_task('push', ROBOT))
    renderer = SceneRenderer(model, {'front': (64, 64), 'wrist': (64, 64)}, choose_gl('auto'))
    seen: dict[str, list[np.ndarray]] = {'front': [], 'wrist': []}
    for side in (1.0, -1.0):
        data = mujoco.MjData(model)
        # In a mirror these turn the other way.
        for name, at_home, moved in zip(ROBOT.arm_joints, ROBOT.home_rad, (0.1, 0.1, 0.1, 0.2, -0.1, 0.1, 0.05)):
            data.joint(name).qpos[0] = at_home + moved * (side if name in UPRIGHT else 1.0)
        turned = 0.15 * side
        data.joint('cube').qpos[:] = [0.45, 0.08 * side, 0.02, math.cos(turned / 2), 0, 0, math.sin(turned / 2)]
        data.mocap_pos[int(model.body('goal').mocapid[0])] = [0.5, -0.06 * side, 0.001]
        mujoco.mj_forward(model, data)
        for camera, pictures in seen.items():
            pictures.append(renderer.render(model, data, camera).astype(float))
    renderer.close()
    for camera, (here, there) in seen.items():
        assert np.abs(here - there[:, ::-1]).mean() < 2.0, camera
        assert np.abs(here - there).mean() > 5.0, f'{camera}: otherwise this tests nothing'
