"""From a device's inputs to actions: clutch, speeds, gripper, a hand and a leader arm that are followed."""

from __future__ import annotations

import numpy as np
import pinocchio
import pytest

from hybrid_rl_ros.config import ActionConfig
from hybrid_rl_ros.control.action_space import action_dimensions
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.teleop import JointTeleop, PoseTeleop, StickTeleop, Teleop, make_teleop
from hybrid_rl_ros.data.specs import ActionSpec
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.teleop_config import TeleopMapping, load_teleop

ROBOT = load_robot('sim_arm')
PAD = {
    'device': 'joy',
    'clutch': ['button5'],
    'slow': ['button4'],
    'slow_speed': 0.25,
    'deadzone': 0.1,
    'motion': {'ee.dx': {'axis1': 1.0}, 'ee.dy': {'axis0': -1.0}, 'ee.dz': {'axis2': 0.5, 'button9': 0.5}},
    'gripper': {'open': ['button1'], 'close': ['button0']},
    'events': {'success': ['button3'], 'start': ['button7']},
}


def make(mapping: dict, **action: object) -> Teleop:
    config = ActionConfig.model_validate({'max_step_m': 0.02, **action})
    spec = ActionSpec(dimensions=action_dimensions(ROBOT, config, ArmKinematics(ROBOT)))
    return make_teleop(TeleopMapping.model_validate(mapping), spec, config)


def test_the_arm_moves_only_while_the_clutch_is_held():
    pad = make(PAD)
    assert pad.action({'axis1': 1.0}, 0.0) is None
    assert pad.action({'axis1': 1.0, 'button5': 1.0}, 0.1) == pytest.approx(
        {'ee.dx': 0.02, 'ee.dy': 0.0, 'ee.dz': 0.0, 'gripper': 1.0}
    )
    assert pad.action({'axis1': 1.0, 'button5': 0.0}, 0.2) is None


def test_deflection_is_speed_beyond_the_deadzone_summed_clipped_and_slowed():
    pad = make(PAD)
    held = {'button5': 1.0}
    assert pad.action({**held, 'axis0': 0.55}, 0.0)['ee.dy'] == pytest.approx(-0.5 * 0.02)
    assert pad.action({**held, 'axis0': 0.1}, 0.0)['ee.dy'] == 0.0
    assert pad.action({**held, 'axis2': -1.0, 'button9': 1.0}, 0.0)['ee.dz'] == 0.0
    assert pad.action({**held, 'axis1': 1.0, 'button4': 1.0}, 0.0)['ee.dx'] == pytest.approx(0.25 * 0.02)
    assert pad.action({**held, 'axis1': 7.0}, 0.0)['ee.dx'] == pytest.approx(0.02)


def test_a_gripper_keeps_what_it_was_told_by_anybody():
    pad = make(PAD)
    held = {'button5': 1.0}
    pad.gripper_opening = 0.2
    assert pad.action(held, 0.0)['gripper'] == -1.0
    assert pad.action({**held, 'button1': 1.0}, 0.1)['gripper'] == 1.0
    assert pad.action(held, 0.2)['gripper'] == 1.0
    pad.gripper_told(-0.8)
    assert pad.action(held, 0.3)['gripper'] == -0.8
    discrete = make(PAD, gripper_mode='discrete')
    assert discrete.action({**held, 'button0': 1.0}, 0.0)['gripper'] == -1.0
    assert discrete.action(held, 0.1)['gripper'] == 0.0


def test_standing_still_keeps_the_gripper_as_it_was_told():
    pad = make(PAD)
    pad.action({'button5': 1.0, 'axis1': 1.0, 'button0': 1.0}, 0.0)
    assert pad.stand_still() == {'ee.dx': 0.0, 'ee.dy': 0.0, 'ee.dz': 0.0, 'gripper': -1.0}


def test_a_button_says_its_event_once_when_it_goes_down():
    pad = make(PAD)
    assert pad.pressed_now({'button3': 1.0}) == ['success']
    assert pad.pressed_now({'button3': 1.0, 'button7': 1.0}) == ['start']
    assert pad.pressed_now({}) == []
    assert pad.pressed_now({'button3': 1.0}) == ['success']


def test_a_key_is_its_own_clutch_and_lingers():
    keys = make({'device': 'keyboard', 'linger_s': 0.5, 'motion': {'ee.dx': {'w': 1.0, 's': -1.0}}})
    assert isinstance(keys, StickTeleop)
    assert keys.action({}, 10.0) is None
    assert keys.action({'s': 1.0}, 10.1)['ee.dx'] == pytest.approx(-0.02)
    assert keys.action({}, 10.5)['ee.dx'] == 0.0
    assert keys.action({}, 10.7) is None


