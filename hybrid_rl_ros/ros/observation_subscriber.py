"""Subscribing to everything that makes an observation, joined by stamp."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rclpy.subscription import Subscription
from sensor_msgs.msg import Image, JointState

from hybrid_rl_ros.data.stamp_join import StampJoin
from hybrid_rl_ros.ros.messages import stamp_ns
from hybrid_rl_ros.ros.node import GraphNode
from hybrid_rl_ros.ros.polling import queued
from hybrid_rl_ros.ros.qos import STEP


class ObservationSubscriber:
    """Calls `on_observation(stamp_ns, messages by stream)` with complete observations, in order.

    Lock-step: with every one. Real time: with the newest that has arrived; those that it overtook in the queue are
    counted as `dropped_observations`, so that a stall is never followed by a burst.
    """

    def __init__(
        self, node: GraphNode, streams: Iterable[str], on_observation: Callable[[int, dict[str, Any]], None]
    ) -> None:
        self._node = node
        self._on_observation = on_observation
        self._complete: tuple[int, dict[str, Any]] | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._join = StampJoin(streams, self._on_complete)
        for stream in streams:
            message = Image if stream.startswith('image/') else JointState
            self._subscriptions[stream] = node.create_subscription(
                message, f'observation/{stream}', lambda m, s=stream: self._on_message(s, m), STEP
            )

    def _on_message(self, stream: str, message: Any) -> None:
        self._offer(stream, message)
        if self._complete is not None and not self._node.lockstep:
            self._offer_what_is_queued()
        self._node.status.counters['dropped_joins'] = self._join.dropped
        if self._complete is not None:
            (stamp, messages), self._complete = self._complete, None
            self._on_observation(stamp, messages)

    def _offer(self, stream: str, message: Any) -> None:
        self._join.offer(stream, stamp_ns(message.header.stamp), message)

    def _offer_what_is_queued(self) -> None:
        for stream, subscription in self._subscriptions.items():
            for message in queued(subscription):
                self._offer(stream, message)

    def _on_complete(self, stamp: int, messages: dict[str, Any]) -> None:
        if self._complete is not None:
            self._node.status.count('dropped_observations')
        self._complete = (stamp, messages)
