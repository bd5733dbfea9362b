"""The simulated arm moves as commanded, holds what it should, and repeats itself exactly."""

from __future__ import annotations

import numpy as np
import pytest
from arm_loop import ArmLoop

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.experts import make_expert
from hybrid_rl_ros.sim.factory import make_simulation
from hybrid_rl_ros.sim.tasks import TASKS

ROBOT = load_robot('sim_arm')


@pytest.fixture(scope='module')
def held() -> ArmLoop:
    """The lift task at the moment when the cube has been lifted."""
    loop = ArmLoop(Config(task='lift'))
    state, _ = loop.episode(make_expert('lift', 0.0, 1, loop.config.action.max_step_m), 4)
    assert state['success'] == 1.0
    return loop


def _trajectory(seed: int, index: int, before: int = 0) -> list[np.ndarray]:
    loop = ArmLoop(Config(task='lift'), seed)
    loop.episode(make_expert('lift', 0.1, 5, 0.025), before, limit=5)
    expert = make_expert('lift', 0.1, 5, 0.025)
    state = loop.reset(index)
    numbers = [np.array(list(state.values()))]
    for _ in range(8):
        state = loop.step(expert.act(state))
        reading = loop.sim.joint_state()
        numbers.append(np.concatenate([list(state.values()), reading.position, reading.velocity, loop.sim.wrench()]))
    return numbers


def test_the_same_seed_and_index_give_the_same_trajectory_whatever_came_before():
    for ours, theirs in zip(_trajectory(3, 11, before=0), _trajectory(3, 11, before=2), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_seed_or_another_index_gives_another_start():
    start = _trajectory(3, 11)[0]
    assert not np.array_equal(start, _trajectory(4, 11)[0])
    assert not np.array_equal(start, _trajectory(3, 12)[0])


@pytest.mark.parametrize('task', TASKS)
def test_every_start_is_where_the_task_has_it_at_rest_and_undecided(task):
    sim = make_simulation(Config(task=task), ROBOT, 1)
    home = ArmKinematics(ROBOT).tool_pose(np.array(ROBOT.home_rad)).translation
    for index in range(30):
        sim.reset(index)
        state = sim.task_state()
        offset = np.abs(np.array([state['ee.x'], state['ee.y'], state['ee.z']]) - home - TASKS[task].start_shift_m)
        assert (offset <= np.array(TASKS[task].start_offset_m) + 1e-5).all()
        np.testing.assert_allclose(sim.joint_state().velocity, 0.0)
        np.testing.assert_allclose(sim.wrench(), 0.0, atol=1e-6)
        assert (state['success'], state['failure']) == (0.0, 0.0)


def test_the_arm_does_not_droop_in_five_seconds():
    sim = make_simulation(Config(task='reach'), ROBOT, 1)
    before = sim.joint_state().position
    sim.advance(5.0)
    np.testing.assert_allclose(sim.joint_state().position, before, atol=1e-6)


@pytest.mark.parametrize('direction', [(1, 0, 0), (0, 1, 0), (0, 0, -1), (-1, -1, 1)])
def test_a_tool_step_of_25_mm_is_tracked_within_2_mm(direction):
    loop = ArmLoop(Config(task='reach'))
    start = loop.reset(0)
    step = 0.025 * np.array(direction)
    for number in range(1, 4):
        state = loop.step(np.append(step, 1.0))
        moved = [state[f'ee.{axis}'] - start[f'ee.{axis}'] for axis in 'xyz']
        assert np.linalg.norm(moved - number * step) < 0.002


def test_joints_are_commanded_by_name_in_any_order():
    sim = make_simulation(Config(task='reach'), ROBOT, 1)
    start = sim.joint_state()
    sim.command_joints(['joint3', 'joint1'], np.array([0.1, -0.2]), 0.2)
    sim.advance(0.1)
    halfway = sim.joint_state().position - start.position
    sim.advance(0.4)
    end = sim.joint_state().position
    names = start.names
    assert halfway[names.index('joint1')] == pytest.approx((-0.2 - start.position[0]) / 2.0, abs=0.01)
    assert end[names.index('joint3')] == pytest.approx(0.1, abs=1e-3)
    assert end[names.index('joint1')] == pytest.approx(-0.2, abs=1e-3)
    np.testing.assert_allclose(end[3:], start.position[3:], atol=1e-3)


def test_commands_that_make_no_sense_are_refused():
    sim = make_simulation(Config(task='reach'), ROBOT, 1)
    with pytest.raises(ValueError, match='elbow'):
        sim.command_joints(['elbow'], np.zeros(1), 0.1)
    with pytest.raises(ValueError, match='finite'):
        sim.command_joints(['joint1'], np.array([np.nan]), 0.1)
    with pytest.raises(ValueError, match='2 finite positions'):
        sim.command_joints(['joint1', 'joint2'], np.zeros(1), 0.1)
    with pytest.raises(TypeError, match='joint commands'):
        sim.command_action(np.zeros(4))


def test_the_gripper_opening_runs_from_closed_to_open():
    sim = make_simulation(Config(task='reach'), ROBOT, 1)
    assert sim.task_state()['gripper.opening'] == 1.0
    for target, opening in ((0.0, 0.0), (0.02, 0.5)):
        sim.command_joints(ROBOT.gripper.joints, np.full(2, target), 0.4)
        sim.advance(0.6)
        assert sim.task_state()['gripper.opening'] == pytest.approx(opening, abs=0.01)


def test_durations_that_are_no_multiple_of_the_time_step_do_not_drift():
    sim = make_simulation(Config(task='reach'), ROBOT, 1)
    start = sim.joint_state()
    sim.command_joints(['joint1'], np.array([0.3]), 1.0)
    for _ in range(15):
        sim.advance(1.0 / 30.0)
    half = sim.joint_state()
    assert half.position[0] == pytest.approx((start.position[0] + 0.3) / 2.0, abs=0.002)
    sim.reset(0)
    sim.command_joints(['joint1'], np.array([0.3]), 1.0)
    sim.advance(0.5)
    np.testing.assert_allclose(sim.joint_state().position, half.position, atol=1e-9)


def test_a_held_cube_stays_in_the_fingers_for_ten_seconds(held):
    before = held.sim.task_state()
    held.sim.advance(10.0)
    after = held.sim.task_state()
    for axis in 'xyz':
        assert abs(after[f'cube.{axis}'] - before[f'cube.{axis}']) < 0.002


def test_the_wrench_shows_the_weight_of_what_is_held(held):
    """100 g pull with 0.98 N along the flange's z axis, which points down."""
    held.sim.advance(2.0)
    np.testing.assert_allclose(held.sim.wrench()[:3], [0.0, 0.0, 0.981], atol=0.01)


def test_the_fingers_press_with_the_force_of_their_limits(held):
    np.testing.assert_allclose(held.sim.joint_state().effort[-2:], -20.0, atol=0.1)


def test_a_camera_that_the_arm_does_not_have_is_a_user_error():
    config = Config(task='reach', observation={'cameras': {'ceiling': {}}})
    with pytest.raises(UserError, match=r"'ceiling'.*front, wrist"):
        make_simulation(config, ROBOT, 1)
