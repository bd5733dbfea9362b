"""`hybrid-rl doctor`: what is wrong with a set-up, and the mend."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.doctor_checks import Check, fail, ok, warn
from hybrid_rl_ros.doctor_robot import camera_check, file_checks, live_checks
from hybrid_rl_ros.doctor_simulation import simulation_checks
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.process_environment import LOCALHOST_ONLY, discovery_setting, node_environment, profile_variables
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.shared_memory import abandoned, size_of

PROBE_WITHIN_S = 90.0
SEGMENT_BYTES = 32 * 2**20
SHARED_MEMORY_BYTES = 512 * 2**20


def doctor(config_path: Path | None, robot_name: str | None, as_json: bool, overrides: Sequence[str] = ()) -> int:
    """Print one line for each check; 0 when nothing FAILs, 1 otherwise. Raises UserError for a bad file.

    A robot that is named is looked for over ROS too; so is the configuration's own, unless it is a simulated one, which
    the run brings up itself.
    """
    config = load_config(config_path, list(overrides)) if config_path else None
    elsewhere = config is not None and (config.sim is None or config.in_gazebo)
    live = robot_name or (config.robot if config and elsewhere else None)
    named = robot_name or (config.robot if config else None)
    robot = load_robot(named) if named else None
    environment = node_environment(share_folder('config') / 'fastdds.xml', 1)
    # Of a simulated run the simulation publishes them.
    cameras = config.observation.driver_cameras if config and elsewhere else {}
    simulation = config is not None and config.in_gazebo
    facts, error = _probe(environment, live, [*cameras], config.namespace if config else '', simulation)
    checks = _ros_checks(facts, error, environment)
    if robot is not None:
        checks += file_checks(robot)
        if config is not None:
            checks += [*_config_checks(config), _specs(config)]
        if live and facts:
            checks += live_checks(robot, facts)
            if config is not None and simulation:
                checks += simulation_checks(config, robot, facts)
            if config is not None:
                checks += [camera_check(name, seen, config.control_rate_hz) for name, seen in facts['cameras'].items()]
    failed = any(check.level == 'FAIL' for check in checks)
    if as_json:
        sys.stdout.write(json.dumps({'ok': not failed, 'checks': [vars(check) for check in checks]}) + '\n')
    else:
        sys.stdout.writelines(f'{check.line()}\n' for check in checks)
    return int(failed)


def _probe(
    environment: dict[str, str], robot: str | None, cameras: list[str], namespace: str, simulation: bool
) -> tuple[dict[str, Any], str]:
    """The facts, or none and why, from a process with the environment that every node of a run gets."""
    command = [sys.executable, '-m', 'hybrid_rl_ros.nodes.doctor_probe', '--namespace', namespace]
    command += ['--robot', robot] if robot else []
    command += ['--cameras', *cameras] if cameras else []
    command += ['--simulation'] if simulation else []
    try:
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PROBE_WITHIN_S)
    except subprocess.TimeoutExpired:
        return {}, f'a ROS node did not come up within {PROBE_WITHIN_S:g} s'
    if result.returncode != 0:
        return {}, (result.stderr.strip().splitlines() or ['no message'])[-1]
    return json.loads(result.stdout.splitlines()[-1]), ''


def _ros_checks(facts: dict[str, Any], error: str, environment: dict[str, str]) -> list[Check]:
    if not facts:
        mend = 'source ROS (. /opt/ros/<distro>/setup.bash), or pip install "hybrid_rl_ros[ros]"'
        return [fail('rclpy', error, mend)]
    distribution = facts['distribution'] or 'no ROS sourced: wheels'
    return [
        ok('rclpy', f'{facts["rclpy"]} ({distribution})'),
        _middleware(facts['rmw']),
        _profile(facts, environment[profile_variables()[-1]]),
        _shared_memory(),
        _discovery(environment),
    ]


def _middleware(rmw: str) -> Check:
    if rmw == 'rmw_fastrtps_cpp':
        return ok('RMW', rmw)
    return warn('RMW', f'{rmw}: images were tried with rmw_fastrtps_cpp only', 'unset RMW_IMPLEMENTATION')


def _profile(facts: dict[str, Any], profile: str) -> Check:
    if 'fastrtps' not in facts['rmw']:
        return ok('Fast DDS profile', f'not used by {facts["rmw"]}')
    size = f'{facts["segment_bytes"] / 2**20:.1f} MiB of shared memory a node'
    if facts['segment_bytes'] >= SEGMENT_BYTES:
        return ok('Fast DDS profile', f'{profile}: {size}')
    mend = f'unset {profile_variables()[-1]}, or give your profile a segment_size of 33554432'
    return warn('Fast DDS profile', f'{profile} is not in force, {size}: large images will be lost', mend)


def _shared_memory() -> Check:
    total = shutil.disk_usage('/dev/shm').total
    text = f'/dev/shm has {total / 2**20:.0f} MiB'
    if left := sum(map(size_of, abandoned())):
        text += f', {left / 2**20:.0f} of them left by killed processes until the next run begins'
    if total >= SHARED_MEMORY_BYTES:
        return ok('shared memory', text)
    return warn('shared memory', f'{text}, each node may want 32', 'in a container: docker run --shm-size=1g')


def _discovery(environment: dict[str, str]) -> Check:
    name, _ = discovery_setting()
    reach = environment[name]
    domain = environment.get('ROS_DOMAIN_ID', '0')
    mend = f'unset {name}, and name other machines in ROS_STATIC_PEERS'
    if name == LOCALHOST_ONLY:
        if reach == '1':
            return ok('discovery', f'this machine only (static peers came with Iron), domain {domain}')
        mend = f'unset {name}; other machines can be named from Iron on'
    elif reach in ('LOCALHOST', 'OFF'):
        peers = environment.get('ROS_STATIC_PEERS')
        where = f'this machine and {peers}' if peers else 'this machine only (others: ROS_STATIC_PEERS)'
        return ok('discovery', f'{where}, domain {domain}')
    return warn('discovery', f'{name}={reach}, domain {domain}: anyone on the network can command the arm', mend)


def _specs(config: Config) -> Check:
    """What every command begins with: the numbers that the configuration names, and the robot it is for."""
    try:
        specs = resolve_specs(config)
    except UserError as error:
        return fail('observation, action', str(error), 'change the configuration: no run begins with it')
    numbers, cameras = len(specs.observation.state), len(specs.observation.images)
    return ok('observation, action', f'{numbers} numbers and {cameras} cameras, {len(specs.action)} numbers')


def _config_checks(config: Config) -> list[Check]:
    if config.sim is None or config.in_gazebo:
        return [] if config.clock == 'realtime' else [fail('clock', config.clock, 'set clock=realtime')]
    missing = 'mujoco' if config.sim.backend == 'mujoco' else 'gymnasium'
    try:
        __import__(missing)
    except ImportError as error:
        return [fail('simulation', str(error), 'pip install "hybrid_rl_ros[sim]"')]
    except Exception as error:  # an OpenGL library that is not there raises whatever it likes
        return [fail('simulation', str(error), 'apt install libosmesa6')]
    return [ok('simulation', f'{missing}; the run starts it, so no robot was looked for')]
