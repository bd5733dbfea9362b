"""The URDF means the same to every reader, and describes bodies that can exist."""

from __future__ import annotations

import mujoco
import numpy as np
import pinocchio
import pytest

from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.scene import build_scene
from hybrid_rl_ros.sim.tasks import make_task

ROBOT = load_robot('sim_arm')
JOINTS = [*ROBOT.arm_joints, *ROBOT.gripper.joints]


@pytest.fixture(scope='module')
def model() -> mujoco.MjModel:
    return build_scene(ROBOT, make_task('reach', ROBOT))


@pytest.fixture(scope='module')
def urdf() -> pinocchio.Model:
    return pinocchio.buildModelFromUrdf(str(share_folder('urdf') / ROBOT.urdf))


def _poses(model: mujoco.MjModel, urdf: pinocchio.Model, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tool's 4x4 pose by MuJoCo and by pinocchio, for joint positions in the order of JOINTS."""
    data = mujoco.MjData(model)
    for name, value in zip(JOINTS, joints, strict=True):
        data.joint(name).qpos[0] = value
    mujoco.mj_kinematics(model, data)
    ours = np.eye(4)
    ours[:3, :3] = data.body(ROBOT.tool_frame).xmat.reshape(3, 3)
    ours[:3, 3] = data.body(ROBOT.tool_frame).xpos
    pin_data = urdf.createData()
    q = pinocchio.neutral(urdf)
    for name, value in zip(JOINTS, joints, strict=True):
        q[urdf.joints[urdf.getJointId(name)].idx_q] = value
    pinocchio.framesForwardKinematics(urdf, pin_data, q)
    return ours, pin_data.oMf[urdf.getFrameId(ROBOT.tool_frame)].homogeneous


def test_mujoco_and_pinocchio_agree_on_the_tool_pose(model, urdf):
    rng = np.random.default_rng(0)
    limits = np.array([model.joint(name).range for name in JOINTS])
    for joints in rng.uniform(limits[:, 0], limits[:, 1], (20, len(JOINTS))):
        ours, theirs = _poses(model, urdf, joints)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_at_home_the_tool_points_straight_down_over_the_table(model, urdf):
    pose, _ = _poses(model, urdf, np.array([*ROBOT.home_rad, 0.0, 0.0]))
    np.testing.assert_allclose(pose[:3, 2], [0.0, 0.0, -1.0], atol=1e-5)
    np.testing.assert_allclose(pose[:3, 3], [0.45, 0.0, 0.25], atol=1e-5)


def test_the_fingers_move_apart_along_the_tool_y_axis(model):
    data = mujoco.MjData(model)
    apart = []
    for opening in (0.0, ROBOT.gripper.open):
        for name in ROBOT.gripper.joints:
            data.joint(name).qpos[0] = opening
        mujoco.mj_kinematics(model, data)
        to_tool = data.body('tool').xmat.reshape(3, 3).T
        apart.append(to_tool @ (data.body('finger_left').xpos - data.body('finger_right').xpos))
    np.testing.assert_allclose(apart[1] - apart[0], [0.0, 2.0 * ROBOT.gripper.open, 0.0], atol=1e-9)


def test_every_moving_body_has_an_inertia_that_a_solid_can_have(urdf):
    """Positive mass and principal moments of which none exceeds the sum of the other two."""
    for name, inertia in zip(urdf.names[1:], urdf.inertias[1:], strict=True):
        assert inertia.mass > 0.0, name
        moments = np.sort(np.linalg.eigvalsh(inertia.inertia))
        assert moments[0] > 0.0, name
        assert moments[2] <= moments[0] + moments[1] + 1e-12, name


def test_every_joint_has_limits_that_contain_home(urdf):
    for name, home in zip(JOINTS, [*ROBOT.home_rad, 0.0, 0.0], strict=True):
        joint = urdf.joints[urdf.getJointId(name)]
        assert urdf.lowerPositionLimit[joint.idx_q] <= home <= urdf.upperPositionLimit[joint.idx_q]
        assert 0.0 < urdf.velocityLimit[joint.idx_v] < 10.0
        assert 0.0 < urdf.effortLimit[joint.idx_v] < 500.0


def test_actuators_never_exceed_the_efforts_of_the_urdf(model, urdf):
    for name in JOINTS:
        limit = urdf.effortLimit[urdf.joints[urdf.getJointId(name)].idx_v]
        np.testing.assert_allclose(model.actuator(name).forcerange, [-limit, limit])


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        ({'urdf': 'nowhere.urdf'}, 'nowhere.urdf'),
        ({'tool_frame': 'spoon'}, "'spoon'"),
        ({'gripper': ROBOT.gripper.model_copy(update={'joints': ['thumb']})}, "'thumb'"),
    ],
)
def test_a_robot_that_does_not_fit_its_urdf_is_a_user_error(change, named):
    robot = ROBOT.model_copy(update=change)
    with pytest.raises(UserError, match=named):
        build_scene(robot, make_task('reach', robot))


def test_a_file_that_is_no_urdf_is_a_user_error(tmp_path):
    path = tmp_path / 'robot.urdf'
    path.write_text('not xml')
    with pytest.raises(UserError, match=r'robot\.urdf'):
        build_scene(ROBOT.model_copy(update={'urdf': str(path)}), make_task('reach', ROBOT))
