"""A tool that gets nowhere."""

from __future__ import annotations

from hybrid_rl_ros.control.stuck import StuckWatch


def test_stuck_is_a_whole_window_near_where_it_began():
    watch = StuckWatch(within_m=0.01, steps=3)
    assert [watch.is_stuck([0.0, 0.0, z]) for z in (0.0, 0.005, 0.01)] == [False, False, True]


def test_going_slowly_is_getting_somewhere():
    watch = StuckWatch(within_m=0.01, steps=4)
    assert not any(watch.is_stuck([0.004 * step, 0.0, 0.0]) for step in range(20))


def test_a_new_episode_begins_with_an_empty_window():
    watch = StuckWatch(within_m=0.01, steps=2)
    watch.is_stuck([0.0, 0.0, 0.0])
    watch.reset()
    assert not watch.is_stuck([0.0, 0.0, 0.0])
    assert watch.is_stuck([0.0, 0.0, 0.0])
