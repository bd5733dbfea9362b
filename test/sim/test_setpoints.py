"""Set-points move linearly by time step, as a one-point joint trajectory does."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.sim.setpoints import SetPoints


@pytest.fixture
def setpoints() -> SetPoints:
    points = SetPoints(np.full(3, -1.0), np.full(3, 1.0), 0.002)
    points.start_at(np.array([0.0, 0.5, -0.5]))
    return points


def test_half_the_time_is_half_the_way(setpoints):
    setpoints.move([0, 2], np.array([0.2, 0.3]), 0.1)
    for _ in range(25):
        position, velocity = setpoints.step()
    np.testing.assert_allclose(position, [0.1, 0.5, -0.1], atol=1e-12)
    np.testing.assert_allclose(velocity, [2.0, 0.0, 8.0], atol=1e-9)


def test_they_end_on_the_target_exactly_and_stand_still(setpoints):
    setpoints.move([0], np.array([0.1]), 0.1)
    for _ in range(50):
        assert setpoints.moving
        position, _ = setpoints.step()
    assert not setpoints.moving
    assert position[0] == 0.1


def test_a_new_command_goes_on_from_where_the_set_point_is(setpoints):
    setpoints.move([0], np.array([0.2]), 0.1)
    for _ in range(25):
        setpoints.step()
    setpoints.move([0], np.array([0.0]), 0.1)
    position, velocity = setpoints.step()
    assert position[0] == pytest.approx(0.1 - 0.1 / 50)
    assert velocity[0] == pytest.approx(-1.0)


def test_joints_that_are_commanded_apart_keep_their_own_time(setpoints):
    setpoints.move([0], np.array([0.1]), 0.1)
    setpoints.move([1], np.array([0.6]), 0.2)
    for _ in range(50):
        position, _ = setpoints.step()
    np.testing.assert_allclose(position, [0.1, 0.55, -0.5], atol=1e-12)


def test_targets_are_clipped_to_the_joint_limits(setpoints):
    setpoints.move([0], np.array([5.0]), 0.0)
    position, _ = setpoints.step()
    assert position[0] == 1.0


def test_many_steps_at_once_are_the_same_steps(setpoints):
    setpoints.move([0], np.array([0.1]), 0.05)
    setpoints.move([1, 2], np.array([0.6, 0.4]), 0.1)
    one_by_one = SetPoints(np.full(3, -1.0), np.full(3, 1.0), 0.002)
    one_by_one.start_at(np.array([0.0, 0.5, -0.5]))
    one_by_one.move([0], np.array([0.1]), 0.05)
    one_by_one.move([1, 2], np.array([0.6, 0.4]), 0.1)
    for count in (7, 30, 20):
        positions, velocities = setpoints.steps(count)
        singly = [one_by_one.step() for _ in range(count)]
        np.testing.assert_allclose(positions, [position for position, _ in singly], atol=1e-12)
        np.testing.assert_allclose(velocities, [velocity for _, velocity in singly], atol=1e-9)
    assert not setpoints.moving and (setpoints.position == [0.1, 0.6, 0.4]).all()
