"""Hearing everything that a bag should have, as the bytes that were sent."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header, UInt32

from hybrid_rl_ros.data.exchange.bag_types import learn_type
from hybrid_rl_ros.data.exchange.bag_writer import BagTopic
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.ros.interfaces import import_interface
from hybrid_rl_ros.ros.polling import NeverWaitedFor
from hybrid_rl_ros.ros.qos import LATCHED, STEP

# Topics of the graph itself, all of one publisher each.
STEP_TOPICS = ('observation/state', 'observation/task', 'action/executed', 'action/policy', 'reward')
OTHER_TOPICS = {
    **dict.fromkeys(('action/teleop', 'action/reset'), (JointState, STEP)),
    **dict.fromkeys(('episode', 'safety/state'), (DiagnosticArray, LATCHED)),
    'policy/version': (UInt32, LATCHED),
    'learner/step': (Header, STEP),
    'graph/ended': (Header, LATCHED),
    '/clock': (Clock, STEP),
}
# A machine busy with something else for seconds costs no message.
DEPTH, IMAGE_DEPTH = 2000, 200


@dataclass(frozen=True)
class Received:
    """One serialised message, with the system's time when it came and when it was sent."""

    topic: BagTopic
    received_ns: int
    sent_ns: int
    data: bytes


class BagSubscriptions:
    """Subscribes to the graph's topics at once and to `others` (full names, of any type) when they are there.

    `lost` counts what its publishers sent and DDS did not deliver. Messages are polled: at hundreds a second, a wait
    of rclpy for each would take a third of a core.
    """

    def __init__(self, node: Node, cameras: Iterable[str], others: Iterable[str]) -> None:
        self._node = node
        self._heard: list[_Heard] = []
        self._awaited = {node.resolve_topic_name(topic) for topic in others}
        self.lost = 0
        for topic in STEP_TOPICS:
            self._subscribe(topic, JointState, STEP, DEPTH)
        for camera in cameras:
            self._subscribe(f'observation/image/{camera}', Image, STEP, IMAGE_DEPTH)
        for topic, (message, qos) in OTHER_TOPICS.items():
            self._subscribe(topic, message, qos, DEPTH)

    def take(self) -> list[Received]:
        """All that has come since the last time, in the order of its coming."""
        taken = [received for heard in self._heard for received in heard.take()]
        self.lost = sum(heard.lost for heard in self._heard)
        return sorted(taken, key=attrgetter('received_ns'))

    @property
    def awaited(self) -> frozenset[str]:
        """The full names of those that nobody has published yet."""
        return frozenset(self._awaited)

    def look_for_others(self) -> None:
        """Subscribe to those that have appeared, with the quality of service that they offer."""
        if not self._awaited:
            return
        for topic, types in self._node.get_topic_names_and_types():
            publishers = self._node.get_publishers_info_by_topic(topic) if topic in self._awaited else []
            if not publishers:
                continue
            self._awaited.discard(topic)
            offered = [publisher.qos_profile for publisher in publishers]
            reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
            latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
            qos = QoSProfile(
                depth=10,
                reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            )
            self._subscribe_unknown(topic, types[0], qos)

    def _subscribe_unknown(self, topic: str, type_name: str, qos: QoSProfile) -> None:
        try:
            message = import_interface(type_name, topic)
            learn_type(type_name)
        except UserError as error:
            self._node.get_logger().warning(f'{topic} is not recorded: {error}')
            return
        self._subscribe(topic, message, qos, IMAGE_DEPTH if type_name.endswith('Image') else DEPTH, one_voice=False)

    def _subscribe(self, topic: str, message: Any, offered: QoSProfile, depth: int, one_voice: bool = True) -> None:
        qos = QoSProfile(depth=depth, reliability=offered.reliability, durability=offered.durability)
        group = NeverWaitedFor()
        subscription = self._node.create_subscription(
            message, topic, lambda _: None, qos, callback_group=group, raw=True
        )
        package = message.__module__.partition('.')[0]
        about = BagTopic(
            name=subscription.topic_name,
            type=f'{package}/msg/{message.__name__}',
            depth=offered.depth,
            reliable=offered.reliability == ReliabilityPolicy.RELIABLE,
            latched=offered.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._heard.append(_Heard(subscription, about, one_voice))


class _Heard:
    """One subscription; `one_voice` if its topic has one publisher, so that a gap in the numbers is a loss."""

    def __init__(self, subscription: Subscription, topic: BagTopic, one_voice: bool) -> None:
        self._subscription = subscription
        self._topic = topic
        self._one_voice = one_voice
        self._last = 0
        self.lost = 0

    def take(self) -> list[Received]:
        taken = []
        while (message := self._subscription.handle.take_message(self._subscription.msg_type, True)) is not None:
            data, about = message
            received_ns = about['received_timestamp'] or time.time_ns()
            self._notice_gap(about.get('publication_sequence_number') or 0)
            taken.append(Received(self._topic, received_ns, about['source_timestamp'] or received_ns, data))
        return taken

    def _notice_gap(self, number: int) -> None:
        if self._one_voice and self._last and number > self._last + 1:
            self.lost += number - self._last - 1
        self._last = number
