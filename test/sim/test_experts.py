"""Experts solve their tasks from any start, with noise, and after a failure."""

from __future__ import annotations

import numpy as np
import pytest
from arm_loop import ArmLoop

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.sim.experts import make_expert

STEP_M = 0.025


def _outcomes(task: str, noise: float, episodes: int) -> tuple[float, float]:
    """Success rate, and the median number of steps."""
    loop = ArmLoop(Config(task=task))
    expert = make_expert(task, noise, 3, STEP_M)
    ends = [loop.episode(expert, index) for index in range(episodes)]
    return float(np.mean([state['success'] for state, _ in ends])), float(np.median([steps for _, steps in ends]))


@pytest.mark.parametrize(
    ('task', 'steps'), [('reach', 10), ('push', 30), ('lift', 35), ('peg_insert', 20), ('detour', 16)]
)
def test_an_expert_without_noise_always_succeeds(task, steps):
    rate, median = _outcomes(task, 0.0, 12)
    assert rate == 1.0
    assert median <= steps


@pytest.mark.slow
@pytest.mark.parametrize(
    ('task', 'noise', 'at_least'),
    [
        ('reach', 0.1, 0.95),
        ('push', 0.1, 0.95),
        ('lift', 0.1, 0.95),
        pytest.param('lift', 0.2, 0.95, marks=pytest.mark.long),
        ('peg_insert', 0.05, 0.8),
        ('detour', 0.1, 0.95),
    ],
)
def test_an_expert_with_noise_still_succeeds(task, noise, at_least):
    rate, _ = _outcomes(task, noise, 100)
    assert rate >= at_least


def test_the_lift_expert_tries_again_after_it_closed_beside_the_cube():
    loop = ArmLoop(Config(task='lift'))
    state = loop.reset(0)
    for _ in range(12):  # down beside the cube, gripper closed
        state = loop.step(np.array([0.0, 0.0, -STEP_M, -1.0]))
    assert state['gripper.opening'] < 0.1
    expert = make_expert('lift', 0.0, 1, STEP_M)
    for _ in range(60):
        state = loop.step(expert.act(state))
        if state['success']:
            break
    assert state['success'] == 1.0


def test_the_lift_expert_picks_up_what_it_dropped():
    loop = ArmLoop(Config(task='lift'))
    expert = make_expert('lift', 0.0, 1, STEP_M)
    state, _ = loop.episode(expert, 2)
    for _ in range(5):
        state = loop.step(np.array([0.0, 0.0, 0.0, 1.0]))
    assert state['success'] == 0.0
    for _ in range(60):
        state = loop.step(expert.act(state))
        if state['success']:
            break
    assert state['success'] == 1.0


def test_actions_stay_within_their_bounds_however_large_the_noise():
    expert = make_expert('reach', 3.0, 1, STEP_M)
    state = {'ee.x': 0.4, 'ee.y': 0.0, 'ee.z': 0.2, 'target.x': 0.5, 'target.y': 0.1, 'target.z': 0.1}
    actions = np.array([expert.act(state) for _ in range(100)])
    assert np.abs(actions[:, :3]).max() == pytest.approx(STEP_M)
    assert np.abs(actions[:, 3]).max() == pytest.approx(1.0)


def test_noise_has_the_deviation_that_was_asked_for():
    expert = make_expert('reach', 0.1, 1, STEP_M)
    state = {'ee.x': 0.4, 'ee.y': 0.0, 'ee.z': 0.2, 'target.x': 0.4, 'target.y': 0.0, 'target.z': 0.2}
    actions = np.array([expert.act(state) for _ in range(2000)])
    np.testing.assert_allclose(actions[:, :3].std(axis=0), 0.1 * STEP_M, rtol=0.1)


def test_the_same_seed_repeats_the_noise():
    state = {'ee.x': 0.4, 'ee.y': 0.0, 'ee.z': 0.2, 'target.x': 0.5, 'target.y': 0.1, 'target.z': 0.1}
    first, second = (make_expert('reach', 0.2, 9, STEP_M, gripper=False) for _ in range(2))
    for _ in range(3):
        action = first.act(state)
        assert action.shape == (3,)
        np.testing.assert_array_equal(action, second.act(state))


def test_the_detour_expert_takes_both_ways_equally_often_and_keeps_to_one_in_an_episode():
    expert = make_expert('detour', 0.0, 1, STEP_M, gripper=False)
    before = {'ee.x': 0.45, 'ee.y': -0.10, 'ee.z': 0.12, 'post.x': 0.45, 'post.y': 0.0}
    state = {**before, 'target.x': 0.45, 'target.y': 0.14, 'target.z': 0.12}
    sides = []
    for _ in range(200):
        expert.reset()
        actions = np.array([expert.act(state) for _ in range(3)])
        assert abs(np.sign(actions[:, 0]).sum()) == 3
        sides.append(actions[0, 0] > 0)
    assert np.mean(sides) == pytest.approx(0.5, abs=0.12)


def test_experts_that_cannot_be_are_user_errors():
    with pytest.raises(UserError, match='gymnasium'):
        make_expert('gymnasium', 0.0, 1, STEP_M)
    with pytest.raises(UserError, match='gripper'):
        make_expert('lift', 0.0, 1, STEP_M, gripper=False)
