"""What `hybrid-rl doctor` wants to know of ROS and of a running robot, as one JSON object on stdout.

It only listens: nothing is published and no action is called.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import WrenchStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig, load_robot
from hybrid_rl_ros.ros.driver_states import DriverStates
from hybrid_rl_ros.ros.messages import is_readable, stamp_ns

DISCOVERY_S = 3.0
ENOUGH_GAPS = 3
# Every message counts for a rate, whatever the publisher offers.
COUNTING = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--robot', help='name or file; without it only ROS itself is looked at')
    parser.add_argument('--cameras', nargs='*', default=[], help='whose <name>/image_raw a driver should publish')
    parser.add_argument('--namespace', default='')
    parser.add_argument('--simulation', action='store_true', help='of the robot; its stamps are not of this clock')
    parser.add_argument('--seconds', type=float, default=2.0, help='how long rates are measured')
    options = parser.parse_args()
    segments_before = _segments()
    rclpy.init()
    try:
        node = rclpy.create_node('doctor', namespace=options.namespace)
        facts: dict[str, Any] = {
            'rclpy': str(Path(rclpy.__file__).parent),
            'distribution': os.environ.get('ROS_DISTRO', ''),
            'rmw': rclpy.get_rmw_implementation_identifier(),
            'segment_bytes': max(
                [size for path, size in _segments().items() if path not in segments_before], default=0
            ),
        }
        if options.robot:
            facts |= robot_facts(node, load_robot(options.robot), options.cameras, options.seconds, options.simulation)
    finally:
        rclpy.try_shutdown()
    sys.stdout.write(json.dumps(facts) + '\n')


def robot_facts(
    node: Node, robot: RobotConfig, cameras: list[str], seconds: float, simulation: bool = False
) -> dict[str, Any]:
    """Who is on the robot's and cameras' topics, what arrives there within `seconds`, whether the driver is ready."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    joints = _Arrivals(node, JointState, robot.joint_state_topic)
    wrench = _Arrivals(node, WrenchStamped, robot.wrench_topic) if robot.wrench_topic else None
    task = _Arrivals(node, JointState, 'task_state') if simulation else None
    infos = {camera: _Arrivals(node, CameraInfo, f'{camera}/camera_info') for camera in cameras if simulation}
    images = {camera: _Arrivals(node, Image, f'{camera}/image_raw') for camera in cameras}
    driver, driver_error = None, ''
    try:
        driver = DriverStates(node, robot, heard_within_s=DISCOVERY_S + seconds)
    except UserError as error:
        driver_error = str(error)

    # Who else is there shows only after discovery, and a second commander must not be missed.
    _spin(executor, DISCOVERY_S)
    for arrivals in (joints, wrench, task, *images.values(), *infos.values()):
        if arrivals is not None:
            arrivals.restart()
    _spin(executor, seconds)
    return {
        'task': {**task.facts(), 'names': _last(task, lambda m: list(m.name))} if task else None,
        'reset_served': _serves(node, 'sim/reset') if simulation else None,
        'infos': {camera: {**arrivals.facts(), **_info_facts(arrivals)} for camera, arrivals in infos.items()},
        'joint_states': {**joints.facts(), **_joint_facts(robot, [m for _, m in joints.messages])},
        'wrench': {**wrench.facts(), 'frame': _last(wrench, lambda m: m.header.frame_id)} if wrench else None,
        'cameras': {camera: {**arrivals.facts(), **_image_facts(arrivals)} for camera, arrivals in images.items()},
        'command': _ends(node, robot.command.topic),
        'gripper': _ends(node, robot.gripper.topic) | _server(node, robot) if robot.gripper.topic else None,
        'driver': driver.blocked() if driver else None,
        'driver_error': driver_error,
    }


