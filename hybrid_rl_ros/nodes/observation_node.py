"""Camera and robot streams to one observation per control step."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import WrenchStamped
from sensor_msgs.msg import Image, JointState

from hybrid_rl_ros.cameras.freeze_detector import FreezeDetector
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.ros.messages import (
    NS_PER_S,
    pick,
    read_image,
    read_named_vector,
    stamp_ns,
    write_image,
    write_named_vector,
)
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import SENSOR, STEP
from hybrid_rl_ros.ros.stamp_join import StampJoin

MIN_REPEATS = 5
STEP_CONSUMERS = ('inference_node', 'learner_node', 'recorder_node')


class ObservationNode(GraphNode):
    """Publishes everything of one control step under one stamp.

    Subscribes: joint_states, wrench, task_state (as the configuration needs them), <camera>/image_raw.
    Publishes: observation/state (the policy's named vector), observation/image/<camera> (resized rgb8) and
    observation/task (named numbers that only reward, experts and evaluation may use).

    Real time: ticks at the control rate with the newest of each stream, and stays silent when one is too old or a real
    camera shows nothing new.
    Lock-step: passes on each stamp once every stream has it.
    """

    consumers = {
        'observation/state': STEP_CONSUMERS,
        'observation/task': ('reward_reset_node', 'inference_node'),
    }

    def __init__(self) -> None:
        super().__init__('observation_node')
        spec = self.specs.observation
        self._cameras = {image.camera: image for image in spec.images}
        self.consumers = {
            **self.consumers,
            **{f'observation/image/{camera}': STEP_CONSUMERS for camera in self._cameras},
        }
        self._direct = self.config.action.space == 'direct'
        self._kinematics = None if self._direct else ArmKinematics(self.robot)
        self._topics: dict[str, tuple[type, str]] = {'task': (JointState, 'task_state')}
        if not self._direct:
            self._topics['joints'] = (JointState, 'joint_states')
        if any(name.startswith('wrench.') for name in spec.state.names):
            self._topics['wrench'] = (WrenchStamped, 'wrench')
        for camera in self._cameras:
            self._topics[f'image/{camera}'] = (Image, f'{camera}/image_raw')
        self._state = self.publisher(JointState, 'observation/state', STEP)
        self._task = self.publisher(JointState, 'observation/task', STEP)
        self._images = {camera: self.publisher(Image, f'observation/image/{camera}', STEP) for camera in self._cameras}
        self._newest: dict[str, tuple[int, Any]] = {}
        # A real sensor's noise never repeats; a simulated picture of an arm at rest always does.
        after_s = self.config.observation.frozen_after_s
        real = [name for name, c in self.config.observation.cameras.items() if c.source or not self.config.sim]
        self._freezes = {name: FreezeDetector(MIN_REPEATS, after_s) for name in real}
        self._frozen: set[str] = set()
        self._join = StampJoin(self._topics, self._publish)
        for stream, (message, topic) in self._topics.items():
            qos = STEP if self.lockstep else SENSOR
            self.create_subscription(message, topic, lambda m, s=stream: self._on_message(s, m), qos)
        self._started = time.monotonic()
        self.every(0.5, self._check_publishers)
        if not self.lockstep:
            self._next_tick = time.monotonic()
            self.every(self.config.control_period_s, self._on_tick)

    def _on_message(self, stream: str, message: Any) -> None:
        stamp = stamp_ns(message.header.stamp)
        if (camera := stream.removeprefix('image/')) in self._freezes:
            self._watch_freeze(camera, read_image(message))
        if self.lockstep:
            self._join.offer(stream, stamp, message)
            self.status.counters['dropped_joins'] = self._join.dropped
        else:
            self._newest[stream] = (stamp, message)

    def _watch_freeze(self, camera: str, image: np.ndarray) -> None:
        frozen = self._freezes[camera].see(image, time.monotonic()) == 'frozen'
        if frozen and camera not in self._frozen:
            self.status.count('frozen_cameras')
            self.get_logger().error(f'{camera}/image_raw repeats one picture; observations stop until it changes')
        (self._frozen.add if frozen else self._frozen.discard)(camera)
        self.status.warning = f'{", ".join(sorted(self._frozen))} frozen' if self._frozen else ''

    def _check_publishers(self) -> None:
        if time.monotonic() - self._started < self.config.observation.topic_timeout_s:
            return
        for _, topic in self._topics.values():
            if self.count_publishers(topic) == 0:
                wait = self.config.observation.topic_timeout_s
                raise UserError(
                    f'observation_node: nobody publishes {self.resolve_topic_name(topic)!r} after {wait:g} s; '
                    'start its driver, or take it out of the configuration (observation)'
                )

    def _on_tick(self) -> None:
        now = self.get_clock().now().nanoseconds
        if len(self._newest) < len(self._topics) or self._frozen:
            return
        oldest_s = max(now - stamp for stamp, _ in self._newest.values()) / NS_PER_S
        if oldest_s > self.config.observation.max_age_s:
            self.status.count('stale_ticks')
            return
        self._publish(now, {stream: message for stream, (_, message) in self._newest.items()})

    def _publish(self, stamp: int, messages: dict[str, Any]) -> None:
        task = read_named_vector(messages['task'])
        named = {f'task.{name}': value for name, value in task.items()}
        if self._kinematics is not None:
            named.update(self._arm_numbers(messages['joints']))
        if 'wrench' in messages:
            force, torque = messages['wrench'].wrench.force, messages['wrench'].wrench.torque
            named.update({f'wrench.f{axis}': getattr(force, axis) for axis in 'xyz'})
            named.update({f'wrench.t{axis}': getattr(torque, axis) for axis in 'xyz'})
        try:
            state = {name: named[name] for name in self.specs.observation.state.names}
        except KeyError as missing:
            raise UserError(f'observation_node: observation.state names {missing}, which no stream carries') from None
        for camera, spec in self._cameras.items():
            image = read_image(messages[f'image/{camera}'])
            if image.shape != spec.shape:
                image = cv2.resize(image, (spec.width, spec.height), interpolation=cv2.INTER_AREA)
            self._images[camera].publish(write_image(image, stamp, messages[f'image/{camera}'].header.frame_id))
        self._task.publish(write_named_vector(task, stamp))
        self._state.publish(write_named_vector(state, stamp))
        self.status.count('observations')

    def _arm_numbers(self, message: JointState) -> dict[str, float]:
        assert self._kinematics is not None
        position = dict(zip(message.name, message.position))
        velocity = dict(zip(message.name, message.velocity))
        named = {f'{name}.position': value for name, value in position.items()}
        named.update({f'{name}.velocity': value for name, value in velocity.items()})
        joints = pick(position, self.robot.arm_joints)
        pose = self._kinematics.tool_pose(joints)
        named.update(zip(('ee.x', 'ee.y', 'ee.z'), pose.translation))
        named['ee.yaw'] = math.atan2(pose.rotation[1, 0], pose.rotation[0, 0])
        if velocity:
            linear = self._kinematics.tool_velocity(joints, pick(velocity, self.robot.arm_joints))
            named.update(zip(('ee.vx', 'ee.vy', 'ee.vz'), linear))
        if self.robot.gripper.joints:
            fingers = np.mean(pick(position, self.robot.gripper.joints))
            closed, opened = self.robot.gripper.closed, self.robot.gripper.open
            named['gripper.opening'] = (fingers - closed) / (opened - closed)
        return {name: float(value) for name, value in named.items()}


def main() -> None:
    sys.exit(node_main(ObservationNode))


if __name__ == '__main__':
    main()
