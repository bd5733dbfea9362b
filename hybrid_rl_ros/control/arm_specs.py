"""Observation and action specs of an arm, from the configuration and the robot's limits."""

from __future__ import annotations

import math

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.action_space import action_dimensions
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.reach import Reach
from hybrid_rl_ros.control.reset_routine import require_possible
from hybrid_rl_ros.control.symmetry import require_symmetry
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig

MAX_FORCE_N = 50.0
MAX_TORQUE_NM = 5.0
HOTTEST_C = 100.0
AXES = 'xyz'


def arm_specs(config: Config, robot: RobotConfig, kinematics: ArmKinematics) -> Specs:
    """The specs of `config` on `robot`. Raises UserError for a number that is not there, and a wrong symmetry."""
    # What only the critics see comes last; learning/networks/value.py relies on it.
    seen = [*config.observation.state, *config.observation.critic_only]
    state = tuple(_state_dimension(name, config, robot, kinematics) for name in seen)
    for key, names in (
        ('reward', {n for sight in config.sights for n in sight.names}),
        ('episode', config.episode.watched_numbers),
    ):
        for name in sorted(names):
            _state_dimension(name, config, robot, kinematics, key)
    actions = action_dimensions(robot, config.action, kinematics)
    require_possible(config.reset.routine, Reach.of(robot, config.action, kinematics))
    images = tuple(
        ImageSpec(camera=name, height=camera.height, width=camera.width)
        for name, camera in config.observation.cameras.items()
    )
    specs = Specs(
        observation=ObservationSpec(state=VectorSpec(dimensions=state), images=images),
        action=ActionSpec(dimensions=actions),
    )
    require_symmetry(config, specs, robot, kinematics)
    return specs


def _state_dimension(
    name: str, config: Config, robot: RobotConfig, kinematics: ArmKinematics, key: str = 'observation.state'
) -> Dimension:
    source, _, part = name.rpartition('.')
    if source in robot.arm_joints and part in ('position', 'velocity'):
        index = robot.arm_joints.index(source)
        if part == 'velocity':
            speed = robot.joint_speeds_rad_s[index]
            return Dimension(name=name, unit='rad/s', low=-speed, high=speed)
        return Dimension(
            name=name, unit='rad', low=float(kinematics.lower_rad[index]), high=float(kinematics.upper_rad[index])
        )
    if source == 'ee' and part == 'yaw':
        return Dimension(name=name, unit='rad', low=-math.pi, high=math.pi)
    if source == 'ee' and len(part) == 2 and part[0] == 'v' and part[1] in AXES:
        speed = config.action.max_step_m * config.control_rate_hz
        return Dimension(name=name, unit='m/s', low=-speed, high=speed)
    if name == 'gripper.opening' and robot.gripper.joints:
        return Dimension(name=name, unit='1', low=0.0, high=1.0)
    if source == 'wrench' and len(part) == 2 and part[0] in 'ft' and part[1] in AXES:
        if robot.wrench_topic is None:
            raise UserError(f'{key}: {name!r} needs a wrench_topic, which robot {robot.name} has not')
        limit, unit = (MAX_FORCE_N, 'N') if part[0] == 'f' else (MAX_TORQUE_NM, 'Nm')
        return Dimension(name=name, unit=unit, low=-limit, high=limit)
    if source == 'temperature':
        if part not in robot.temperature_topics:
            there = ', '.join(robot.temperature_topics) or 'none'
            raise UserError(f'{key}: {name!r} needs temperature_topics.{part}, robot {robot.name} has {there}')
        if config.clock == 'lockstep':
            raise UserError(f'{key}: {name!r} comes by a clock of its own; use clock: realtime')
        return Dimension(name=name, unit='C', low=0.0, high=HOTTEST_C)
    if name in config.practice.numbers:
        return Dimension(name=name, unit='1', low=0.0, high=1.0)
    if name.startswith('task.') and config.sim is None:
        critic_only = key == 'observation.state' and name in config.observation.critic_only
        mend = '; a trained policy does without: set observation.critic_only=[]' if critic_only else ''
        key = 'observation.critic_only' if critic_only else key
        raise UserError(f'{key}: {name!r} is known to a simulation only, and sim is null{mend}')
    if source in ('task.offset', 'task.way') and part in AXES:
        axis = AXES.index(part)
        span = robot.limits.workspace_high_m[axis] - robot.limits.workspace_low_m[axis]
        return Dimension(name=name, unit='m', low=-span, high=span)
    if part in AXES and (source == 'ee' or name.startswith('task.')):
        axis = AXES.index(part)
        return Dimension(
            name=name, unit='m', low=robot.limits.workspace_low_m[axis], high=robot.limits.workspace_high_m[axis]
        )
    if name.startswith('task.'):
        return Dimension(name=name, unit='1', low=-1.0, high=1.0)
    raise UserError(
        f'{key}: {name!r} is not known; expected <joint>.position, <joint>.velocity, '
        'ee.x|y|z|vx|vy|vz|yaw, gripper.opening, wrench.fx..tz, temperature.<name>, practice.<task> or task.<name>'
    )
