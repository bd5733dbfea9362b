"""Slopes down which an object comes back into reach, and objects that stand where they are told to."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.objects import PUSH_CUBE_M
from hybrid_rl_ros.sim.scene import build_scene
from hybrid_rl_ros.sim.tasks import make_task

ROBOT = load_robot('sim_arm')
LOW, HIGH = np.array(ROBOT.limits.workspace_low_m[:2]), np.array(ROBOT.limits.workspace_high_m[:2])


@pytest.mark.parametrize('yaw', [0.0, 0.6])
@pytest.mark.parametrize('at', [(0.63, 0.0), (0.27, 0.1), (0.45, 0.28), (0.45, -0.28), (0.62, 0.27), (0.28, -0.27)])
def test_a_cube_that_was_pushed_up_a_slope_comes_back_to_where_the_tool_gets_behind_it(at, yaw):
    model = build_scene(ROBOT, make_task('push', ROBOT), tray=True)
    data = mujoco.MjData(model)
    for name, angle in zip(ROBOT.arm_joints, ROBOT.home_rad, strict=True):
        data.joint(name).qpos[0] = angle
        data.actuator(name).ctrl[0] = angle
    data.joint('cube').qpos[:] = [*at, 0.12, math.cos(yaw / 2.0), 0.0, 0.0, math.sin(yaw / 2.0)]
    mujoco.mj_step(model, data, nstep=1500)
    cube = data.body('cube').xpos
    assert abs(cube[2] - PUSH_CUBE_M / 2.0) < 0.002, 'it lies flat on the table'
    # Room for the tool to come down behind it, inside the workspace.
    assert (cube[:2] - 0.06 > LOW).all() and (cube[:2] + 0.06 < HIGH).all()


def test_what_is_placed_stands_there_at_every_start_and_the_rest_is_drawn_to_fit():
    task = make_task('push', ROBOT, {'goal': (0.45, 0.12)})
    starts = [task.start(np.random.default_rng(seed)) for seed in range(50)]
    assert {start['goal'][:2] for start in starts} == {(0.45, 0.12)}
    assert all(math.dist(start['cube'][:2], (0.45, 0.12)) >= 0.08 for start in starts)
    assert len({start['cube'] for start in starts}) == 50


def test_what_cannot_be_placed_is_named():
    with pytest.raises(UserError, match=r"sim.placed: this task has no 'disc', only cube, goal"):
        make_task('push', ROBOT, {'disc': (0.4, 0.0)})
    with pytest.raises(UserError, match=r'goal at \[2.0, 0.0\] is out of reach'):
        make_task('push', ROBOT, {'goal': (2.0, 0.0)})
    with pytest.raises(UserError, match='leaves no room for a start'):
        make_task('push', ROBOT, {'goal': (0.4, 0.0), 'cube': (0.41, 0.0)}).start(np.random.default_rng(0))
