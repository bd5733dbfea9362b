"""The loop that keeps its own time, and callbacks run without waiting."""

from __future__ import annotations

import time
from typing import Any

import pytest
from std_msgs.msg import String

from hybrid_rl_ros.ros.executor import PacedLoop, QuietExecutor
from hybrid_rl_ros.ros.polling import PolledSubscriptions
from hybrid_rl_ros.ros.qos import STEP


def test_a_late_tick_is_left_out_and_the_next_keeps_the_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr('time.monotonic', lambda: now[0])
    monkeypatch.setattr('time.sleep', lambda seconds: now.__setitem__(0, now[0] + seconds))
    ticks: list[float] = []
    loop = PacedLoop(lambda: ticks.append(now[0] - 100.0), period_s=0.25)
    for works_s in (0.0, 0.625, 0.125, 0.0):
        loop.step()
        now[0] += works_s
    # The third is due at 0.5 and comes when the second is done, at 0.875; the one due at 0.75 is left out.
    assert ticks == [0.0, 0.25, 0.875, 1.0]


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
