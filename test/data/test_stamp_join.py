"""Joins are exact, ordered, bounded and counted."""

from __future__ import annotations

from hybrid_rl_ros.data.stamp_join import StampJoin


def make_join(capacity: int = 50):
    complete: list[tuple[int, dict[str, str]]] = []
    return StampJoin(['a', 'b'], lambda stamp, values: complete.append((stamp, values)), capacity), complete


def test_values_of_one_stamp_are_joined_in_any_order_of_arrival():
    join, complete = make_join()
    join.offer('b', 1, 'b1')
    join.offer('a', 2, 'a2')
    join.offer('a', 1, 'a1')
    join.offer('b', 2, 'b2')
    assert complete == [(1, {'a': 'a1', 'b': 'b1'}), (2, {'a': 'a2', 'b': 'b2'})]
    assert join.dropped == join.late == 0


def test_a_complete_stamp_drops_older_incomplete_ones_and_counts_them():
    join, complete = make_join()
    join.offer('a', 1, 'a1')
    join.offer('a', 2, 'a2')
    join.offer('b', 2, 'b2')
    join.offer('b', 1, 'b1')
    assert [stamp for stamp, _ in complete] == [2]
    assert (join.dropped, join.late) == (1, 1)


def test_no_more_stamps_wait_than_the_capacity():
    join, complete = make_join(capacity=3)
    for stamp in range(10):
        join.offer('a', stamp, 'a')
    assert join.dropped == 7
    assert not complete
