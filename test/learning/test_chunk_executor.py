"""Which action is due, with a period of 10 and chunks of one-number actions."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.learning.policies.chunk_executor import ChunkExecutor


def chunk(*actions: float) -> np.ndarray:
    return np.array(actions, float)[:, None]


@pytest.fixture
def executor():
    return ChunkExecutor(period=10)


def due(executor: ChunkExecutor, now: int) -> float | None:
    action = executor.action(now)
    return None if action is None else float(action[0])


def test_every_action_is_due_in_its_own_slot(executor):
    executor.offer(chunk(1, 2, 3), stamp=100)
    assert [due(executor, now) for now in (100, 110, 129)] == [1, 2, 3]
    assert (executor.dropped, executor.underruns) == (0, 0)


def test_a_slot_may_be_asked_for_twice(executor):
    executor.offer(chunk(1, 2), stamp=100)
    assert [due(executor, now) for now in (101, 109, 110)] == [1, 1, 2]
    assert executor.dropped == 0


def test_a_late_chunk_is_entered_where_it_should_be_and_what_has_passed_is_dropped(executor):
    executor.offer(chunk(1, 2, 3, 4), stamp=100)
    assert due(executor, 125) == 3
    assert executor.dropped == 2
    assert due(executor, 130) == 4
    assert executor.dropped == 2


def test_beyond_the_last_action_there_is_none_and_each_question_is_an_underrun(executor):
    executor.offer(chunk(1, 2), stamp=100)
    assert [due(executor, now) for now in (115, 120, 130)] == [2, None, None]
    assert (executor.dropped, executor.underruns) == (1, 2)


def test_before_the_first_chunk_there_is_no_underrun(executor):
    assert due(executor, 100) is None
    executor.offer(chunk(1), stamp=100)
    executor.clear()
    assert due(executor, 110) is None
    assert executor.underruns == 0


def test_a_chunk_that_comes_when_all_its_time_has_passed_is_dropped_whole(executor):
    executor.offer(chunk(1, 2), stamp=100)
    assert due(executor, 150) is None
    assert (executor.dropped, executor.underruns) == (2, 1)


def test_a_new_chunk_replaces_the_rest_of_the_old_one_without_counting_it_as_late(executor):
    executor.offer(chunk(1, 2, 3), stamp=100)
    assert due(executor, 105) == 1
    executor.offer(chunk(20, 30, 40), stamp=110)
    assert [due(executor, now) for now in (112, 122, 132, 142)] == [20, 30, 40, None]
    assert executor.dropped == 0


def test_until_a_slow_chunk_is_there_the_old_one_goes_on(executor):
    executor.offer(chunk(1, 2, 3), stamp=100)
    assert [due(executor, now) for now in (100, 110)] == [1, 2]
    executor.offer(chunk(20, 30, 40), stamp=110)
    assert due(executor, 121) == 30
    assert executor.dropped == 1


def test_a_chunk_of_an_older_observation_does_not_replace_a_newer_one(executor):
    executor.offer(chunk(20, 30), stamp=110)
    executor.offer(chunk(1, 2, 3, 4), stamp=100)
    assert due(executor, 121) == 30
    assert executor.dropped == 4 + 1


def test_nothing_is_left_after_clear_and_a_chunk_of_a_clock_set_back_is_taken(executor):
    executor.offer(chunk(1, 2, 3), stamp=100)
    executor.clear()
    assert due(executor, 110) is None
    executor.offer(chunk(5), stamp=20)
    assert due(executor, 20) == 5
    assert executor.dropped == 0


def test_before_its_stamp_a_chunk_has_no_action(executor):
    executor.offer(chunk(1), stamp=100)
    assert due(executor, 99) is None
    assert due(executor, 100) == 1


def test_an_action_alone_is_due_at_once_and_for_one_period(executor):
    executor.offer(chunk(7), stamp=100)
    assert [due(executor, now) for now in (100, 109, 110)] == [7, 7, None]


def test_without_a_chunk_there_is_no_action(executor):
    assert due(executor, 0) is None
