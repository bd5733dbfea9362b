"""Reading subscriptions past the executor, which wakes for each message and hands over one of each topic at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription


class NeverWaitedFor(CallbackGroup):
    """The group of a subscription that is only polled: its messages do not wake the executor."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""


class PolledSubscriptions:
    """Subscriptions whose callbacks run in `take`, topic after topic in the order in which they were made."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscriptions: list[Subscription] = []

    def subscribe(self, message: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> None:
        group = NeverWaitedFor()
        subscription = self._node.create_subscription(message, topic, callback, qos, callback_group=group)
        self._subscriptions.append(subscription)

    def take(self) -> None:
        """Run the callbacks of all that has arrived."""
        for subscription in self._subscriptions:
            for message in queued(subscription):
                subscription.callback(message)


def queued(subscription: Subscription) -> Iterator[Any]:
    """Takes what has arrived and was not yet handed over, oldest first."""
    while (taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)) is not None:
        yield taken[0]
