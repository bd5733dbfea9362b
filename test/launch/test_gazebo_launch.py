"""gazebo.launch.py: what it starts, and a whole run of it beside stand-ins for Gazebo's server and bridge."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_gazebo import make_prefix
from graph_runs import processes_of
from launch import LaunchContext
from launch.utilities import perform_substitutions
from launched import end, end_what_was_left, launch
from resolving import command, pretend_installed, processes
from waiting import wait_for

from hybrid_rl_ros.bringup import node_status, nodes_of_run
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.launch_tools import RQT_PLUGINS
from hybrid_rl_ros.process_environment import profile_variables
from hybrid_rl_ros.run_folder import read_json_lines

SMALL = "train.warm_up_steps=20 'sac.hidden=[32, 32]' train.env_steps=60 eval.episodes=0 episode.time_limit_steps=15"


@pytest.fixture
def prefix(tmp_path, monkeypatch) -> dict[str, str]:
    environment = make_prefix(tmp_path)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    return environment


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    end_what_was_left()


def programs(started) -> list[str]:
    return [Path(part[0]).name for part in started]


@pytest.mark.parametrize(
    ('task', 'bridges'),
    [
        ('reach', ['gz_bridge', 'gz_bridge_control']),
        ('lift', ['gz_bridge', 'gz_bridge_control', 'gz_bridge_images', 'gz_bridge_cube']),
        ('peg_insert', ['gz_bridge', 'gz_bridge_control', 'gz_bridge_images']),
    ],
)
def test_every_bridge_has_a_process_and_the_nodes_are_those_of_bringup(tmp_path, prefix, monkeypatch, task, bridges):
    monkeypatch.setattr('hybrid_rl_ros.launched_graph.is_up', lambda run, simulation: True)
    run = tmp_path / 'run'
    started = processes('gazebo', task=task, control='gz', run=str(run), train='true', headless='true')
    commands = [command(process) for process in started]
    assert programs(commands)[: len(bridges)] == ['parameter_bridge'] * len(bridges)
    config = load_config(run / 'config.yaml')
    nodes = nodes_of_run(config, 'train')
    peers = [node.name for node in nodes]
    assert nodes[0].name == 'gazebo_node' and 'sim_node' not in peers
    expected = [[*node.command(run.resolve(), 'train', peers, ''), '--ros-args'] for node in nodes]
    assert commands[len(bridges) :] == expected
    assert all('use_sim_time:=true' in each for each in commands[len(bridges) :])


def test_without_training_it_brings_up_the_robot_alone(tmp_path, prefix, monkeypatch):
    monkeypatch.setattr('hybrid_rl_ros.launched_graph.is_up', lambda run, simulation: True)
    started = processes('gazebo', control='gz', run=str(tmp_path / 'run'), headless='true')
    modules = [part for each in started for part in command(each) if part.startswith('hybrid_rl_ros.nodes.')]
    assert modules == [f'hybrid_rl_ros.nodes.{name}_node' for name in ('gazebo', 'observation', 'safety')]


def test_with_ros2_control_the_world_and_the_description_name_its_plugin_and_its_controllers(tmp_path, prefix):
    run = tmp_path / 'run'
    started = [command(process) for process in processes('gazebo', run=str(run), headless='true')]
    assert programs(started)[:3] == ['parameter_bridge', 'robot_state_publisher', 'spawner']
    world = (run / 'world.sdf').read_text()
    assert 'gz_ros2_control::GazeboSimROS2ControlPlugin' in world and 'joint-position-controller' not in world
    parameters = world.split('<parameters>')[1].split('</parameters>')[0]
    controllers = yaml.safe_load(Path(parameters).read_text())
    assert controllers['/**/joint_trajectory_controller']['ros__parameters']['joints'] == [
        f'joint{i}' for i in range(1, 8)
    ]
    assert load_config(run / 'config.yaml').sim.control == 'ros2_control'
    assert '<namespace>' not in world


def test_in_a_namespace_the_plugin_is_where_the_description_and_the_spawners_are(tmp_path, prefix):
    run = tmp_path / 'run'
    processes('gazebo', run=str(run), headless='true', set='namespace=left')
    model = ElementTree.parse(run / 'world.sdf').getroot().find('world/model[@name="arm"]')
    (plugin,) = [each for each in model.findall('plugin') if 'ros2_control' in each.get('filename')]
    assert plugin.findtext('ros/namespace') == '/left'


def environment(process) -> dict[str, str]:
    """What a process is started with beside what launch itself has."""
    perform = partial(perform_substitutions, LaunchContext())
    return {perform(name): perform(text) for name, text in process.additional_env or []}


@pytest.mark.parametrize('users', [None, 'SUBNET'])
def test_what_is_not_ours_hears_and_speaks_where_the_nodes_do(tmp_path, prefix, monkeypatch, users):
    name = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
    monkeypatch.setenv(name, users) if users else monkeypatch.delenv(name)
    for tool in ('foxglove_bridge', 'rqt_gui', *RQT_PLUGINS):
        pretend_installed(Path(prefix['AMENT_PREFIX_PATH']), tool)
    started = processes('gazebo', run=str(tmp_path / 'run'), headless='true') + processes('tools', rqt='true')
    theirs = [process for process in started if process.node_package]
    wanted = ['ros_gz_bridge', 'robot_state_publisher', 'controller_manager', 'foxglove_bridge', 'rqt_gui']
    assert [process.node_package for process in theirs] == wanted
    for process in theirs:
        assert environment(process)[name] == (users or 'LOCALHOST')
        assert all(environment(process)[variable].endswith('fastdds.xml') for variable in profile_variables())
        assert 'PYTHONPATH' not in environment(process)


def test_who_moves_the_joints_is_as_configured_unless_launch_is_told(tmp_path, prefix):
    settings = 'sim.control=gz'
    for given, control in (({'set': settings}, 'gz'), ({'set': settings, 'control': 'ros2_control'}, 'ros2_control')):
        run = tmp_path / control
        processes('gazebo', run=str(run), headless='true', **given)
        assert load_config(run / 'config.yaml').sim.control == control


def test_poses_set_over_ros_have_a_bridge_of_their_service(tmp_path, prefix):
    service = '/world/push/set_pose@ros_gz_interfaces/srv/SetEntityPose'
    for way, bridges in (('auto', 0), ('ros', 1)):
        run = str(tmp_path / way)
        started = processes('gazebo', task='push', run=run, headless='true', set=f'sim.set_pose={way}')
        commands = [command(process) for process in started]
        assert programs([each for each in commands if service in each]) == ['parameter_bridge'] * bridges


@pytest.mark.slow
@pytest.mark.real_time
def test_reach_is_trained_beside_stand_ins(tmp_path, prefix):
    run = tmp_path / 'run'
    given = {'task': 'reach', 'control': 'gz', 'headless': 'true', 'train': 'true', 'run': str(run), 'set': SMALL}
    process = launch('gazebo', environment=prefix, **given)
    output = end(process, run)
    assert process.returncode == 0, output
    arguments = (tmp_path / 'gz_args').read_text().split()
    assert arguments[:3] == ['-r', '-s', '--headless-rendering'] and arguments[-1].endswith('worlds/reach.sdf')
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        assert store.transitions >= 60
    # Every episode began where the target had been put: the resets went through the gate and through `gz`.
    assert len(read_json_lines(run / 'episodes.jsonl')) >= 4
    assert len(json.loads((tmp_path / 'target.json').read_text())) == 3
    counters = node_status(run, 'safety_node')['counters']
    assert counters['executed_reset'] > 5 and counters['executed_policy'] >= 60
    learner = node_status(run, 'learner_node')
    assert learner['counters'].get('dropped_steps', 0) <= 3 and learner['transitions'] == learner['env_steps']


def doctors_report(run: Path, prefix: dict[str, str], task: str) -> dict[str, Any]:
    """What the doctor says of a launched simulation."""
    process = launch('gazebo', environment=prefix, task=task, control='gz', headless='true', run=str(run))
    try:
        wait_for(lambda: node_status(run, 'gazebo_node').get('up', False) and bool(processes_of(run, 'safety_node')))
        config = str(run / 'config.yaml')
        doctor = [sys.executable, '-m', 'hybrid_rl_ros.cli', 'doctor', '--config', config, '--json']
        result = subprocess.run(doctor, capture_output=True, text=True, timeout=120)
    finally:
        process.send_signal(signal.SIGINT)
    output = end(process, run)
    assert result.stdout, (result.stderr, output)
    return json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.real_time
def test_the_doctor_finds_what_it_finds_beside_the_mujoco_node(tmp_path, prefix):
    report = doctors_report(tmp_path / 'run', prefix, 'lift')
    assert report['ok'], [check for check in report['checks'] if check['level'] != 'ok']
    found = {check['name']: check['level'] for check in report['checks']}
    wanted = ('joint_states', 'wrench', 'task_state', 'sim/reset', 'front/image_raw', 'wrist/image_raw')
    assert {name: found.get(name) for name in wanted} == dict.fromkeys(wanted, 'ok')


@pytest.mark.slow
@pytest.mark.real_time
def test_a_world_with_another_rate_and_another_frame_fails(tmp_path, prefix):
    other = {**prefix, 'FAKE_GAZEBO_WRENCH_HZ': '90', 'FAKE_GAZEBO_WRENCH_FRAME': 'hand'}
    report = doctors_report(tmp_path / 'run', other, 'reach')
    failed = {check['name']: check['message'] for check in report['checks'] if check['level'] == 'FAIL'}
    assert failed == {'wrench rate': '90.0 Hz', 'wrench frame': "'hand', expected 'flange'"}


@pytest.mark.slow
@pytest.mark.real_time
def test_a_dead_bridge_ends_the_run_in_order(tmp_path, prefix):
    run = tmp_path / 'run'
    nodes = ['gazebo_node', 'observation_node', 'safety_node']
    process = launch('gazebo', environment=prefix, control='gz', headless='true', run=str(run))
    wait_for(lambda: all(node_status(run, name) for name in nodes))
    os.kill(child(process, 'gz_bridge_control'), signal.SIGKILL)
    output = end(process, run)
    assert process.returncode == 1
    assert 'gz_bridge_control was killed by SIGKILL; the arm holds' in output
    assert re.findall(r"sending signal 'SIGTERM' to process\[(\w+)-\d+\]", output) == nodes[::-1]
    # Not before the nodes are down: the gate's last hold goes through what is left.
    told = re.search(r"sending signal 'SIGINT' to process\[parameter_bridge", output).start()
    assert all(re.search(rf'\[{name}-\d+\]: process has finished cleanly', output[:told]) for name in nodes)


@pytest.mark.slow
@pytest.mark.real_time
@pytest.mark.parametrize(
    ('words', 'name'), [('sleep', 'the Gazebo server'), ('robot_state_publisher', 'robot_state_publisher')]
)
def test_whatever_of_gazebo_dies_ends_the_launch_and_is_named(tmp_path, prefix, words, name):
    run = tmp_path / 'run'
    process = launch('gazebo', environment=prefix, headless='true', run=str(run))
    wait_for(lambda: child(process, words) > 0 and bool(processes_of(run, 'gazebo_node')))
    os.kill(child(process, words), signal.SIGKILL)
    output = end(process, run)
    assert process.returncode == 1
    assert f'{name} was killed by SIGKILL; the arm holds' in output
    assert "sending signal 'SIGTERM' to process[gazebo_node" in output


@pytest.mark.slow
@pytest.mark.real_time
def test_a_controller_that_cannot_be_spawned_ends_the_launch_and_is_named(tmp_path, prefix):
    run = tmp_path / 'run'
    environment = {**prefix, 'FAKE_SPAWNER_FAILS': 'joint_trajectory_controller'}
    process = launch('gazebo', environment=environment, headless='true', run=str(run))
    output = end(process, run)
    assert process.returncode == 1
    assert 'the spawner of joint_trajectory_controller ended with status 1; the arm holds' in output
    assert len(re.findall(r'\[spawner-\d+\]: process started', output)) == 2


def child(process: subprocess.Popen[str], words: str) -> int:
    """That of launch whose command line has `words`; 0 as long as there is none."""
    for pid in Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split():
        if words.encode() in Path(f'/proc/{pid}/cmdline').read_bytes():
            return int(pid)
    return 0
