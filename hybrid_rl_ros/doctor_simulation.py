"""The doctor's view of a simulation that somebody else runs: that it gives what the MuJoCo node gives."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import numpy as np

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.doctor_checks import Check, fail, ok, warn
from hybrid_rl_ros.robot_config import RobotConfig, urdf_path
from hybrid_rl_ros.sim.layout import FLANGE, camera_views
from hybrid_rl_ros.sim.tasks import make_task

STATE_RATE_HZ = 100.0
RATE_TOLERANCE = 0.05
LIMIT_TOLERANCE = 1e-2
PIXEL_TOLERANCE = 0.1
OWN_NODES = {'gazebo_node', 'sim_node'}
JUDGED = ('success', 'failure', 'resets')


def simulation_checks(config: Config, robot: RobotConfig, facts: dict[str, Any]) -> list[Check]:
    """What a run beside a simulation needs beyond a robot, from the facts of doctor_probe."""
    checks = [*_rate('joint_states', facts['joint_states'], STATE_RATE_HZ), *_limits(robot, facts['joint_states'])]
    checks += _task(config, robot, facts)
    if facts['wrench'] is not None and not facts['wrench']['received']:
        checks.append(fail('wrench', f'nothing received on {robot.wrench_topic}', 'bridge it (config/gz_bridge.yaml)'))
    elif facts['wrench'] is not None:
        checks += _rate('wrench', facts['wrench'], STATE_RATE_HZ)
        checks += _frame('wrench', facts['wrench']['frame'], FLANGE)
    for name, image in facts['cameras'].items():
        checks += _rate(f'{name}/image_raw', image, config.control_rate_hz)
        checks += _frame(f'{name}/image_raw', image['frame'], f'{name}_optical_frame')
        checks += _info(config, robot, name, facts['infos'][name])
    return checks


def _rate(topic: str, facts: dict[str, Any], wanted_hz: float) -> Iterator[Check]:
    """By the simulation's clock, so that neither a slow simulation nor a busy machine that loses messages changes it.

    A node of this package stamps by its own ticks, and a busy machine makes it leave some out: that is a warning.
    """
    if not facts['received']:
        return
    ticks = bool(OWN_NODES & set(facts['publishers']))
    rate = facts['stamped_hz'] if ticks else facts['simulated_hz']
    expected = f'expected {wanted_hz:g} Hz within {RATE_TOLERANCE:.0%}'
    if rate == 0.0:
        yield warn(f'{topic} rate', 'too few messages to tell', 'look again; is the simulation slow, or paused?')
    elif abs(rate - wanted_hz) <= RATE_TOLERANCE * wanted_hz:
        return
    elif ticks:
        yield warn(f'{topic} rate', f'{rate:.1f} Hz', f'{expected}; is this machine fast enough?')
    else:
        yield fail(f'{topic} rate', f'{rate:.1f} Hz', f'{expected} of simulated time, as the worlds here have it')


def _frame(topic: str, frame: str | None, wanted: str) -> Iterator[Check]:
    if frame is not None and frame != wanted:
        yield fail(
            f'{topic} frame', f'{frame!r}, expected {wanted!r}', 'use the worlds and bridge files of this package'
        )


def _limits(robot: RobotConfig, facts: dict[str, Any]) -> Iterator[Check]:
    outside = []
    for joint in ElementTree.parse(urdf_path(robot)).getroot().iter('joint'):
        name, limit = joint.get('name', ''), joint.find('limit')
        if limit is None or name not in facts['positions']:
            continue
        at, low, high = facts['positions'][name], float(limit.get('lower', '-inf')), float(limit.get('upper', 'inf'))
        if not low - LIMIT_TOLERANCE <= at <= high + LIMIT_TOLERANCE:
            outside.append(f'{name} at {at:.3f} not in [{low:g}, {high:g}]')
    if outside:
        yield fail('joint limits', ', '.join(outside), 'the simulation has another arm than the URDF')


def _task(config: Config, robot: RobotConfig, facts: dict[str, Any]) -> Iterator[Check]:
    served = 'start what stands in for the robot: gazebo.launch.py, or gazebo_node beside the server (docs/gazebo.md)'
    if not facts['task']['received']:
        yield fail('task_state', 'nobody publishes it', served)
    else:
        rules = make_task(config.task, robot)
        at = rules.draw(np.random.default_rng(0))
        state = {'ee.x': 0.0, 'ee.y': 0.0, 'ee.z': 0.0, 'gripper.opening': 0.0}
        state |= rules.state_of(at, state)
        wanted = {*state, *rules.measures(state), *JUDGED}
        missing = sorted(wanted - set(facts['task']['names']))
        if missing:
            yield fail('task_state', f'lacks {", ".join(missing)}', f'it is of another task than {config.task}')
        else:
            yield ok('task_state', f'{facts["task"]["stamped_hz"]:.0f} Hz, all numbers of {config.task}')
            yield from _rate('task_state', facts['task'], STATE_RATE_HZ)
    if facts['reset_served']:
        yield ok('sim/reset', 'served')
    else:
        yield fail('sim/reset', 'nobody serves it', served)


def _info(config: Config, robot: RobotConfig, name: str, facts: dict[str, Any]) -> Iterator[Check]:
    topic = f'{name}/camera_info'
    if not facts['received']:
        yield fail(topic, 'nothing received', 'bridge it too (config/gz_bridge_images.yaml)')
        return
    yield from _frame(topic, facts['frame'], f'{name}_optical_frame')
    camera = config.observation.cameras[name]
    wanted = camera_views(robot)[name].matrix(camera.height, camera.width)
    if np.abs(np.reshape(facts['matrix'], (3, 3)) - wanted).max() > PIXEL_TOLERANCE:
        mend = f'expected {np.round(wanted, 2).ravel().tolist()}; give the camera the size that the world has'
        yield fail(topic, f'intrinsics {np.round(facts["matrix"], 2).tolist()}', mend)
    else:
        yield ok(topic, 'intrinsics as in the MuJoCo scene')
