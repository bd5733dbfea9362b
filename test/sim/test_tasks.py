"""What counts as success and as failure, on states with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.factory import make_simulation
from hybrid_rl_ros.sim.tasks import make_task

ROBOT = load_robot('sim_arm')


def _state(**points: tuple[float, ...]) -> dict[str, float]:
    return {
        f'{name}.{axis}': value for name, point in points.items() for axis, value in zip('xyz', point, strict=False)
    }


@pytest.mark.parametrize(('distance', 'success'), [(0.024, True), (0.026, False)])
def test_reach_succeeds_within_25_mm(distance, success):
    state = _state(ee=(0.4, 0.1, 0.2), target=(0.4, 0.1, 0.2 + distance))
    assert make_task('reach', ROBOT).succeeded(state) is success


@pytest.mark.parametrize(
    ('cube', 'success'), [((0.42, 0.02, 0.025), True), ((0.42, 0.025, 0.025), False), ((0.40, 0.0, 0.12), False)]
)
def test_push_succeeds_when_the_cube_lies_on_the_disc(cube, success):
    assert make_task('push', ROBOT).succeeded(_state(cube=cube, goal=(0.40, 0.0))) is success


@pytest.mark.parametrize(
    ('cube', 'tool', 'success'),
    [
        ((0.4, 0.0, 0.101), (0.4, 0.0, 0.10), True),
        ((0.4, 0.0, 0.099), (0.4, 0.0, 0.10), False),  # not high enough
        ((0.4, 0.0, 0.150), (0.4, 0.0, 0.20), False),  # high, but not in the gripper
    ],
)
def test_lift_succeeds_8_cm_above_the_table_and_between_the_fingers(cube, tool, success):
    assert make_task('lift', ROBOT).succeeded(_state(cube=cube, ee=tool)) is success


@pytest.mark.parametrize(
    ('peg', 'success'),
    [((0.4, 0.0, 0.029), True), ((0.4, 0.0, 0.031), False), ((0.407, 0.0, 0.02), False)],
)
def test_peg_insert_succeeds_2_cm_deep_in_the_hole(peg, success):
    assert make_task('peg_insert', ROBOT).succeeded(_state(peg=peg, hole=(0.4, 0.0, 0.05))) is success


@pytest.mark.parametrize('task', ['push', 'lift'])
@pytest.mark.parametrize(
    ('cube', 'failure'),
    [
        ((0.45, 0.0, 0.02), False),
        ((0.64, 0.0, 0.02), False),  # a little outside the workspace
        ((0.66, 0.0, 0.02), True),
        ((0.45, -0.31, 0.02), True),
        ((0.45, 0.0, -0.30), True),  # fell off the table
    ],
)
def test_an_object_out_of_reach_is_a_failure(task, cube, failure):
    assert make_task(task, ROBOT).failed(_state(cube=cube)) is failure


def test_lift_cubes_cover_their_area_and_lie_on_the_table():
    sim = make_simulation(Config(task='lift'), ROBOT, 1)
    starts = []
    for index in range(200):
        sim.reset(index)
        state = sim.task_state()
        starts.append([state['cube.x'], state['cube.y'], state['cube.yaw'], state['cube.z']])
    low, high = np.min(starts, axis=0), np.max(starts, axis=0)
    np.testing.assert_allclose(low, [0.35, -0.16, -0.3, 0.02], atol=0.02)
    np.testing.assert_allclose(high, [0.55, 0.16, 0.3, 0.02], atol=0.02)


def test_push_goals_are_neither_under_the_cube_nor_far_away():
    sim = make_simulation(Config(task='push'), ROBOT, 1)
    for index in range(100):
        sim.reset(index)
        state = sim.task_state()
        distance = np.hypot(state['cube.x'] - state['goal.x'], state['cube.y'] - state['goal.y'])
        assert 0.08 <= distance <= 0.20
        assert state['gripper.opening'] == 0.0


def test_the_peg_keeps_the_fingers_apart():
    sim = make_simulation(Config(task='peg_insert'), ROBOT, 1)
    sim.advance(2.0)
    assert sim.task_state()['gripper.opening'] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(('tool', 'failure'), [((0.401, 0.0), True), ((0.501, 0.0), False), ((0.45, -0.049), True)])
def test_touching_the_post_is_a_failure(tool, failure):
    """5 cm from its middle, which is 4 cm of post and 1 cm of finger; above it there is nothing to touch."""
    state = _state(ee=(*tool, 0.12), target=(0.45, 0.14, 0.12), post=(0.45, 0.0))
    assert make_task('detour', ROBOT).failed(state) is failure
    assert make_task('detour', ROBOT).failed({**state, 'ee.z': 0.21}) is False


def test_the_tool_starts_before_the_post_and_the_target_is_behind_it():
    sim = make_simulation(Config(task='detour'), ROBOT, 1)
    for index in range(50):
        sim.reset(index)
        state = sim.task_state()
        assert state['ee.y'] - state['post.y'] < -0.15 and state['target.y'] - state['post.y'] > 0.10
        assert abs(state['ee.x'] - state['post.x']) < 0.035 and not state['failure']


def test_an_unknown_task_is_a_user_error():
    with pytest.raises(UserError, match=r"'juggle'.*reach, push, lift, peg_insert, detour"):
        make_task('juggle', ROBOT)


def test_the_offsets_of_push_lead_from_the_tool_to_the_cube_and_from_there_to_the_disc():
    state = _state(cube=(0.45, 0.1, 0.02), goal=(0.5, -0.05), ee=(0.4, 0.0, 0.05))
    measured = make_task('push', ROBOT).measures(state)
    expected = {'offset.x': 0.05, 'offset.y': 0.1, 'offset.z': -0.03, 'way.x': 0.05, 'way.y': -0.15}
    assert measured == pytest.approx(expected)
