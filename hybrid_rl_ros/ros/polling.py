"""Reading a subscription past the executor, which hands over one message of each topic at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.subscription import Subscription


class NeverWaitedFor(CallbackGroup):
    """The group of a subscription that is only polled: its messages do not wake the executor."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""


def queued(subscription: Subscription) -> Iterator[Any]:
    """Takes what has arrived and was not yet handed over, oldest first."""
    while (taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)) is not None:
        yield taken[0]
