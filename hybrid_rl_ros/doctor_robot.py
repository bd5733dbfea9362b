"""The doctor's view of a robot: its file against its URDF, and its topics as doctor_probe found them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import numpy as np

from hybrid_rl_ros.doctor_checks import Check, fail, ok, warn
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig, urdf_path

SLOWEST_JOINT_STATES_HZ = 30.0
OLDEST_JOINT_STATE_S = 0.1
SIMULATED_AFTER_S = 1e8
# A camera of 30 Hz measured over two seconds is not exactly one of 30 Hz.
SLOW_SHARE = 0.95
# Node names of this package that may be on the command topic.
OUR_COMMANDER = 'safety_node'
COMMAND_TYPES = {
    'joint_trajectory': 'trajectory_msgs/msg/JointTrajectory',
    'position_array': 'std_msgs/msg/Float64MultiArray',
    'velocity_array': 'std_msgs/msg/Float64MultiArray',
    'twist': 'geometry_msgs/msg/TwistStamped',
    'pose': 'geometry_msgs/msg/PoseStamped',
    'joint_state': 'sensor_msgs/msg/JointState',
}


def file_checks(robot: RobotConfig) -> list[Check]:
    """The robot's file against its URDF."""
    try:
        path = urdf_path(robot)
        urdf = ElementTree.parse(path).getroot()
    except UserError as error:
        return [fail('URDF', str(error), "make it as the comment in the robot's file says and put its path in `urdf`")]
    except (ElementTree.ParseError, OSError) as error:
        return [fail('URDF', f'{robot.urdf}: {error}', 'make it again with xacro')]
    checks = [ok('URDF', str(path)), *_names(robot, urdf)]
    if any(check.level == 'FAIL' for check in checks):
        return checks
    joints = {joint.get('name'): joint for joint in urdf.iter('joint') if joint.get('type')}
    checks += [*_home(robot, joints), *_speeds(robot, joints), *_base(robot, joints)]
    if robot.limits.force_n is not None and robot.wrench_topic is None:
        checks.append(fail('limits', 'force_n is set without a wrench_topic', 'name the topic, or set force_n to null'))
    return checks


def _has_no_link(robot: RobotConfig, frame: str) -> bool:
    """Whether the URDF can be read and lacks `frame`."""
    try:
        urdf = ElementTree.parse(urdf_path(robot)).getroot()
    except (UserError, ElementTree.ParseError, OSError):
        return False
    return frame not in {link.get('name') for link in urdf.iter('link')}


def _names(robot: RobotConfig, urdf: Any) -> Iterator[Check]:
    kinds = {joint.get('name'): joint.get('type') for joint in urdf.iter('joint') if joint.get('type')}
    links = {link.get('name') for link in urdf.iter('link')}
    for name in robot.arm_joints:
        if name not in kinds:
            yield fail('arm_joints', f'no joint {name!r} in the URDF', f'its joints: {", ".join(map(str, kinds))}')
        elif kinds[name] not in ('revolute', 'prismatic'):
            mend = 'write it as revolute with limits'
            yield fail('arm_joints', f'{name} is {kinds[name]} in the URDF', mend)
    for key, frame in (('base_frame', robot.base_frame), ('tool_frame', robot.tool_frame)):
        if frame not in links:
            yield fail(key, f'no link {frame!r} in the URDF', f'its links: {", ".join(map(str, links))}')


def _home(robot: RobotConfig, joints: dict[Any, Any]) -> Iterator[Check]:
    margin = robot.limits.joint_margin_rad
    outside = []
    for name, home in zip(robot.arm_joints, robot.home_rad):
        lower, upper = (float(joints[name].find('limit').get(end, 'nan')) for end in ('lower', 'upper'))
        if not lower + margin <= home <= upper - margin:
            outside.append(f'{name} at {home:g} not in [{lower:g}, {upper:g}]')
    if outside:
        mend = f'change home_rad, or joint_margin_rad ({margin:g})'
        yield fail('home', f'outside the joint limits: {", ".join(outside)}', mend)
        return
    from hybrid_rl_ros.control.kinematics import ArmKinematics

    try:
        at = ArmKinematics(robot).tool_pose(np.array(robot.home_rad)).translation
    except (UserError, ValueError) as error:
        yield fail('home', str(error), 'mend the URDF')
        return
    limits = robot.limits
    where = f'tool at ({", ".join(f"{value:.3f}" for value in at)}) m'
    if (at < limits.workspace_low_m).any() or (at > limits.workspace_high_m).any():
        box = f'{list(limits.workspace_low_m)} to {list(limits.workspace_high_m)}'
        yield fail('home', f'{where} is outside the workspace {box}', 'change home_rad or the workspace')
    else:
        yield ok('home', f'inside joint limits and workspace, {where}')


def _speeds(robot: RobotConfig, joints: dict[Any, Any]) -> Iterator[Check]:
    pairs = list(zip(robot.arm_joints, robot.joint_speeds_rad_s))
    possible = {name: float(joints[name].find('limit').get('velocity', 'inf')) for name, _ in pairs}
    beyond = [f'{name} {speed:g} > {possible[name]:g}' for name, speed in pairs if speed > possible[name]]
    if beyond:
        yield fail('limits', f'joint_speed_rad_s beyond the URDF: {", ".join(beyond)}', 'lower joint_speed_rad_s')
    else:
        fastest = max(speed / possible[name] for name, speed in pairs)
        yield ok('limits', f"joint speeds up to {fastest:.0%} of the URDF's")