def test_the_tool_makes_the_hands_way_in_steps_that_are_allowed():
    hand = make(
        {'device': 'pose', 'topic': 'hand', 'clutch': ['button0'], 'scale': 0.5}, rotation=True, max_step_rad=0.1
    )
    assert isinstance(hand, PoseTeleop)
    held = {'button0': 1.0}
    assert hand.action(held, 0.0) is None, 'no pose was heard'
    hand.pose = pinocchio.SE3(np.eye(3), np.array([5.0, 5.0, 5.0]))
    assert not any(value for name, value in hand.action(held, 0.1).items() if name != 'gripper')
    turn = np.array([0.0, 0.0, 0.25])
    hand.pose = pinocchio.SE3(pinocchio.exp3(turn), np.array([5.1, 5.0, 4.99]))
    steps = [hand.action(held, 0.2 + step) for step in range(5)]
    assert sum(step['ee.dx'] for step in steps) == pytest.approx(0.05)
    assert sum(step['ee.dz'] for step in steps) == pytest.approx(-0.005)
    assert sum(step['ee.drz'] for step in steps) == pytest.approx(0.25)
    assert max(step['ee.dx'] for step in steps) == pytest.approx(0.02)


def test_where_the_hand_went_while_the_clutch_was_open_does_not_count():
    hand = make({'device': 'pose', 'topic': 'hand', 'clutch': ['button0']})
    assert isinstance(hand, PoseTeleop)
    hand.pose = pinocchio.SE3(np.eye(3), np.zeros(3))
    hand.action({'button0': 1.0}, 0.0)
    hand.action({}, 0.1)
    hand.pose = pinocchio.SE3(np.eye(3), np.array([0.0, 0.3, 0.0]))
    assert hand.action({'button0': 1.0}, 0.2)['ee.dy'] == 0.0


def test_a_leader_arm_must_be_near_before_the_arm_follows():
    joints = {name: f'leader_{name}' for name in ROBOT.arm_joints} | {'gripper': 'jaw'}
    mapping = {'device': 'joints', 'topic': 'leader', 'clutch': ['button0'], 'joints': joints}
    leader = make({**mapping, 'leader_gripper_rad': [0.2, 1.2]}, space='joint_position')
    assert isinstance(leader, JointTeleop)
    held = {'button0': 1.0}
    leader.measured = dict.fromkeys(ROBOT.arm_joints, 0.1)
    assert leader.action(held, 0.0) is None
    assert 'does not say' in leader.hindrance
    leader.leader = dict.fromkeys(joints.values(), 0.2) | {'leader_joint3': 0.9}
    assert leader.action(held, 0.1) is None
    assert leader.hindrance == 'bring leader_joint3 nearer to joint3: 0.80 rad apart'
    leader.leader = {**leader.leader, 'leader_joint3': 0.3, 'jaw': 0.7}
    action = leader.action(held, 0.2)
    assert action['joint3.position'] == 0.3
    assert action['gripper'] == pytest.approx(0.0)
    assert leader.stand_still()['joint3.position'] == 0.1
    leader.measured = dict.fromkeys(ROBOT.arm_joints, 0.08)
    assert leader.stand_still()['joint3.position'] == 0.1, 'it does not follow an arm that sags'
    leader.action(held, 0.25)
    assert leader.stand_still()['joint3.position'] == 0.08
    # Once it follows, it follows: the safety gate limits how fast.
    leader.leader = {**leader.leader, 'leader_joint3': 0.9}
    assert leader.action(held, 0.3)['joint3.position'] == 0.9


@pytest.mark.parametrize(
    ('change', 'action', 'sentence'),
    [
        ({'motion': {'ee.dw': {'axis0': 1.0}}}, {}, "motion: 'ee.dw' is not in the action; the nearest is 'ee.d"),
        ({}, {'space': 'joint_position'}, 'needs a device: joints'),
        ({'device': 'pose', 'topic': 'hand'}, {'space': 'joint_delta'}, 'needs action.space ee_delta'),
        ({'device': 'joints', 'topic': 'leader', 'joints': {'joint1': 'a'}}, {}, 'action.space is ee_delta'),
    ],
)
def test_a_mapping_that_does_not_fit_the_action_is_one_line(change, action, sentence):
    with pytest.raises(UserError, match=sentence):
        make({**PAD, **change}, **action)


@pytest.mark.parametrize('name', ['gamepad', 'joy', 'spacemouse', 'keyboard', 'pose', 'leader_so101', 'expert'])
def test_every_mapping_that_is_shipped_can_be_read(name):
    load_teleop(name)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        ({'clutch': ['button']}, "clutch: 'button' is no input of device joy"),
        ({'motion': {'ee.dx': {'axs1': 1.0}}}, "motion.ee.dx: 'axs1' is no input"),
        ({'events': {'success': ['button5']}}, 'events.success: button5 is the clutch already'),
        ({'device': 'keyboard', 'clutch': []}, "slow: 'button4' is no input of device keyboard; expected a char"),
    ],
)
def test_an_input_that_cannot_be_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        TeleopMapping.model_validate({**PAD, **change})


def test_the_legend_says_what_to_press():
    assert load_teleop('joy').legend().startswith('clutch button5, start button7, success button3')
    assert 'ee.dx w/s' in load_teleop('keyboard').legend()


def test_an_unknown_device_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="the nearest is 'gamepad'"):
        load_teleop('game_pad')
    path = tmp_path / 'mine.yaml'
    path.write_text('device: joy\nmotion: {ee.dx: {axis0: 1.0}}\n')
    with pytest.raises(UserError, match='needs a clutch'):
        load_teleop(str(path))
