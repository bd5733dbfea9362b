"""`hybrid-rl doctor` says what is wrong, and with a simulated robot's driver really running, that nothing is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

from hybrid_rl_ros.bringup import Bringup, NodeProcess, prepare_run, resolve_specs, running
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.doctor_checks import Check
from hybrid_rl_ros.doctor_robot import file_checks
from hybrid_rl_ros.doctor_simulation import simulation_checks
from hybrid_rl_ros.nodes.doctor_probe import simulated_rate_hz
from hybrid_rl_ros.process_environment import FASTRTPS_PROFILE, profile_variables
from hybrid_rl_ros.robot_config import RobotConfig, load_robot
from hybrid_rl_ros.ros.qos import COMMAND, LATCHED
from hybrid_rl_ros.sim.layout import camera_views

CONFIG = Path(__file__).parents[1] / 'config'
URDF = share_folder('urdf') / 'sim_arm.urdf'
COMMAND_TOPIC = 'joint_trajectory_controller/joint_trajectory'


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'hybrid_rl_ros.cli', 'doctor', *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


def good(report: dict[str, Any]) -> set[str]:
    """The checks that are ok; how often a busy machine's simulation speaks is not what is tested here."""
    checks = [Check(**check) for check in report['checks']]
    return {check.name for check in checks if check.level == 'ok' or 'slow' in check.line()}


def failures(result: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in result.stdout.splitlines() if line.startswith('FAIL')]


def robot_file(folder: Path, **changes: Any) -> str:
    """The simulated arm's file with changes, as a user would write one."""
    values = {**yaml.safe_load((CONFIG / 'robots' / 'sim_arm.yaml').read_text()), **changes}
    path = folder / 'arm.yaml'
    path.write_text(yaml.safe_dump(values))
    return str(path)


@pytest.fixture(scope='module')
def driver(tmp_path_factory) -> Iterator[None]:
    """sim_node alone, in real time: to the doctor a robot's driver like any other."""
    run = tmp_path_factory.mktemp('driver')
    config = load_config(CONFIG / 'sim_reach_state.yaml', ['clock=realtime'])
    prepare_run(run, config, resolve_specs(config))
    with running(Bringup(config, run, 'record', [NodeProcess('sim_node')])):
        yield


@pytest.mark.slow
@pytest.mark.real_time
def test_with_nothing_running_it_names_what_is_missing_and_the_mend():
    result = doctor('--robot', 'sim_arm', ROS_DOMAIN_ID='101')
    assert result.returncode == 1, result.stderr
    lines = failures(result)
    assert any(
        line.startswith("FAIL joint_states: nobody publishes it; mend: start the robot's driver") for line in lines
    )
    assert any(line.startswith(f'FAIL {COMMAND_TOPIC}: no controller listens') for line in lines)
    assert any(line.startswith('FAIL gripper_controller/joint_trajectory: nobody serves the gripper') for line in lines)
    assert 'ok   URDF:' in result.stdout


@pytest.mark.slow
@pytest.mark.real_time
def test_a_running_driver_passes_every_check(driver):
    result = doctor('--robot', 'sim_arm', '--json')
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert report['ok']
    found = {'rclpy', 'Fast DDS profile', 'URDF', 'home', 'limits', 'joint_states', 'wrench', COMMAND_TOPIC}
    assert found <= good(report), result.stdout


