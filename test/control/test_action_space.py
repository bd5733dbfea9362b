"""What actions mean: bounds, workspace, speed, and where it starts."""

from __future__ import annotations

import numpy as np
import pinocchio
import pytest

from hybrid_rl_ros.config import ActionConfig
from hybrid_rl_ros.control.action_space import make_action_space
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.robot_config import load_robot

ROBOT = load_robot('sim_arm')
KINEMATICS = ArmKinematics(ROBOT)
HOME = np.array(ROBOT.home_rad)


@pytest.fixture
def controller():
    controller = make_action_space(KINEMATICS, ROBOT, ActionConfig(), period_s=0.1)
    controller.sync(HOME)
    return controller


def tool(joints_rad: np.ndarray) -> np.ndarray:
    return KINEMATICS.tool_pose(joints_rad).translation


def test_a_zero_action_stays_at_the_measured_state(controller):
    command = controller.step(np.array([0.0, 0.0, 0.0, 1.0]), HOME)
    assert np.allclose(command.arm_rad, HOME, atol=1e-4)
    assert command.gripper == ROBOT.gripper.open


def test_an_action_moves_the_tool_by_itself_and_keeps_its_orientation(controller):
    delta = np.array([0.01, -0.02, 0.015])
    command = controller.step(np.append(delta, -1.0), HOME)
    assert np.allclose(tool(command.arm_rad) - tool(HOME), delta, atol=1e-5)
    rotation = KINEMATICS.tool_pose(command.arm_rad).rotation
    assert np.allclose(rotation, KINEMATICS.tool_pose(HOME).rotation, atol=1e-4)
    assert command.gripper == ROBOT.gripper.closed


def test_the_tool_never_leaves_the_workspace_whatever_is_asked(controller):
    rng = np.random.default_rng(0)
    measured = HOME
    for _ in range(300):
        measured = controller.step(rng.uniform(-10, 10, 4), measured).arm_rad
        assert (tool(measured) >= np.array(ROBOT.limits.workspace_low_m) - 1e-4).all()
        assert (tool(measured) <= np.array(ROBOT.limits.workspace_high_m) + 1e-4).all()


def test_the_elbow_of_a_redundant_arm_stays_where_it_was_for_hours(controller):
    rng = np.random.default_rng(3)
    measured = HOME
    for _ in range(5000):
        way = rng.uniform(-0.025, 0.025, 3) + 0.1 * (
            rng.uniform(ROBOT.limits.workspace_low_m, ROBOT.limits.workspace_high_m) - tool(measured)
        )
        measured = controller.step(np.append(way, 0.0), measured).arm_rad
    for _ in range(60):
        measured = controller.step(np.append(tool(HOME) - tool(measured), 0.0), measured).arm_rad
    assert np.abs(measured - HOME).max() < 0.05


def test_a_tool_that_something_has_turned_comes_back_upright_while_it_moves_and_only_then(controller):
    turned = HOME + np.array([0.0, 0.1, 0.15, 0.0, 0.0, 0.2, -0.1])
    controller.sync(turned)
    for _ in range(20):
        stood = controller.step(np.array([0.0, 0.0, 0.0, 0.0]), turned).arm_rad
    assert np.allclose(stood, turned, atol=1e-6)
    measured = turned
    for step in range(100):
        way = 0.01 if step % 2 else -0.01
        measured = controller.step(np.array([way, 0.0, 0.0, 0.0]), measured).arm_rad
    off = KINEMATICS.tool_pose(measured).rotation.T @ KINEMATICS.tool_pose(HOME).rotation
    assert np.abs(pinocchio.log3(off)).max() < 1e-3
    assert np.linalg.norm(tool(measured) - tool(turned)) < 0.011


def test_no_joint_moves_faster_than_its_limit(controller):
    rng = np.random.default_rng(1)
    measured = HOME
    for _ in range(300):
        command = controller.step(rng.uniform(-1, 1, 4), measured)
        assert np.abs(command.arm_rad - measured).max() <= ROBOT.limits.joint_speed_rad_s * 0.1 + 1e-9
        measured = command.arm_rad


def test_pushing_against_the_workspace_is_reported_as_asked_and_as_moved(controller):
    """The learner sees the action it chose; what the limits made of it is told apart."""
    measured = HOME
    for _ in range(30):
        command = controller.step(np.array([0.025, 0.0, 0.0, 0.0]), measured)
        measured = command.arm_rad
    assert command.executed[0] == pytest.approx(0.025)
    assert command.moved_m[0] == pytest.approx(0.0, abs=1e-5)


def test_a_blocked_arm_is_not_wound_up(controller):
    """The set-point leads an arm that cannot move by two steps and no more."""
    for _ in range(20):
        command = controller.step(np.array([0.0, 0.025, 0.0, 0.0]), HOME)
    assert np.linalg.norm(tool(command.arm_rad) - tool(HOME)) <= 3 * 0.025 + 1e-4


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_an_action_that_is_not_finite_is_refused_before_any_limit(controller, bad):
    with pytest.raises(ValueError, match='finite'):
        controller.step(np.array([bad, 0.0, 0.0, 0.0]), HOME)