def _base(robot: RobotConfig, joints: dict[Any, Any]) -> Iterator[Check]:
    """Poses are counted from the URDF's root, so base_frame must be in the same place."""
    parents = {joint.find('child').get('link'): joint for joint in joints.values()}
    link = robot.base_frame
    while link in parents:
        joint = parents[link]
        origin = joint.find('origin')
        numbers = [] if origin is None else f'{origin.get("xyz", "")} {origin.get("rpy", "")}'.split()
        if joint.get('type') != 'fixed' or any(abs(float(number)) > 1e-6 for number in numbers):
            mend = 'take the root as base_frame, or make the URDF without the mount'
            yield fail('base_frame', f"{robot.base_frame} is not where the URDF's root is ({joint.get('name')})", mend)
            return
        link = joint.find('parent').get('link')


def live_checks(robot: RobotConfig, facts: dict[str, Any]) -> list[Check]:
    """The robot's topics, from the facts of doctor_probe."""
    checks = [*_joint_states(robot, facts['joint_states']), *_command(robot, facts['command'])]
    if facts['gripper'] is not None:
        checks.append(_gripper(robot, facts['gripper']))
    if robot.driver_states:
        checks.append(_driver(robot, facts))
    if facts['wrench'] is not None:
        checks.append(_wrench(robot, facts['wrench']))
    return checks


def _joint_states(robot: RobotConfig, facts: dict[str, Any]) -> Iterator[Check]:
    topic = robot.joint_state_topic
    if not facts['received']:
        text = 'nobody publishes it' if not facts['publishers'] else f'{facts["publishers"]} publish nothing'
        yield fail(topic, text, "start the robot's driver, on this machine, in the same ROS_DOMAIN_ID")
        return
    missing = [name for name in (*robot.arm_joints, *robot.gripper.joints) if name not in facts['names']]
    if missing:
        yield fail(topic, f'lacks {", ".join(missing)}', f'it has: {", ".join(facts["names"])}')
    if facts['not_finite']:
        yield fail(topic, f'not a number: {", ".join(facts["not_finite"])}', 'look at the driver')
    rate = f'{facts["rate_hz"]:.0f} Hz'
    if facts['rate_hz'] < SLOWEST_JOINT_STATES_HZ:
        yield warn(topic, f'{rate} is slow', f'publish at {SLOWEST_JOINT_STATES_HZ:g} Hz or more')
    elif not missing:
        yield ok(topic, rate)
    # A simulation's stamps are of its own time, since it began.
    simulated = facts['age_s'] is not None and facts['age_s'] > SIMULATED_AFTER_S
    if facts['age_s'] is not None and not simulated and abs(facts['age_s']) > OLDEST_JOINT_STATE_S:
        text = f'stamps are {facts["age_s"]:.2f} s old on arrival'
        yield warn(topic, text, "synchronise the machines' clocks (chrony)")


def _command(robot: RobotConfig, facts: dict[str, Any]) -> Iterator[Check]:
    topic, wanted = robot.command.topic, COMMAND_TYPES[robot.command.type]
    if not facts['subscribers']:
        yield fail(topic, 'no controller listens', 'start it (ros2 control list_controllers), or correct command.topic')
    elif wanted not in facts['types']:
        yield fail(topic, f'takes {", ".join(facts["types"])}, not {wanted}', 'correct command.type')
    else:
        yield ok(topic, f'{", ".join(facts["subscribers"])} listens')
    others = [name for name in facts['publishers'] if name != OUR_COMMANDER]
    if others:
        yield fail(topic, f'{", ".join(others)} publishes too', 'stop it: only safety_node may command the arm')
    elif facts['publishers']:
        yield warn(topic, f'a run is commanding the arm ({OUR_COMMANDER})', 'look again when it has ended')


def _gripper(robot: RobotConfig, facts: dict[str, Any]) -> Check:
    topic = str(robot.gripper.topic)
    if not facts.get('action_served', bool(facts['subscribers'])):
        return fail(topic, 'nobody serves the gripper', 'start its controller, or correct gripper.topic')
    return ok(topic, 'the gripper answers')


def _driver(robot: RobotConfig, facts: dict[str, Any]) -> Check:
    if facts['driver_error']:
        return fail('driver', facts['driver_error'], 'or correct driver_states')
    if facts['driver']:
        return fail('driver', facts['driver'], 'start the driver, clear its fault, or correct `ok`')
    return ok('driver', f'{len(robot.driver_states)} states as expected')


def _wrench(robot: RobotConfig, facts: dict[str, Any]) -> Check:
    topic = str(robot.wrench_topic)
    frame = robot.wrench_frame or facts['frame'] or robot.tool_frame
    if facts['received'] and _has_no_link(robot, frame):
        return fail(topic, f'it is along the axes of {frame!r}, which the URDF has not', 'set wrench_frame')
    if facts['received']:
        return ok(topic, f'{facts["rate_hz"]:.0f} Hz')
    mend = 'start the force sensor, or set wrench_topic to null'
    guards = robot.limits.force_n is not None or robot.limits.torque_nm is not None
    return (fail if guards else warn)(topic, 'nothing received', mend)


def camera_check(name: str, facts: dict[str, Any], wanted_hz: float) -> Check:
    """One camera that a driver publishes, from the facts of doctor_probe."""
    topic = f'{name}/image_raw'
    if not facts['received']:
        text = 'nothing received' if facts['publishers'] else 'nobody publishes it'
        return fail(topic, text, "start the camera's driver, or give the camera a `source`")
    if not facts['readable']:
        return fail(topic, f'encoding {facts["encoding"]!r} is not read', 'let the driver publish rgb8 or bgr8')
    text = f'{facts["rate_hz"]:.0f} Hz, {facts["size"]}, {facts["encoding"]}'
    if facts['rate_hz'] < SLOW_SHARE * wanted_hz:
        return warn(topic, text, f'slower than control_rate_hz {wanted_hz:g}: raise its frame rate')
    return ok(topic, text)