@pytest.mark.slow
@pytest.mark.real_time
def test_the_cameras_of_a_configuration_are_looked_for(driver, tmp_path):
    path = tmp_path / 'arm.yaml'
    path.write_text(
        'task: lift\nclock: realtime\nsim: null\ncontrol_rate_hz: 20\n'
        'observation: {state: [ee.x], cameras: {scene: {}, depth: {}}}\n'
    )
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('cameras', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    scene = node.create_publisher(Image, 'scene/image_raw', 1)
    depth = node.create_publisher(Image, 'depth/image_raw', 1)
    node.create_timer(0.02, lambda: scene.publish(Image(encoding='bgra8', width=640, height=480)))
    node.create_timer(0.02, lambda: depth.publish(Image(encoding='16UC1')))
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    try:
        result = doctor('--config', str(path), '--set', 'observation.cameras.gone={}')
    finally:
        executor.shutdown()
        spinning.join()
        rclpy.shutdown(context=context)
    assert result.returncode == 1, result.stderr
    assert 'ok   scene/image_raw: ' in result.stdout and '640x480, bgra8' in result.stdout
    text = '\n'.join(failures(result))
    assert "FAIL depth/image_raw: encoding '16UC1' is not read" in text
    assert 'FAIL gone/image_raw: nobody publishes it' in text


@pytest.mark.slow
@pytest.mark.real_time
def test_a_second_commander_a_closed_driver_and_a_missing_joint_fail(driver, tmp_path):
    state = {'topic': 'driver/running', 'type': 'std_msgs/msg/Bool', 'ok': [True]}
    gripper = {**load_robot('sim_arm').gripper.model_dump(), 'joints': ['finger_left_joint', 'thumb_joint']}
    path = robot_file(tmp_path, driver_states=[state], gripper=gripper)
    context = rclpy.Context()
    rclpy.init(context=context)
    rogue = rclpy.create_node('rogue', context=context)
    try:
        rogue.create_publisher(JointTrajectory, COMMAND_TOPIC, COMMAND)
        rogue.create_publisher(Bool, 'driver/running', LATCHED).publish(Bool(data=False))
        result = doctor('--robot', path)
    finally:
        rclpy.shutdown(context=context)
    assert result.returncode == 1
    text = '\n'.join(failures(result))
    assert f'FAIL {COMMAND_TOPIC}: rogue publishes too' in text
    assert 'FAIL driver: driver/running says data False, expected True' in text
    assert 'FAIL joint_states: lacks thumb_joint' in text


@pytest.mark.slow
@pytest.mark.real_time
def test_a_driver_type_that_is_not_installed_names_its_package(driver, tmp_path):
    state = {'topic': 'driver/mode', 'type': 'acme_arm_msgs/msg/Mode', 'ok': [1]}
    result = doctor('--robot', robot_file(tmp_path, driver_states=[state]))
    assert result.returncode == 1
    assert 'apt install ros-$ROS_DISTRO-acme-arm-msgs' in '\n'.join(failures(result))


def test_a_simulated_run_needs_no_robot():
    result = doctor('--config', str(CONFIG / 'sim_lift.yaml'))
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'ok   simulation' in result.stdout
    assert 'joint_states' not in result.stdout


def test_a_configuration_that_no_run_begins_with_fails():
    result = doctor('--config', str(CONFIG / 'sim_push.yaml'), '--set', 'observation.state=[joint1.position]')
    assert result.returncode == 1
    assert [line for line in failures(result) if 'joint1.position has no mirror image that is known' in line]


def test_without_rclpy_it_says_how_to_get_it(tmp_path):
    (tmp_path / 'rclpy.py').write_text('raise ModuleNotFoundError("No module named \'rclpy\'", name="rclpy")\n')
    result = doctor(PYTHONPATH=str(tmp_path))
    assert result.returncode == 1, result.stderr
    (line,) = failures(result)
    assert "No module named 'rclpy'" in line
    assert 'hybrid_rl_ros[ros]' in line


def test_a_profile_that_is_not_in_force_and_an_open_network_are_warnings(tmp_path):
    settings = {name: str(tmp_path / 'none.xml') for name in profile_variables()}
    settings['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'SUBNET'
    result = doctor(**settings)
    assert result.returncode == 0, result.stdout
    assert 'warn Fast DDS profile:' in result.stdout
    assert 'warn discovery: ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET' in result.stdout


@pytest.mark.parametrize(
    ('given', 'line'),
    [
        ({}, 'ok   discovery: this machine only (static peers came with Iron)'),
        ({'ROS_LOCALHOST_ONLY': '0'}, 'warn discovery: ROS_LOCALHOST_ONLY=0'),
    ],
    ids=['unset', 'open'],
)
def test_humble_is_kept_on_this_machine_by_its_own_variable(tmp_path, monkeypatch, given, line):
    """rclpy says that it is Humble's; the profile is in force and has no way of its own to the network."""
    about = tmp_path / 'rclpy-3.3.15.dist-info'
    about.mkdir()
    (about / 'METADATA').write_text('Metadata-Version: 2.1\nName: rclpy\nVersion: 3.3.15\n')
    monkeypatch.delenv(FASTRTPS_PROFILE, raising=False)
    result = doctor(PYTHONPATH=str(tmp_path), **given)
    assert result.returncode == 0, result.stdout + result.stderr
    assert line in result.stdout
    profile = CONFIG / ('fastdds.xml' if given else 'fastdds_localhost.xml')
    assert f'ok   Fast DDS profile: {profile}: ' in result.stdout


def test_the_profile_for_humble_differs_by_its_udp_alone():
    kinds, rest = {}, {}
    for name in ('fastdds.xml', 'fastdds_localhost.xml'):
        root = ElementTree.parse(CONFIG / name).getroot()
        kinds[name] = [element.text for element in root.iter() if element.tag.endswith('}type')]
        rest[name] = [
            element.text for element in root.iter() if element.tag.endswith(('}segment_size', '_ms', '}count', 'sec'))
        ]
    assert kinds == {'fastdds.xml': ['SHM', 'UDPv4'], 'fastdds_localhost.xml': ['SHM']}
    assert rest['fastdds.xml'] == rest['fastdds_localhost.xml'] and len(rest['fastdds.xml']) == 5


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (
            ('--robot', 'ur5'),
            "not in config/robots (fr3, gen3, sim_arm, so101, template, ur5e, xarm7); the nearest is 'ur5e'",
        ),
        (('--robot', 'nothing.yaml'), 'no such file'),
        (('--config', 'nothing.yaml'), 'no such file'),
    ],
)
def test_a_file_that_is_not_there_is_the_users_mistake(arguments, sentence):
    result = doctor(*arguments)
    assert result.returncode == 2
    (line,) = result.stderr.strip().splitlines()
    assert sentence in line


