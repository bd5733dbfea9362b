"""The loop that keeps its own time, and callbacks run without waiting."""

from __future__ import annotations

import time
from typing import Any

import pytest
from std_msgs.msg import String

from hybrid_rl_ros.ros.executor import PacedLoop, QuietExecutor
from hybrid_rl_ros.ros.polling import PolledSubscriptions
from hybrid_rl_ros.ros.qos import STEP


def test_a_late_tick_is_left_out_and_the_next_keeps_the_beat() -> None:
    began, ticks = time.monotonic(), []
    loop = PacedLoop(lambda: ticks.append(time.monotonic()), period_s=0.05)
    for late_s in (0.0, 0.12, 0.0, 0.0):
        loop.step()
        time.sleep(late_s)
    beats = [round((tick - began) / 0.05) for tick in ticks]
    assert beats[0] == 0
    # The second comes at once, two beats late; then on the beat, with nothing made up for.
    assert beats[3] - beats[2] == 1
    assert len(set(beats)) == 4


@pytest.mark.slow
def test_polled_messages_are_handed_over_in_take_and_nowhere_else(nodes: Any) -> None:
    heard: list[str] = []
    polled = PolledSubscriptions(nodes.ours)
    polled.subscribe(String, 'second', lambda m: heard.append(m.data), STEP)
    publisher = nodes.ours.create_publisher(String, 'second', STEP)
    executor = QuietExecutor(context=nodes.context)
    executor.add_node(nodes.ours)
    while publisher.get_subscription_count() == 0:
        time.sleep(0.01)
    for text in 'abc':
        publisher.publish(String(data=text))
    time.sleep(0.2)
    executor.spin_ready()
    assert heard == []
    polled.take()
    assert heard == ['a', 'b', 'c']


@pytest.mark.slow
def test_what_a_callback_raises_comes_out(nodes: Any) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    nodes.ours.create_timer(0.001, broken)
    executor = QuietExecutor(context=nodes.context)
    executor.add_node(nodes.ours)
    time.sleep(0.01)
    with pytest.raises(ZeroDivisionError):
        executor.spin_ready()
