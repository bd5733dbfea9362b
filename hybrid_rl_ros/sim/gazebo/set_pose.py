"""Putting a model somewhere in a running Gazebo, by its own transport: the service /world/<world>/set_pose."""

from __future__ import annotations

import importlib
import math
import shutil
import subprocess
from typing import Any, Protocol

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.sim.tasks import Placement

ANSWER_WITHIN_MS = 2000
# gz-transport and gz-msgs of Harmonic, Ionic and Jetty; the newest have no number in their names.
PYTHON_MODULES = (('gz.transport13', 'gz.msgs10'), ('gz.transport14', 'gz.msgs11'), ('gz.transport', 'gz.msgs'))


class SetPose(Protocol):
    def place(self, model: str, at: Placement) -> str:
        """Put `model` at `at`; why that did not work, or ''."""


def quaternion(at: Placement) -> tuple[float, float, float, float]:
    """x, y, z, w."""
    return 0.0, 0.0, math.sin(at[3] / 2.0), math.cos(at[3] / 2.0)


class SetPoseByCommand:
    """`gz service`, which comes with every Gazebo; half a second a call."""

    def __init__(self, world: str) -> None:
        self._service = f'/world/{world}/set_pose'
        found = shutil.which('gz')
        if found is None:
            raise UserError('sim.set_pose: command: there is no gz on the PATH; source Gazebo, or use ros or python')
        self._gz = found

    def place(self, model: str, at: Placement) -> str:
        x, y, z, w = quaternion(at)
        position = f'position: {{x: {at[0]!r}, y: {at[1]!r}, z: {at[2]!r}}}'
        request = f'name: "{model}", {position}, orientation: {{x: {x!r}, y: {y!r}, z: {z!r}, w: {w!r}}}'
        command = [self._gz, 'service', '-s', self._service, '--reqtype', 'gz.msgs.Pose', '--reptype']
        command += ['gz.msgs.Boolean', '--timeout', str(ANSWER_WITHIN_MS), '--req', request]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_WITHIN_MS * 1e-3 + 5.0)
        except subprocess.TimeoutExpired:
            return f'{self._service} did not answer'
        said = ' '.join((result.stdout + result.stderr).split())
        return '' if 'data: true' in said else f'{self._service}: {said or "no answer"}'


class SetPoseByPython:
    """gz-transport's Python bindings; a millisecond a call."""

    def __init__(self, world: str) -> None:
        self._service = f'/world/{world}/set_pose'
        transport, messages = _bindings()
        self._node = transport.Node()
        self._pose = importlib.import_module(f'{messages}.pose_pb2').Pose
        self._boolean = importlib.import_module(f'{messages}.boolean_pb2').Boolean

    def place(self, model: str, at: Placement) -> str:
        pose = self._pose()
        pose.name = model
        pose.position.x, pose.position.y, pose.position.z = at[:3]
        turn = pose.orientation
        turn.x, turn.y, turn.z, turn.w = quaternion(at)
        answered, reply = self._node.request(self._service, pose, self._pose, self._boolean, ANSWER_WITHIN_MS)
        return '' if answered and reply.data else f'{self._service} did not answer, or refused'


def _bindings() -> tuple[Any, str]:
    for transport, messages in PYTHON_MODULES:
        try:
            return importlib.import_module(transport), messages
        except ImportError:
            continue
    raise UserError(f'sim.set_pose: python: none of {", ".join(name for name, _ in PYTHON_MODULES)} is installed')
