"""Joint states to named numbers."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.proprioception import Proprioception
from hybrid_rl_ros.robot_config import load_robot

ROBOT = load_robot('sim_arm')
KINEMATICS = ArmKinematics(ROBOT)
FINGERS = list(ROBOT.gripper.joints)
STILL = [0.0] * len(ROBOT.arm_joints)


def test_arm_and_gripper_in_messages_of_their_own():
    arm = Proprioception(ROBOT, KINEMATICS, ['ee.x', 'gripper.opening'])
    arm.read(ROBOT.arm_joints, ROBOT.home_rad, STILL, stamp_ns=20)
    assert arm.missing == FINGERS
    arm.read(FINGERS, [0.01, 0.01], [], stamp_ns=10)
    assert not arm.missing and arm.oldest_ns == 10
    numbers = arm.numbers()
    assert numbers['gripper.opening'] == pytest.approx(0.25)
    assert [numbers[f'ee.{axis}'] for axis in 'xyz'] == pytest.approx([0.45, 0.0, 0.25], abs=1e-4)
    assert numbers['ee.vx'] == 0.0


def test_the_gripper_is_needed_only_where_it_is_observed():
    arm = Proprioception(ROBOT, KINEMATICS, ['ee.x'])
    arm.read(ROBOT.arm_joints, ROBOT.home_rad, [], stamp_ns=1)
    assert not arm.missing
    assert 'ee.vx' not in arm.numbers() and 'gripper.opening' not in arm.numbers()


def test_a_reading_that_is_not_finite_ages_like_a_missing_one():
    arm = Proprioception(ROBOT, KINEMATICS, ['ee.x'])
    arm.read(ROBOT.arm_joints, ROBOT.home_rad, STILL, stamp_ns=1)
    arm.read(ROBOT.arm_joints, [np.nan, *ROBOT.home_rad[1:]], STILL, stamp_ns=2)
    assert arm.oldest_ns == 1
    assert arm.numbers()['joint1.position'] == ROBOT.home_rad[0]
