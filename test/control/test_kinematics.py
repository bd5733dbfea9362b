"""Inverse kinematics on targets that the arm can reach, near singularities, and along a square in the simulation."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from known_arms import NAMES, known_arm

from hybrid_rl_ros.config import ActionConfig, Config
from hybrid_rl_ros.control.action_space import make_action_space
from hybrid_rl_ros.control.arm_motion import ArmMotion
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.factory import make_simulation

ROBOT = load_robot('sim_arm')
KINEMATICS = ArmKinematics(ROBOT)


@pytest.mark.parametrize('name', NAMES)
def test_inverse_kinematics_finds_a_thousand_reachable_targets_within_the_limits(name):
    """Each target is the tool's pose at random joints; the search starts up to 0.3 rad away from them."""
    kinematics = ArmKinematics(known_arm(name))
    rng = np.random.default_rng(0)
    lower, upper = kinematics.lower_rad, kinematics.upper_rad
    found = 0
    for _ in range(1000):
        joints = rng.uniform(lower, upper)
        target = kinematics.tool_pose(joints)
        start = np.clip(joints + rng.uniform(-0.3, 0.3, len(joints)), lower, upper)
        solution = kinematics.solve(start, target)
        assert (solution >= lower).all() and (solution <= upper).all()
        reached = kinematics.tool_pose(solution)
        close = np.linalg.norm(reached.translation - target.translation) < 1e-4
        found += close and np.linalg.norm(reached.rotation - target.rotation) < 1e-3
    assert found >= 990


# Where the tool cannot go on, or loses a direction: the elbow of sim_arm, so101 and the URs, the wrist of the others.
SINGULAR_RAD = {
    'sim_arm': {3: 0.02},
    'so101': {2: 0.02, 3: 0.02},
    'xarm7': {3: 0.02, 5: 0.02},
    'panda': {3: -0.1, 5: 0.0},
    'ur5': {2: 0.02, 4: 0.0},
}


@pytest.mark.parametrize('name', NAMES)
def test_near_a_singularity_joint_speeds_stay_bounded(name):
    robot = known_arm(name)
    anywhere = {'workspace_low_m': (-2.0, -2.0, -2.0), 'workspace_high_m': (2.0, 2.0, 2.0)}
    robot = robot.model_copy(update={'limits': robot.limits.model_copy(update=anywhere)})
    kinematics = ArmKinematics(robot)
    space = make_action_space(kinematics, robot, ActionConfig(gripper=False), 0.05)
    joints = np.array(robot.home_rad)
    for joint, angle_rad in SINGULAR_RAD[name].items():
        joints[joint] = np.clip(angle_rad, kinematics.lower_rad[joint], kinematics.upper_rad[joint])
    space.sync(joints)
    rng = np.random.default_rng(0)
    for _ in range(200):
        target = space.step(rng.choice([-1.0, 1.0], 3) * 0.025, joints)
        assert (np.abs(target.arm_rad - joints) <= np.array(robot.joint_speeds_rad_s) * 0.05 + 1e-9).all()
        joints = target.arm_rad


def test_the_file_of_the_so101_fits_its_urdf():
    robot = known_arm('so101')
    kinematics = ArmKinematics(robot)
    home = np.array(robot.home_rad)
    assert (kinematics.lower_rad < home).all() and (home < kinematics.upper_rad).all()
    pose = kinematics.tool_pose(home)
    low, high = np.array(robot.limits.workspace_low_m), np.array(robot.limits.workspace_high_m)
    assert (low < pose.translation).all() and (pose.translation < high).all()
    np.testing.assert_allclose(pose.rotation[:, 2], [0.0, 0.0, -1.0], atol=0.02)


def test_the_simulated_arm_follows_a_square_within_three_millimetres():
    """0.1 m a side at 20 Hz and 0.1 m/s, commanded at 100 Hz; the error is measured against the square itself."""
    config = Config.model_validate(
        {'task': 'reach', 'control_rate_hz': 20.0, 'action': {'gripper': False}, 'sim': {'gl': 'off'}}
    )
    sim = make_simulation(config, ROBOT, 1)
    motion = ArmMotion(config, ROBOT)
    sim.reset(0)
    measured = sim.joint_state().position[:7]
    motion.start_at(measured)
    corner = KINEMATICS.tool_pose(measured).translation
    sides = np.array([[0, -1, 0], [0, 0, -1], [0, 1, 0], [0, 0, 1]]) * 0.005
    errors = []
    for side in np.repeat(sides, 20, axis=0):
        motion.act(side, sim.joint_state().position[:7])
        for _ in range(5):
            setpoint = motion.tick(sim.joint_state().position[:7])
            sim.command_joints(ROBOT.arm_joints, setpoint.position_rad, setpoint.duration_s)
            sim.advance(setpoint.duration_s)
            errors.append(
                _distance_to_square(KINEMATICS.tool_pose(sim.joint_state().position[:7]).translation - corner)
            )
    assert np.sqrt(np.mean(np.square(errors))) <= 0.003


def _distance_to_square(offset: np.ndarray) -> float:
    """From a point to the square with corners (0, 0) and (-0.1, -0.1) in y and z, m; x counts as it is."""
    y, z = offset[1], offset[2]
    sides = [np.hypot(z - level, y - np.clip(y, -0.1, 0.0)) for level in (0.0, -0.1)] + [
        np.hypot(y - level, z - np.clip(z, -0.1, 0.0)) for level in (0.0, -0.1)
    ]
    return float(np.hypot(min(sides), offset[0]))


@pytest.mark.parametrize('module', ['torch', 'mujoco'])
def test_the_gate_loads_neither_learning_nor_simulation(module):
    code = f'import sys, hybrid_rl_ros.nodes.safety_node; sys.exit({module!r} in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], timeout=60).returncode == 0
