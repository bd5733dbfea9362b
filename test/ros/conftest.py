"""Two real nodes in the test's process that talk over DDS: `ours` of this package, `theirs` as the robot's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor


class TwoNodes:
    """`spin_until(condition)` lets both work until it is true."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.ours = rclpy.create_node('ours', context=self.context)
        self.theirs = rclpy.create_node('theirs', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.ours)
        self.executor.add_node(self.theirs)

    def spin_until(self, condition: Callable[[], Any], within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, 'the condition did not come true in time'
            self.executor.spin_once(timeout_sec=0.02)

    def listen(self, message: type, topic: str) -> list[Any]:
        """What arrives at `theirs` from now on; returns when a publisher of `ours` is matched."""
        heard: list[Any] = []
        subscription = self.theirs.create_subscription(message, topic, heard.append, 10)
        # Humble's subscriptions do not count; its node does.
        matched = getattr(subscription, 'get_publisher_count', partial(self.theirs.count_publishers, topic))
        self.spin_until(lambda: matched() == 1)
        # A reliable publisher sends nothing to a subscription that it has not yet matched itself.
        publisher = next(p for p in self.ours.publishers if p.topic_name == subscription.topic_name)
        self.spin_until(lambda: publisher.get_subscription_count() == 1)
        return heard


@pytest.fixture
def nodes() -> Iterator[TwoNodes]:
    two = TwoNodes()
    yield two
    two.executor.shutdown()
    two.ours.destroy_node()
    two.theirs.destroy_node()
    rclpy.shutdown(context=two.context)
