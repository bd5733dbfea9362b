"""Stands in for a Gazebo server and its ros_gz_bridge: publishes what a file of config/gz_bridge*.yaml names.

Joints follow their commands, the cube is where the `gz` beside it put it, time runs since FAKE_GAZEBO_BEGAN.
"""

from __future__ import annotations

import json
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.node import Node

from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.ros.messages import to_header, to_stamp
from hybrid_rl_ros.sim.layout import camera_views

# FAKE_GAZEBO_WRENCH_HZ and FAKE_GAZEBO_WRENCH_FRAME: a world that is not as the doctor wants it.
HZ = {
    'Clock': 250.0,
    'JointState': 250.0,
    'WrenchStamped': float(os.environ.get('FAKE_GAZEBO_WRENCH_HZ', '100')),
    'Image': 10.0,
    'CameraInfo': 10.0,
    'PoseStamped': 50.0,
}
FOLLOW_PER_S = 40.0


class Bridge(Node):
    def __init__(self) -> None:
        super().__init__('parameter_bridge')
        entries = yaml.safe_load(Path(self.declare_parameter('config_file', '').value).read_text())
        robot = self._robot = load_robot('sim_arm')
        fingers = dict.fromkeys(robot.gripper.joints, robot.gripper.open)
        self._joints = {**dict(zip(robot.arm_joints, robot.home_rad)), **fingers}
        self._commands = dict(self._joints)
        for entry in entries:
            package, _, name = entry['ros_type_name'].split('/')
            kind, topic = getattr(import_module(f'{package}.msg'), name), entry['ros_topic_name']
            if entry['direction'] == 'ROS_TO_GZ':
                joint = topic.split('/')[1]
                self.create_subscription(kind, topic, lambda m, j=joint: self._commands.update({j: m.data}), 10)
            else:
                publisher = self.create_publisher(kind, topic, 10)
                self.create_timer(1.0 / HZ[name], lambda p=publisher, k=kind, t=topic: p.publish(self._message(k, t)))

    def _message(self, kind: type, topic: str) -> Any:
        name = kind.__name__
        since = time.time() - float(os.environ['FAKE_GAZEBO_BEGAN'])
        # As a simulation's: at whole periods of its own time, whenever the machine gets round to it.
        now = int(since * HZ[name]) * round(1e9 / HZ[name])
        if name == 'Clock':
            return kind(clock=to_stamp(now))
        camera = topic.split('/')[0]
        optical, wrist = f'{camera}_optical_frame', os.environ.get('FAKE_GAZEBO_WRENCH_FRAME', 'flange')
        frame = {'Image': optical, 'CameraInfo': optical, 'WrenchStamped': wrist}
        message = kind(header=to_header(now, frame.get(name, '')))
        if name == 'JointState':
            share = min(1.0, FOLLOW_PER_S / HZ[name])
            self._joints = {j: at + share * (self._commands[j] - at) for j, at in self._joints.items()}
            message.name, message.position = list(self._joints), list(self._joints.values())
            message.velocity = [0.0] * len(self._joints)
        elif name == 'Image':
            message.height, message.width, message.encoding, message.step = 64, 64, 'rgb8', 192
            message.data.frombytes(os.urandom(64 * 192))
        elif name == 'CameraInfo':
            message.k = camera_views(self._robot)[camera].matrix(64, 64).ravel()
        elif name == 'PoseStamped':
            placed = Path(os.environ['FAKE_GAZEBO']) / 'cube.json'
            at = json.loads(placed.read_text()) if placed.exists() else [0.45, 0.0, 0.02]
            position = message.pose.position
            position.x, position.y, position.z = at
        return message


def main() -> None:
    rclpy.init()
    rclpy.spin(Bridge())


if __name__ == '__main__':
    try:
        main()
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        pass
