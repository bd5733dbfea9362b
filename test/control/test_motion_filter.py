"""Whatever is asked for, set-points stay inside position, speed, acceleration and the regions, and can come back."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.motion_filter import MotionFilter, Push
from hybrid_rl_ros.control.regions import WorkspaceBox, regions_of
from hybrid_rl_ros.robot_config import BoxConfig, RobotConfig, load_robot

ROBOT = load_robot('sim_arm')
KINEMATICS = ArmKinematics(ROBOT)
HOME = np.array(ROBOT.home_rad)
PERIOD_S = 0.01
ACCELERATION = np.array(ROBOT.joint_accelerations_rad_s2)
SPEED = np.array(ROBOT.joint_speeds_rad_s)


def limited(**limits: object) -> RobotConfig:
    return ROBOT.model_copy(update={'limits': ROBOT.limits.model_copy(update=limits)})


def make_filter(robot: RobotConfig = ROBOT, start: np.ndarray = HOME) -> MotionFilter:
    motion_filter = MotionFilter(robot, KINEMATICS, regions_of(robot, KINEMATICS), PERIOD_S)
    motion_filter.start_at(start)
    return motion_filter


def tool(joints: np.ndarray) -> np.ndarray:
    return KINEMATICS.tool_pose(joints).translation


def tool_goal(offset: tuple[float, float, float], start: np.ndarray = HOME) -> np.ndarray:
    pose = KINEMATICS.tool_pose(start)
    pose.translation = pose.translation + np.array(offset)
    return KINEMATICS.solve(start, pose)


def settle(motion_filter: MotionFilter, goal: np.ndarray, periods: int = 600) -> list[np.ndarray]:
    return [motion_filter.step(goal).position_rad for _ in range(periods)]


def test_a_goal_is_reached_and_not_overshot():
    goal = tool_goal((0.05, -0.08, 0.04))
    way = np.array(settle(make_filter(), goal))
    np.testing.assert_allclose(way[-1], goal, atol=1e-9)
    share = (way - HOME) / (goal - HOME)
    assert share.max() <= 1.0 + 1e-9
    assert (np.diff(way, axis=0) * np.sign(goal - HOME) >= -1e-12).all()


def test_random_goals_never_break_position_speed_acceleration_or_the_workspace():
    rng = np.random.default_rng(0)
    motion_filter = make_filter()
    low, high = np.array(ROBOT.limits.workspace_low_m), np.array(ROBOT.limits.workspace_high_m)
    position, velocity = HOME, np.zeros(7)
    limits = set()
    for _ in range(150):
        goal = HOME + rng.uniform(-3, 3, 7) * rng.choice([0.05, 1.0])
        for _ in range(int(rng.integers(1, 20))):
            motion = motion_filter.step(goal, left_s=rng.choice([0.0, 0.02, 0.1]))
            limits |= set(motion.limited_by)
            np.testing.assert_allclose(motion.position_rad - position, motion.velocity_rad_s * PERIOD_S, atol=1e-12)
            assert (np.abs(motion.velocity_rad_s) <= SPEED + 1e-9).all()
            assert (np.abs(motion.velocity_rad_s - velocity) <= ACCELERATION * PERIOD_S + 1e-9).all()
            assert (motion.position_rad >= KINEMATICS.lower_rad - 1e-9).all()
            assert (motion.position_rad <= KINEMATICS.upper_rad + 1e-9).all()
            assert (tool(motion.position_rad) >= low - 2e-3).all()
            assert (tool(motion.position_rad) <= high + 2e-3).all()
            position, velocity = motion.position_rad, motion.velocity_rad_s
    assert {'workspace', 'joint_speed'} <= limits


def test_a_joint_stops_exactly_at_its_limit():
    """Held by the limits alone: no region in the way."""
    motion_filter = MotionFilter(ROBOT, KINEMATICS, [], PERIOD_S)
    motion_filter.start_at(HOME)
    goal = HOME.copy()
    goal[6] = 100.0
    motion = [motion_filter.step(goal) for _ in range(500)][-1]
    assert motion.position_rad[6] == pytest.approx(KINEMATICS.upper_rad[6], abs=1e-9)
    assert 'joint_position' in motion.limited_by


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_before_any_limit_sees_it(bad):
    motion_filter = make_filter()
    goal = HOME.copy()
    goal[3] = bad
    with pytest.raises(ValueError, match='finite'):
        motion_filter.step(goal)
    np.testing.assert_array_equal(motion_filter.position, HOME)


def test_braking_stops_within_the_stopping_distance():
    motion_filter = make_filter()
    goal = HOME + 0.5
    for _ in range(12):
        motion_filter.step(goal)
    start, speed = motion_filter.position, np.abs(motion_filter.velocity)
    while not motion_filter.at_rest:
        motion_filter.brake()
    stopping = speed**2 / (2 * ACCELERATION)
    assert (np.abs(motion_filter.position - start) <= stopping + 1e-9).all()
    assert speed.max() > 0.5


def test_outside_the_workspace_the_arm_may_come_back_and_go_no_further_out():
    outside = tool_goal((0.0, 0.0, 0.15))
    assert tool(outside)[2] > ROBOT.limits.workspace_high_m[2]
    up, down = make_filter(start=outside), make_filter(start=outside)
    settle(up, tool_goal((0.0, 0.0, 0.03), outside))
    assert tool(up.position)[2] == pytest.approx(tool(outside)[2], abs=1e-4)
    settle(down, HOME)
    np.testing.assert_allclose(down.position, HOME, atol=1e-6)


def test_a_box_in_the_way_is_not_touched_and_left_again():
    post = BoxConfig(name='post', size_m=(0.02, 0.02, 0.5), at_m=(0.45, -0.12, 0.25))
    robot = limited(scene=[post], scene_distance_m=0.02)
    motion_filter = make_filter(robot)
    region = next(region for region in regions_of(robot, KINEMATICS) if region.name == 'scene_collision')
    blocked = settle(motion_filter, tool_goal((0.0, -0.2, 0.0)))
    assert max(region.excess(joints) for joints in blocked[::10]) <= 1e-3
    assert tool(blocked[-1])[1] < -0.01
    assert 'scene_collision' in motion_filter.step(tool_goal((0.0, -0.2, 0.0))).limited_by
    settle(motion_filter, HOME)
    np.testing.assert_allclose(motion_filter.position, HOME, atol=1e-6)


def test_links_that_are_no_neighbours_keep_their_distance():
    robot = limited(self_distance_m=0.02)
    region = next(region for region in regions_of(robot, KINEMATICS) if region.name == 'self_collision')
    folded = np.array([-0.69, 1.0, -0.63, 2.59, 2.74, 2.08, -2.88])
    assert region.excess(folded) > 0.0
    motion_filter = MotionFilter(robot, KINEMATICS, [region], PERIOD_S)
    motion_filter.start_at(HOME)
    way = settle(motion_filter, folded, 400)
    assert -0.01 < max(region.excess(joints) for joints in way) <= 1e-3
    assert 'self_collision' in motion_filter.step(folded).limited_by
    settle(motion_filter, HOME)
    np.testing.assert_allclose(motion_filter.position, HOME, atol=1e-6)


def test_the_tool_leans_no_further_than_its_cone():
    robot = limited(max_tilt_rad=0.3)
    motion_filter = make_filter(robot)
    goal = HOME.copy()
    goal[5] += 1.0
    settle(motion_filter, goal)
    cosine = KINEMATICS.tool_pose(motion_filter.position).rotation[:, 2] @ KINEMATICS.tool_pose(HOME).rotation[:, 2]
    assert 0.25 < np.arccos(cosine) <= 0.3 + 1e-3


def test_a_pushed_tool_only_retreats():
    push = Push(force=np.array([0.0, 0.0, 1.0]), torque=np.zeros(3))
    down, up = tool_goal((0.0, 0.0, -0.05)), tool_goal((0.0, 0.0, 0.05))
    motion_filter = make_filter()
    assert 'wrench' in motion_filter.step(down, push=push).limited_by
    for _ in range(300):
        motion_filter.step(down, push=push)
    assert tool(motion_filter.position)[2] == pytest.approx(tool(HOME)[2], abs=1e-4)
    for _ in range(300):
        motion_filter.step(up, push=push)
    assert tool(motion_filter.position)[2] > tool(HOME)[2] + 0.045


def test_a_twisted_tool_does_not_turn_on():
    push = Push(force=np.zeros(3), torque=KINEMATICS.tool_pose(HOME).rotation[:, 2])
    motion_filter = make_filter()
    further, back = HOME.copy(), HOME.copy()
    turning = KINEMATICS.tool_twist(HOME, np.eye(7)[6])[3:] @ push.torque
    further[6] -= np.sign(turning) * 0.3
    back[6] += np.sign(turning) * 0.3
    for _ in range(100):
        motion_filter.step(further, push=push)
    np.testing.assert_allclose(motion_filter.position, HOME, atol=1e-6)
    for _ in range(100):
        motion_filter.step(back, push=push)
    assert abs(motion_filter.position[6] - HOME[6]) > 0.2


def test_outside_of_a_joints_range_it_is_not_driven_back_unasked():
    start = HOME.copy()
    start[6] = KINEMATICS.upper_rad[6] - 0.1
    motion_filter = make_filter(limited(joint_margin_rad=0.4), start)
    for _ in range(50):
        motion_filter.step(start)
    np.testing.assert_allclose(motion_filter.position, start, atol=1e-9)
    outwards = start.copy()
    outwards[6] += 0.05
    settle(motion_filter, outwards, 50)
    assert motion_filter.position[6] <= start[6] + 1e-9


@pytest.mark.parametrize('acceleration', [3.0, 10.0])
def test_a_slow_braking_arm_stays_in_the_workspace_too(acceleration):
    rng = np.random.default_rng(3)
    robot = limited(joint_acceleration_rad_s2=acceleration)
    motion_filter = make_filter(robot)
    box = WorkspaceBox(robot, KINEMATICS)
    worst = -1.0
    for _ in range(80):
        goal = HOME + rng.uniform(-1.5, 1.5, 7)
        for _ in range(15):
            worst = max(worst, box.excess(motion_filter.step(goal).position_rad))
    assert worst <= 1e-3


def test_the_tool_is_no_faster_than_its_limit():
    robot = limited(ee_speed_m_s=0.1)
    way = np.array([tool(joints) for joints in settle(make_filter(robot), tool_goal((0.1, 0.15, -0.1)), 300)])
    speeds = np.linalg.norm(np.diff(way, axis=0), axis=1) / PERIOD_S
    assert 0.09 < speeds.max() <= 0.101


def test_a_steady_stream_of_goals_is_followed_without_a_dip():
    """Each goal is due at the end of its control step, and the next comes in time."""
    motion_filter = make_filter()
    goals = [tool_goal((0.0, -0.005 * step, 0.0)) for step in range(1, 25)]
    speeds = []
    for goal in goals:
        for tick in range(5):
            speeds.append(np.abs(motion_filter.step(goal, left_s=0.05 - tick * PERIOD_S).velocity_rad_s).max())
    steady = np.array(speeds[40:])
    assert steady.min() > 0.9 * steady.max()
