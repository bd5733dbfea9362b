"""A reset routine as actions: where it goes, what it holds, and when it is late."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hybrid_rl_ros.config import ActionConfig
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.reach import Reach
from hybrid_rl_ros.control.reset_routine import ResetRoutine, require_possible
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.reset_config import ResetConfig, WaypointConfig
from hybrid_rl_ros.robot_config import GripperConfig, load_robot

NAMES = ['ee.dx', 'ee.dy', 'ee.dz', 'gripper']
WORKSPACE = np.array([0.3, -0.25, 0.0]), np.array([0.6, 0.25, 0.4])
RATE_HZ, STEP_M, STEP_RAD = 10.0, 0.025, 0.1
JOINTS, HOME, LIMITS = ['a', 'b'], np.array([0.2, -0.4]), (np.array([-1.0, -2.0]), np.array([1.0, 0.5]))
REACH = Reach(NAMES, STEP_M, STEP_RAD, WORKSPACE, JOINTS, HOME, LIMITS)


def routine_of(*waypoints: dict, seed: int = 0) -> ResetRoutine:
    made = [WaypointConfig.model_validate(waypoint) for waypoint in waypoints]
    return ResetRoutine(made, REACH, RATE_HZ, np.random.default_rng(seed))


class Arm:
    """Goes where it is told, at once; its fingers take `finger_steps` for their whole way."""

    def __init__(self, tool_m: list[float], opening: float = 1.0, finger_steps: int = 3) -> None:
        self.tool, self.opening, self._per_step = np.array(tool_m), opening, 1.0 / finger_steps
        self.told: list[dict[str, float]] = []

    @property
    def numbers(self) -> dict[str, float]:
        return {**dict(zip(('ee.x', 'ee.y', 'ee.z'), self.tool)), 'gripper.opening': self.opening}

    def follow(self, routine: ResetRoutine, most_steps: int = 500) -> None:
        for _ in range(most_steps):
            action = routine.act(self.numbers)
            if action is None:
                return
            self.told.append(action)
            self.tool = self.tool + [action[name] for name in NAMES[:3]]
            self.opening = float(np.clip(self.opening + np.sign(action['gripper']) * self._per_step, 0.0, 1.0))
        raise AssertionError('the routine does not end')


def test_waypoints_are_reached_one_after_the_other_in_steps_that_the_action_space_allows():
    arm, routine = Arm([0.3, 0.2, 0.1]), routine_of({'move': [0.5, -0.1, 0.2]}, {'move': [0.5, 0.1, 0.05]})
    arm.follow(routine)
    assert np.linalg.norm(arm.tool - [0.5, 0.1, 0.05]) < 0.011
    assert not routine.late
    largest = max(abs(action[name]) for action in arm.told for name in NAMES[:3])
    assert largest <= STEP_M + 1e-9


def test_null_leaves_an_axis_as_it_is():
    arm = Arm([0.42, -0.13, 0.02])
    arm.follow(routine_of({'move': [None, None, 0.2]}))
    assert arm.tool[:2] == pytest.approx([0.42, -0.13])
    assert arm.tool[2] == pytest.approx(0.2, abs=0.011)


def test_from_the_edge_of_the_workspace_the_tool_comes_in_on_its_way():
    arm, routine = Arm([0.6, 0.25, 0.1]), routine_of({'move': [None, None, 0.2]})
    arm.follow(routine)
    assert np.linalg.norm(arm.tool - [0.58, 0.23, 0.2]) < 0.011
    low = Arm([0.4, 0.0, 0.001])
    low.follow(routine_of({'move': [0.5, 0.1, None]}))
    assert np.linalg.norm(low.tool - [0.5, 0.1, 0.001]) < 0.011, 'along the table it stays as low as it was'


def test_a_randomised_waypoint_is_another_each_time_and_never_further_than_said():
    routine, ends = routine_of({'move': [0.45, 0.0, 0.2], 'randomise_m': [0.1, 0.2, 0.0]}), []
    for _ in range(30):
        arm = Arm([0.45, 0.0, 0.2])
        routine.begin()
        arm.follow(routine)
        ends.append(arm.tool)
    off = np.abs(np.array(ends) - [0.45, 0.0, 0.2])
    assert (off <= np.array([0.1, 0.2, 0.0]) + 0.01).all()
    assert np.std(ends, axis=0)[1] > 0.05


def test_what_is_held_is_held_until_the_routine_opens_the_hand():
    arm = Arm([0.45, 0.0, 0.2], opening=0.4)
    arm.follow(routine_of({'move': [0.45, 0.0, 0.03]}, {'gripper': 'open'}, {'move': [None, None, 0.2]}))
    grip = [action['gripper'] for action in arm.told]
    opened = grip.index(1.0)
    assert opened > 3 and set(grip[:opened]) == {-1.0} and set(grip[opened:]) == {1.0}
    assert arm.opening > 0.9


def test_an_empty_hand_stays_open():
    arm = Arm([0.45, 0.0, 0.2], opening=1.0)
    arm.follow(routine_of({'move': [0.45, 0.0, 0.1]}))
    assert {action['gripper'] for action in arm.told} == {1.0}


def test_closing_and_waiting_take_their_time():
    arm = Arm([0.45, 0.0, 0.2])
    arm.follow(routine_of({'gripper': 'close'}, {'wait_s': 0.5}))
    assert len(arm.told) == 10 + 5
    assert arm.opening == 0.0


def test_waiting_and_closing_are_never_late_and_a_drawn_goal_is_within_the_workspace():
    arm = Arm([0.45, 0.0, 0.2])
    routine = routine_of({'wait_s': 20.0}, {'gripper': 'close', 'within_s': 0.1})
    arm.follow(routine)
    assert not routine.late and len(arm.told) == 210
    wild = routine_of({'move': [None, None, 0.1], 'randomise_m': [5.0, 5.0, 0.0]})
    for _ in range(10):
        wild.begin()
        arm = Arm([0.45, 0.0, 0.2])
        arm.follow(wild)
        assert (arm.tool >= WORKSPACE[0] - 0.01).all() and (arm.tool <= WORKSPACE[1] + 0.01).all() and not wild.late


def test_what_is_not_reached_in_its_time_is_late_and_says_what():
    routine = routine_of({'wait_s': 0.2}, {'move': [0.5, 0.0, 0.2], 'within_s': 2.0})
    blocked = {'ee.x': 0.4, 'ee.y': 0.0, 'ee.z': 0.1, 'gripper.opening': 1.0}
    acts = [routine.act(blocked) for _ in range(30)]
    assert acts.index(None) == 2 + 20
    assert routine.late == 'reset.routine.1 (move [0.5, 0.0, 0.2]) was not done in 2 s'
    routine.begin()
    assert not routine.late and routine.act(blocked) is not None


def turned(routine: ResetRoutine, joints: np.ndarray) -> list[dict[str, float]]:
    told = []
    while action := routine.act({'a.position': joints[0], 'b.position': joints[1], 'gripper.opening': 0.4}):
        told.append(action)
        joints += [action['a.delta'], action['b.delta']]
    return told


def test_joints_arrive_together_in_steps_of_their_own_and_what_is_held_stays_held():
    joints, routine = np.array([1.0, -0.5]), routine_of({'joints': [0.0, 0.0]})
    told = turned(routine, joints)
    assert np.abs(joints).max() <= 0.02 and not routine.late
    assert max(abs(action['a.delta']) for action in told) == pytest.approx(STEP_RAD)
    assert all(action['b.delta'] == pytest.approx(-0.5 * action['a.delta']) for action in told)
    assert {action['gripper'] for action in told} == {-1.0}
    assert set(told[0]) == {'a.delta', 'b.delta', 'gripper'}


def test_home_is_that_of_the_robot_and_may_be_randomised_within_the_limits():
    ends = []
    routine = routine_of({'joints': 'home', 'randomise_rad': 0.5})
    for _ in range(30):
        joints = np.array([0.9, 0.0])
        routine.begin()
        turned(routine, joints)
        ends.append(joints)
    assert (np.array(ends) >= LIMITS[0] - 0.02).all() and (np.array(ends) <= LIMITS[1] + 0.02).all()
    assert np.std(ends, axis=0).min() > 0.2
    joints = np.array([0.9, 0.0])
    turned(routine_of({'joints': 'home'}), joints)
    np.testing.assert_allclose(joints, HOME, atol=0.02)


def test_joints_that_do_not_come_are_late():
    routine = routine_of({'joints': [0.0, 0.0], 'within_s': 1.0})
    blocked = {'a.position': 0.5, 'b.position': 0.0}
    assert [routine.act(blocked) for _ in range(12)].index(None) == 10
    assert routine.late == 'reset.routine.0 (joints [0.0, 0.0]) was not done in 1 s'


@pytest.mark.parametrize(
    ('waypoint', 'names', 'says'),
    [
        ({'move': [0.7, 0.0, 0.2]}, NAMES, 'reset.routine.0.move: x 0.7 .* not within the workspace, 0.3 to 0.6 m'),
        ({'move': [0.5, 0.2, 0.2], 'randomise_m': [0, 0.1, 0]}, NAMES, 'y 0.2 with randomise_m 0.1 is not within'),
        ({'joints': [0.0]}, NAMES, 'reset.routine.0.joints: expected 2 numbers, rad, one each for a, b'),
        ({'joints': []}, NAMES, 'expected 2 numbers'),
        (
            {'joints': [0.0, 0.4], 'randomise_rad': 0.2},
            NAMES,
            'b 0.4 with randomise_rad 0.2 is not .* -2 to 0.5',
        ),
        ({'gripper': 'open'}, NAMES[:3], 'have no gripper'),
        ({'move': [0.5, 0.0, 0.2]}, ['joint1', 'joint2', 'joint3'], 'needs action.space: ee_delta'),
    ],
)
def test_a_routine_that_cannot_be_done_is_one_line(waypoint, names, says):
    with pytest.raises(UserError, match=says):
        require_possible([WaypointConfig.model_validate(waypoint)], replace(REACH, names=names))


@pytest.mark.parametrize(
    ('reset', 'says'),
    [
        ({'routine': [{}]}, 'expected exactly one of move, joints, gripper, wait_s'),
        ({'routine': [{'move': [0.5, 0, 0.2], 'wait_s': 1}]}, 'there is move and wait_s'),
        ({'routine': [{'wait_s': 1, 'randomise_rad': 0.1}]}, 'randomise_rad belongs to joints'),
        ({'routine': [{'wait_s': 1, 'randomise_m': [0.1, 0, 0]}]}, 'randomise_m belongs to move'),
        ({'verify': {'when': 'ee.z > 0'}}, 'there is none'),
    ],
)
def test_a_reset_that_makes_no_sense_is_refused(reset, says):
    with pytest.raises(ValueError, match=says):
        ResetConfig.model_validate(reset)


def reach_of_simulated_arm(action: dict, **robot) -> Reach:
    made = load_robot('sim_arm').model_copy(update=robot)
    return Reach.of(made, ActionConfig.model_validate(action), ArmKinematics(made))


@pytest.mark.parametrize('space', ['ee_delta', 'joint_delta', 'joint_position'])
def test_who_waits_or_opens_the_hand_stays_where_it_is_whatever_the_actions_are(space):
    reach = reach_of_simulated_arm({'space': space})
    routine = ResetRoutine([WaypointConfig(gripper='open')], reach, RATE_HZ, np.random.default_rng(0))
    action = routine.act({'gripper.opening': 0.0})
    assert action is not None and action.pop('gripper') == 1.0
    assert set(action.values()) == {0.0} and all(name.startswith('ee.d') or name.endswith('.delta') for name in action)


def test_an_arm_without_a_gripper_is_not_asked_how_far_it_is_open():
    reach = reach_of_simulated_arm({}, gripper=GripperConfig())
    assert 'gripper.opening' not in reach.reads and 'ee.x' in reach.reads and 'joint1.position' in reach.reads
    with pytest.raises(UserError, match='have no gripper'):
        require_possible([WaypointConfig(gripper='open')], reach)


def test_joints_where_the_gate_would_stop_the_arm_are_refused():
    reach = reach_of_simulated_arm({})
    require_possible([WaypointConfig(joints='home')], reach)
    turned = reach.home_rad + np.array([1.2, 0, 0, 0, 0, 0, 0])
    with pytest.raises(UserError, match=r'reset.routine.0.joints: safety_node would stop .* \(workspace\)'):
        require_possible([WaypointConfig(joints=turned.tolist())], reach)
    edge = np.append(reach.home_rad[:6], reach.limits_rad[1][6] + 0.01)
    with pytest.raises(UserError, match='joint7 .* is not within its limits'):
        require_possible([WaypointConfig(joints=edge.tolist())], reach)


def test_a_controller_that_is_told_poses_places_the_elbow_itself():
    command = load_robot('sim_arm').command.model_copy(update={'type': 'pose'})
    with pytest.raises(UserError, match='places the elbow itself'):
        require_possible([WaypointConfig(joints='home')], reach_of_simulated_arm({}, command=command))