class _Arrivals:
    """The messages of one topic, with the time at which each came."""

    def __init__(self, node: Node, message: type, topic: str) -> None:
        self.messages: list[tuple[float, Any]] = []
        self._node = node
        self._topic = topic
        node.create_subscription(message, topic, lambda m: self.messages.append((time.monotonic(), m)), COUNTING)

    def restart(self) -> None:
        self.messages.clear()

    def facts(self) -> dict[str, Any]:
        times = [at for at, _ in self.messages]
        stamps = [stamp_ns(message.header.stamp) for _, message in self.messages]
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        rates = {'rate_hz': _rate(times), 'stamped_hz': _rate([stamp * 1e-9 for stamp in stamps])}
        rates['simulated_hz'] = simulated_rate_hz(stamps)
        return {'received': len(times), **rates, 'publishers': [end.node_name for end in publishers]}


def _rate(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0


def simulated_rate_hz(stamps_ns: list[int]) -> float:
    """How often a simulation says something in its own time, however much of it was lost on the way; 0: cannot tell.

    Its stamps are as even as its steps, so every gap is a whole number of the shortest one.
    """
    gaps = np.diff(np.unique(np.array(stamps_ns, np.int64)))
    if len(gaps) < ENOUGH_GAPS:
        return 0.0
    return float(np.rint(gaps / gaps.min()).sum() / (gaps.sum() * 1e-9))


def _last(arrivals: _Arrivals, what: Callable[[Any], Any]) -> Any:
    return what(arrivals.messages[-1][1]) if arrivals.messages else None


def _image_facts(arrivals: _Arrivals) -> dict[str, Any]:
    return {
        'encoding': _last(arrivals, lambda m: m.encoding),
        'readable': _last(arrivals, lambda m: is_readable(m.encoding)),
        'size': _last(arrivals, lambda m: f'{m.width}x{m.height}'),
        'frame': _last(arrivals, lambda m: m.header.frame_id),
    }


def _info_facts(arrivals: _Arrivals) -> dict[str, Any]:
    return {'frame': _last(arrivals, lambda m: m.header.frame_id), 'matrix': _last(arrivals, lambda m: m.k.tolist())}


def _joint_facts(robot: RobotConfig, messages: list[JointState]) -> dict[str, Any]:
    """Which joints came at all, which of them with a number that is not finite, and how late they come."""
    latest: dict[str, float] = {}
    for message in messages:
        latest |= dict(zip(message.name, message.position))
    wanted = [*robot.arm_joints, *robot.gripper.joints]
    ages = [time.time() - stamp_ns(m.header.stamp) * 1e-9 for m in messages[-1:] if stamp_ns(m.header.stamp)]
    return {
        'names': list(latest),
        'positions': {name: value for name, value in latest.items() if np.isfinite(value)},
        'not_finite': [name for name in wanted if name in latest and not np.isfinite(latest[name])],
        'age_s': ages[0] if ages else None,
    }


def _ends(node: Node, topic: str) -> dict[str, Any]:
    subscriptions = node.get_subscriptions_info_by_topic(topic)
    return {
        'subscribers': [end.node_name for end in subscriptions],
        'types': sorted({end.topic_type for end in subscriptions}),
        'publishers': [end.node_name for end in node.get_publishers_info_by_topic(topic)],
    }


def _server(node: Node, robot: RobotConfig) -> dict[str, Any]:
    """Whether someone serves the gripper's action, found by the services that every action has."""
    actions = {'gripper_action': '', 'franka_grasp': '/grasp'}
    if robot.gripper.type not in actions:
        return {}
    service = f'{str(robot.gripper.topic).rstrip("/")}{actions[robot.gripper.type]}/_action/send_goal'
    return {'action_served': _serves(node, service)}


def _serves(node: Node, service: str) -> bool:
    # By node, because the list of all services has those that only a client waits for.
    everyone = [node.get_service_names_and_types_by_node(*where) for where in node.get_node_names_and_namespaces()]
    return node.resolve_service_name(service) in {name for services in everyone for name, _ in services}


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)


def _segments() -> dict[str, int]:
    """Fast DDS's shared-memory segments that this process has mapped, with their size."""
    mapped = {line.split()[-1] for line in Path('/proc/self/maps').read_text().splitlines() if '/dev/shm/fast' in line}
    return {path: os.stat(path).st_size for path in mapped if os.path.isfile(path)}


if __name__ == '__main__':
    main()
