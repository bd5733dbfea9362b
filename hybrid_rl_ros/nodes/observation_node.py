"""Camera and robot streams to one observation per control step."""

from __future__ import annotations

import math
import time
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import WrenchStamped
from sensor_msgs.msg import Image, JointState

from hybrid_rl_ros.cameras.freeze_detector import FreezeDetector
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.proprioception import Proprioception
from hybrid_rl_ros.control.reach import Reach
from hybrid_rl_ros.control.task_graph import TaskGraph
from hybrid_rl_ros.data.stamp_join import StampJoin
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.ros.messages import (
    NS_PER_S,
    read_image,
    read_named_vector,
    stamp_ns,
    write_image,
    write_named_vector,
)
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import BURST, SENSOR, STEP
from hybrid_rl_ros.ros.temperatures import Temperatures

MIN_REPEATS = 5
STEP_CONSUMERS = ('inference_node', 'learner_node', 'recorder_node', 'bag_node')


class ObservationNode(GraphNode):
    """Publishes everything of one control step under one stamp.

    Subscribes: the robot's joint states and wrench, task_state in simulation, <camera>/image_raw, and practice, which
    of several tasks comes next; what the configuration needs of them. Publishes: observation/state (the policy's named
    vector), observation/image/<camera> (resized rgb8) and observation/task (named numbers that only reward, experts and
    evaluation may use: those of task_state, what the reward reads of the arm, and which task is under way).

    Real time: ticks at the control rate with the newest of each stream, and stays silent when the stamp of one is too
    old or in the future, or a real camera shows nothing new; its diagnostics then say which.
    Lock-step: passes on each stamp once every stream has it.
    """

    consumers = {
        'observation/state': (*STEP_CONSUMERS, 'teleop_node'),
        'observation/task': ('reward_reset_node', 'inference_node', 'teleop_node', 'bag_node'),
    }

    def __init__(self) -> None:
        super().__init__('observation_node')

    def set_up(self) -> None:
        config, spec = self.config, self.specs.observation
        self._cameras = {image.camera: image for image in spec.images}
        self._judged = config.judged_numbers
        if config.reset.by_arm:
            self._judged += Reach.of(self.robot, config.action, ArmKinematics(self.robot)).reads
        seeing = STEP_CONSUMERS if config.bag.images else STEP_CONSUMERS[:-1]
        images = {f'observation/image/{camera}': seeing for camera in self._cameras}
        self.consumers = {**self.consumers, **images}
        self._arm: Proprioception | None = None
        if config.action.space != 'direct':
            self._arm = Proprioception(self.robot, ArmKinematics(self.robot), self._names())
        self._topics = self._wanted_topics()
        self._state = self.publisher(JointState, 'observation/state', STEP)
        self._task = self.publisher(JointState, 'observation/task', STEP)
        self._images = {camera: self.publisher(Image, f'observation/image/{camera}', STEP) for camera in self._cameras}
        self._newest: dict[str, Any] = {}
        # A real sensor's noise never repeats; a simulated picture of an arm at rest always does.
        real = [name for name, camera in config.observation.cameras.items() if camera.source or not config.sim]
        self._freezes = {name: FreezeDetector(MIN_REPEATS, config.observation.frozen_after_s) for name in real}
        self._frozen: set[str] = set()
        self._practice = TaskGraph(config.practice).numbers
        self._period_ns = round(config.control_period_s * NS_PER_S)
        joined = [*self._topics, *(['practice'] if self._practice else [])]
        self._join = StampJoin(joined, self._publish)
        for stream, (message, topic) in self._topics.items():
            qos = STEP if self.lockstep else BURST if stream == 'joints' else SENSOR
            self.create_subscription(message, topic, lambda m, s=stream: self._on_message(s, m), qos)
        self._temperatures = Temperatures(self, self.robot.temperature_topics, self._names())
        if self._practice:
            self.create_subscription(JointState, 'practice', self._on_practice, STEP)
        self._started = time.monotonic()
        self.every(0.5, self._check_streams)
        if not self.lockstep:
            self.every(config.control_period_s, self._on_tick)

    def _names(self) -> list[str]:
        """All numbers that are wanted of the arm."""
        return [*self.specs.observation.state.names, *self._judged]

    def _wanted_topics(self) -> dict[str, tuple[type, str]]:
        """Stream to message type and topic."""
        topics: dict[str, tuple[type, str]] = {'task': (JointState, 'task_state')} if self.config.sim else {}
        if self._arm is not None:
            topics['joints'] = (JointState, self.robot.joint_state_topic)
        if self.robot.wrench_topic and any(name.startswith('wrench.') for name in self._names()):
            topics['wrench'] = (WrenchStamped, self.robot.wrench_topic)
        return {**topics, **{f'image/{camera}': (Image, f'{camera}/image_raw') for camera in self._cameras}}

    def _on_message(self, stream: str, message: Any) -> None:
        stamp = stamp_ns(message.header.stamp)
        if (camera := stream.removeprefix('image/')) in self._freezes:
            self._watch_freeze(camera, self._picture(camera, message))
        if stream == 'joints' and self._arm is not None:
            self._arm.read(message.name, message.position, message.velocity, stamp)
        if self.lockstep:
            self._join.offer(stream, stamp, message)
            if self._practice and stamp <= 2 * self._period_ns:
                # The clock stands at the first step until the first reset; before the next nobody need have spoken.
                self._join.offer('practice', stamp, self._practice)
            self.status.counters['dropped_joins'] = self._join.dropped
        self._newest[stream] = message

    def _on_practice(self, message: JointState) -> None:
        """Said at one step of the next."""
        self._practice = read_named_vector(message)
        if self.lockstep:
            self._join.offer('practice', stamp_ns(message.header.stamp) + self._period_ns, self._practice)

    def _picture(self, camera: str, message: Image) -> np.ndarray:
        try:
            return read_image(message)
        except ValueError as error:
            raise UserError(f'observation_node: {camera}/image_raw: {error}') from None

    def _watch_freeze(self, camera: str, image: np.ndarray) -> None:
        frozen = self._freezes[camera].see(image, time.monotonic()) == 'frozen'
        if frozen and camera not in self._frozen:
            self.status.count('frozen_cameras')
        (self._frozen.add if frozen else self._frozen.discard)(camera)

    def _check_streams(self) -> None:
        """Give up on what was never there; a stream that stops later is waited for, and the arm holds."""
        wait = self.config.observation.topic_timeout_s
        if time.monotonic() - self._started < wait:
            return
        for stream, (_, topic) in self._topics.items():
            if stream not in self._newest and self.count_publishers(topic) == 0:
                raise UserError(
                    f'observation_node: nobody publishes {self.resolve_topic_name(topic)!r} after {wait:g} s; '
                    'start its driver, or take it out of the configuration (observation)'
                )
        if 'joints' in self._newest and self._arm is not None and self._arm.missing:
            topic = self.resolve_topic_name(self.robot.joint_state_topic)
            there = list(self._newest['joints'].name)
            raise UserError(
                f'observation_node: {topic!r} has said nothing of joint {self._arm.missing[0]!r} in {wait:g} s, '
                f'which robot {self.robot.name} names; it has {there}'
            )

    def _on_tick(self) -> None:
        now = self.get_clock().now().nanoseconds
        hindrance = self._hindrance(now)
        if hindrance != self.status.warning:
            self.status.warning = hindrance
            self.get_logger().warning(f'no observations: {hindrance}' if hindrance else 'observations go on')
        if not hindrance:
            self._publish(now, self._newest)

    def _hindrance(self, now: int) -> str:
        """Why there is no observation at this tick, or ''."""
        silent = [topic for stream, (_, topic) in self._topics.items() if stream not in self._newest]
        if silent:
            return f'waiting for {silent[0]}'
        if self._arm is not None and self._arm.missing:
            return f'waiting for joint {self._arm.missing[0]}'
        if late := self._temperatures.late():
            return f'waiting for {late}'
        if self._frozen:
            return f'{min(self._frozen)}/image_raw repeats one picture'
        stamps = {topic: stamp_ns(self._newest[stream].header.stamp) for stream, (_, topic) in self._topics.items()}
        if self._arm is not None:
            stamps[self.robot.joint_state_topic] = self._arm.oldest_ns
        for topic, stamp in stamps.items():
            age_s = (now - stamp) / NS_PER_S
            if age_s > self.config.observation.max_age_s:
                self.status.count('stale_ticks')
                return f'the stamps of {topic} are too old; does its driver run, with this clock?'
            if age_s < -self.config.max_lead_s:
                self.status.count('future_ticks')
                return f'the stamps of {topic} are in the future; set the clocks of both machines'
        return ''

    def _publish(self, stamp: int, messages: dict[str, Any]) -> None:
        task = read_named_vector(messages['task']) if 'task' in messages else {}
        named = {f'task.{name}': value for name, value in task.items()}
        named.update(messages.get('practice', self._practice))
        named.update(self._temperatures.numbers)
        if self._arm is not None:
            named.update(self._arm.numbers())
        if 'wrench' in messages:
            force, torque = messages['wrench'].wrench.force, messages['wrench'].wrench.torque
            named.update({f'wrench.f{axis}': getattr(force, axis) for axis in 'xyz'})
            named.update({f'wrench.t{axis}': getattr(torque, axis) for axis in 'xyz'})
        try:
            state = {name: named[name] for name in self.specs.observation.state.names}
            judged = {name: named[name] for name in self._judged}
        except KeyError as missing:
            seen = missing.args[0] in self.specs.observation.state.names
            what = 'observation.state' if seen else 'reward or episode'
            raise UserError(f'observation_node: {what} names {missing}, which no stream carries') from None
        if not all(math.isfinite(value) for value in state.values()):
            self._refuse_infinite(state)
            return
        for camera, spec in self._cameras.items():
            image = self._picture(camera, messages[f'image/{camera}'])
            if image.shape != spec.shape:
                image = cv2.resize(image, (spec.width, spec.height), interpolation=cv2.INTER_AREA)
            self._images[camera].publish(write_image(image, stamp, messages[f'image/{camera}'].header.frame_id))
        self._task.publish(write_named_vector({**task, **judged}, stamp))
        self._state.publish(write_named_vector(state, stamp))
        self.status.count('observations')

    def _refuse_infinite(self, state: dict[str, float]) -> None:
        what = ', '.join(name for name, value in state.items() if not math.isfinite(value))
        if self.lockstep:
            raise RuntimeError(f'the simulation says that {what} is not finite')
        self.status.count('infinite_ticks')
        self.get_logger().error(f'no observation: {what} is not finite', throttle_duration_sec=1.0)


def main() -> None:
    node_main(ObservationNode)


if __name__ == '__main__':
    main()