def arm(**changes: Any) -> RobotConfig:
    robot = load_robot('sim_arm')
    if 'joint_speed_rad_s' in changes or 'workspace_low_m' in changes:
        changes = {'limits': robot.limits.model_copy(update=changes)}
    return robot.model_copy(update=changes)


def urdf_with(folder: Path, old: str, new: str) -> str:
    text = URDF.read_text()
    assert old in text
    path = folder / 'changed.urdf'
    path.write_text(text.replace(old, new, 1))
    return str(path)


def complaints(robot: RobotConfig) -> str:
    return '\n'.join(check.line() for check in file_checks(robot) if check.level == 'FAIL')


def test_the_simulated_arms_file_agrees_with_its_urdf():
    assert complaints(arm()) == ''


@pytest.mark.parametrize(
    ('changes', 'line'),
    [
        ({'urdf': 'none.urdf'}, "FAIL URDF: robot sim_arm: urdf 'none.urdf' is neither a file"),
        ({'arm_joints': ['joint1', 'elbow', *(f'joint{i}' for i in range(3, 8))]}, "no joint 'elbow' in the URDF"),
        ({'tool_frame': 'tcp'}, "FAIL tool_frame: no link 'tcp' in the URDF"),
        ({'base_frame': 'world'}, "FAIL base_frame: no link 'world' in the URDF"),
        ({'home_rad': [9.0, 0.4, 0.0, 1.8, 0.0, 1.0, 0.0]}, 'outside the joint limits: joint1 at 9'),
        ({'workspace_low_m': (0.5, -0.25, 0.015)}, 'is outside the workspace [0.5, -0.25, 0.015]'),
        ({'joint_speed_rad_s': 50.0}, 'joint_speed_rad_s beyond the URDF: joint1 50 >'),
        ({'base_frame': 'flange'}, "flange is not where the URDF's root is"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_disagreement_with_the_urdf_is_named(changes, line):
    assert line in complaints(arm(**changes))


def test_a_joint_without_limits_and_a_broken_urdf_are_named(tmp_path):
    continuous = urdf_with(tmp_path, 'type="revolute"', 'type="continuous"')
    assert 'is continuous in the URDF; mend: write it as revolute with limits' in complaints(arm(urdf=continuous))
    (tmp_path / 'half.urdf').write_text(URDF.read_text()[:500])
    assert 'make it again with xacro' in complaints(arm(urdf=str(tmp_path / 'half.urdf')))


def test_a_force_limit_without_a_sensor_is_named():
    limits = load_robot('sim_arm').limits.model_copy(update={'force_n': 20.0})
    assert 'force_n is set without a wrench_topic' in complaints(arm(limits=limits, wrench_topic=None))


@pytest.mark.slow
@pytest.mark.real_time
@pytest.mark.parametrize('task', ['reach', 'lift'])
def test_what_the_doctor_wants_of_gazebo_the_mujoco_node_has(task, tmp_path):
    """One checklist for both: names, rates, frames, intrinsics, the reset."""
    domain = os.environ['ROS_DOMAIN_ID']
    os.environ['ROS_DOMAIN_ID'] = '90'  # not that of `driver`, which may still be up
    try:
        config = load_config(CONFIG / f'gazebo_{task}.yaml', ['sim.backend=mujoco'])
        prepare_run(tmp_path, config, resolve_specs(config))
        with running(Bringup(config, tmp_path, 'eval', [NodeProcess('sim_node')])):
            result = doctor('--config', str(CONFIG / f'gazebo_{task}.yaml'), '--json')
    finally:
        os.environ['ROS_DOMAIN_ID'] = domain
    report = json.loads(result.stdout)
    assert report['ok'], result.stdout
    wanted = {'joint_states', 'wrench', 'task_state', 'sim/reset', COMMAND_TOPIC}
    if task == 'lift':
        wanted |= {'front/image_raw', 'front/camera_info', 'wrist/image_raw', 'wrist/camera_info'}
    assert wanted <= good(report), result.stdout


@pytest.mark.slow
@pytest.mark.real_time
def test_without_gazebo_the_doctor_says_what_to_start():
    result = doctor('--config', str(CONFIG / 'gazebo_reach.yaml'), ROS_DOMAIN_ID='101')
    assert result.returncode == 1
    text = '\n'.join(failures(result))
    assert 'FAIL task_state: nobody publishes it; mend: start what stands in for the robot' in text
    assert 'FAIL sim/reset: nobody serves it' in text


def test_a_simulations_rate_is_found_whatever_was_lost_and_however_slow_it_is():
    rng = np.random.default_rng(0)
    for hz in (10.0, 95.0, 100.0):
        stamps = np.arange(200) * round(1e9 / hz)
        heard = stamps[np.sort(rng.choice(len(stamps), 60, replace=False))]
        assert simulated_rate_hz(heard.tolist()) == pytest.approx(hz)
    # 30 Hz of a world that steps every 2 ms: gaps of 32 and 34 ms.
    steps = np.round(np.arange(60) / 30.0 / 0.002) * 2_000_000
    assert simulated_rate_hz(steps.astype(int).tolist()) == pytest.approx(30.0, rel=0.01)
    assert simulated_rate_hz([0, 10, 20]) == 0.0


def simulated(**changes: dict[str, Any]) -> list[Check]:
    """The checks of a simulated lift; `changes` to what doctor_probe says of one of its streams."""
    config, robot = load_config(CONFIG / 'gazebo_lift.yaml', ['sim.control=ros2_control']), load_robot('sim_arm')
    stream = {'received': 200, 'publishers': ['gz_bridge'], 'simulated_hz': 100.0, 'stamped_hz': 40.0}
    camera = {**stream, 'simulated_hz': 10.0}
    matrix = camera_views(robot)['front'].matrix(64, 64).ravel().tolist()
    facts: dict[str, Any] = {
        'joint_states': {**stream, 'positions': {}},
        'wrench': {**stream, 'frame': 'flange'},
        'task': {**stream, 'received': 0, 'names': []},
        'reset_served': True,
        'cameras': {'front': {**camera, 'frame': 'front_optical_frame'}},
        'infos': {'front': {**camera, 'frame': 'front_optical_frame', 'matrix': matrix}},
    }
    for name, change in changes.items():
        target = facts['cameras'] if name == 'image' else facts['infos'] if name == 'info' else facts
        target['front' if target is not facts else name] |= change
    return [check for check in simulation_checks(config, robot, facts) if check.name not in ('task_state', 'sim/reset')]


@pytest.mark.parametrize(
    ('changes', 'level', 'name'),
    [
        ({'joint_states': {'simulated_hz': 125.0}}, 'FAIL', 'joint_states rate'),
        ({'joint_states': {'publishers': ['gazebo_node']}}, 'warn', 'joint_states rate'),
        ({'joint_states': {'simulated_hz': 0.0}}, 'warn', 'joint_states rate'),
        ({'wrench': {'simulated_hz': 90.0}}, 'FAIL', 'wrench rate'),
        ({'wrench': {'frame': 'hand'}}, 'FAIL', 'wrench frame'),
        ({'wrench': {'received': 0}}, 'FAIL', 'wrench'),
        ({'image': {'simulated_hz': 30.0}}, 'FAIL', 'front/image_raw rate'),
        ({'image': {'frame': 'arm::link'}}, 'FAIL', 'front/image_raw frame'),
        ({'info': {'matrix': [1.0] * 9}}, 'FAIL', 'front/camera_info'),
    ],
)
def test_another_simulation_than_the_issue_wants_fails_and_a_busy_machine_does_not(changes, level, name):
    assert {check.level for check in simulated()} == {'ok'}
    (found,) = [check for check in simulated(**changes) if check.level != 'ok']
    assert (found.level, found.name) == (level, name)
