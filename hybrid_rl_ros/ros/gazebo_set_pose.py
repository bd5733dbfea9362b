"""Putting a model somewhere in Gazebo by ros_gz's service, and the choice among the ways there are."""

from __future__ import annotations

import importlib
import threading

from geometry_msgs.msg import Point, Pose, Quaternion
from rclpy.node import Node

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.sim.gazebo.set_pose import ANSWER_WITHIN_MS, SetPose, SetPoseByCommand, SetPoseByPython, quaternion
from hybrid_rl_ros.sim.tasks import Placement


class SetPoseByRos:
    """ros_gz_interfaces/srv/SetEntityPose, where the bridge carries it. Called from a thread that does not spin."""

    def __init__(self, node: Node, world: str) -> None:
        try:
            self._service = importlib.import_module('ros_gz_interfaces.srv').SetEntityPose
            self._entity = importlib.import_module('ros_gz_interfaces.msg').Entity
        except ImportError:
            raise UserError('sim.set_pose: ros: ros_gz_interfaces is not installed') from None
        self._name = f'/world/{world}/set_pose'
        self._client = node.create_client(self._service, self._name)

    def place(self, model: str, at: Placement) -> str:
        x, y, z, w = quaternion(at)
        pose = Pose(position=Point(x=at[0], y=at[1], z=at[2]), orientation=Quaternion(x=x, y=y, z=z, w=w))
        request = self._service.Request(entity=self._entity(name=model, type=self._entity.MODEL), pose=pose)
        if not self._client.service_is_ready():
            return f'nobody serves {self._name}'
        done = threading.Event()
        future = self._client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(ANSWER_WITHIN_MS * 1e-3):
            return f'{self._name} did not answer'
        return '' if future.result().success else f'{self._name} refused'


def make_set_pose(node: Node, way: str, world: str) -> SetPose:
    """`way` as sim.set_pose; auto: Gazebo's own transport where this machine has it. Raises UserError."""
    if way == 'ros':
        return SetPoseByRos(node, world)
    if way == 'python':
        return SetPoseByPython(world)
    if way == 'command':
        return SetPoseByCommand(world)
    for make in (lambda: SetPoseByPython(world), lambda: SetPoseByCommand(world), lambda: SetPoseByRos(node, world)):
        try:
            return make()
        except UserError:
            continue
    raise UserError(
        'sim.set_pose: nothing here talks to Gazebo: no gz.transport for Python, no gz on the PATH, no '
        'ros_gz_interfaces; install one of them'
    )
