"""What an arm does at the edge of its workspace, where a policy will push it sooner or later."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.arm_motion import ArmMotion
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.robot_config import load_robot

ROBOT = load_robot('sim_arm')
KINEMATICS = ArmKinematics(ROBOT)
LOW, HIGH = np.array(ROBOT.limits.workspace_low_m), np.array(ROBOT.limits.workspace_high_m)
STEP_M = 0.025


@pytest.mark.parametrize(
    ('outwards', 'along'),
    [
        ((0, 0, -1), (0, 0.5, 0)),
        ((0, 0, -1), (0.3, 0.3, 0)),
        ((0, 0, 1), (0.2, 0.1, 0)),
        ((1, 0, 0), (0, 0.5, 0)),
        ((-1, 0, 0), (0, 0.5, 0)),
        ((0, 1, 0), (0.4, 0, 0)),
        ((1, 0, -1), (0, 0.2, 0)),
        ((-1, 0, -1), (0, 0.2, 0)),
        ((0, 1, -1), (0.3, 0, 0)),
    ],
)
def test_pushing_against_the_workspace_the_tool_goes_on_along_its_edge(outwards, along):
    """To the edge, and then along it at the speed that was asked for; never outside."""
    motion = ArmMotion(Config(task='push', action={'gripper': False}), ROBOT)
    joints = np.array(ROBOT.home_rad, dtype=float)
    motion.start_at(joints)
    outwards, along = np.array(outwards, float), np.array(along, float)
    places = []
    for step in range(25):
        motion.act(STEP_M * (outwards if step < 18 else outwards + along), joints)
        joints = motion.whole_step().position_rad
        places.append(KINEMATICS.tool_pose(joints).translation)
        assert (places[-1] >= LOW - 1e-6).all()
        assert (places[-1] <= HIGH + 1e-6).all()
    speed = (places[-1] - places[-6]) / (5 * STEP_M)
    np.testing.assert_allclose(speed, along, atol=0.05)
    assert 'workspace' in motion.limited_by
