"""When plans are made and which action is due, with a period of one second and actions that tell their plan."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from hybrid_rl_ros.learning.policies.network import Plan
from hybrid_rl_ros.learning.policies.planner import Planner

S = 1_000_000_000


class Policy:
    """Plan n holds n.0, n.1, n.2 and so on, made when `may` is set; by `clock_s` it takes `takes_s`."""

    def __init__(self, length: int, takes_s: float = 0.0) -> None:
        self.made = 0
        self.may = threading.Event()
        self.may.set()
        self.takes_s = takes_s
        self._length = length
        self._spent_s = 0.0

    def clock_s(self) -> float:
        return self._spent_s

    def __call__(self) -> Plan:
        assert self.may.wait(timeout=10)
        self.made += 1
        self._spent_s += self.takes_s
        actions = self.made + np.arange(self._length)[:, None] / 10
        return Plan(actions, actions + 100)


def step(planner: Planner, policy: Policy, second: int, anew: bool = False) -> float | None:
    action, _ = planner.action(policy, second * S, lambda: second * S, anew)
    return None if action is None else round(float(action[0]), 3)


def slow(blend: int = 0) -> tuple[Planner, Policy]:
    """Four of six actions, planned in 1.5 periods."""
    policy = Policy(6, takes_s=1.5)
    return Planner(S, steps=4, ahead=True, blend=blend, clock_s=policy.clock_s), policy


def until(condition, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_in_turn_every_plan_is_played_to_its_last_step_and_the_next_made_then():
    planner, policy = Planner(S, steps=3), Policy(5)
    assert [step(planner, policy, second) for second in range(7)] == [1.0, 1.1, 1.2, 2.0, 2.1, 2.2, 3.0]
    assert (planner.chunks.underruns, planner.chunks.dropped) == (0, 0)


def test_one_step_at_a_time_every_observation_is_acted_on():
    planner, policy = Planner(S, steps=1), Policy(1)
    assert [step(planner, policy, second) for second in (0, 0, 1)] == [1.0, 2.0, 3.0]


def test_a_new_episode_is_planned_for_at_once():
    planner, policy = Planner(S, steps=3), Policy(3)
    assert [step(planner, policy, 0), step(planner, policy, 1, anew=True), step(planner, policy, 2)] == [1.0, 2.0, 2.1]


def test_the_noise_of_a_plan_comes_with_the_first_action_that_is_done_of_it():
    planner, policy = Planner(S, steps=2), Policy(2)
    told = [planner.action(policy, second * S, lambda s=second: s * S)[1] for second in range(4)]
    assert [None if noise is None else float(noise[0, 0]) for noise in told] == [101.0, None, 102.0, None]


def test_ahead_the_next_plan_is_made_while_the_last_one_plays_and_entered_where_it_should_be_by_then():
    """The second is begun at 2 s, two periods before four steps are done, and takes until after 3 s."""
    planner, policy = slow()
    assert [step(planner, policy, second) for second in (0, 1)] == [1.0, 1.1]
    policy.may.clear()
    assert [step(planner, policy, second) for second in (2, 3)] == [1.2, 1.3]
    policy.may.set()
    until(lambda: step(planner, policy, 4) == 2.2)
    assert step(planner, policy, 5) == 2.3
    assert (planner.chunks.underruns, planner.chunks.dropped) == (0, 0)


def test_quick_plans_see_what_is_there_when_they_are_wanted_as_in_turn():
    """Begun ahead they would act on what has passed, and leave out the actions that a policy knows best."""
    policy = Policy(6, takes_s=0.24)
    planner = Planner(S, steps=3, ahead=True, blend=2, clock_s=policy.clock_s)
    assert [step(planner, policy, second) for second in range(5)] == [1.0, 1.1, 1.2, 2.0, 2.1]
    policy.takes_s = 3.0  # for once
    assert [step(planner, policy, second) for second in (5, 6)] == [2.2, 3.0]
    policy.takes_s = 0.24
    assert [step(planner, policy, second) for second in (7, 8, 9)] == [3.1, 3.2, 4.0]
    assert (planner.chunks.underruns, planner.chunks.dropped) == (0, 0)


def test_a_quick_plan_that_is_not_there_in_time_is_entered_later():
    policy = Policy(6)
    planner = Planner(S // 100, steps=3, ahead=True, clock_s=policy.clock_s)

    def slot(number: int) -> float | None:
        now = number * S // 100
        action, _ = planner.action(policy, now, lambda: now)
        return None if action is None else float(action[0])

    assert [slot(number) for number in range(3)] == [1.0, 1.1, 1.2]
    policy.may.clear()
    assert slot(3) == 1.3
    policy.may.set()
    until(lambda: slot(4) == 2.1)


def test_ahead_nobody_waits_for_the_first_plan_and_what_has_passed_when_it_is_there_is_skipped():
    planner, policy = Planner(S // 100, steps=4, ahead=True), Policy(6)
    policy.may.clear()

    def slot(number: int) -> float | None:
        now = number * S // 100
        action, _ = planner.action(policy, now, lambda: now)
        return None if action is None else float(action[0])

    assert [slot(0), slot(1), slot(2)] == [None, None, None]
    policy.may.set()
    until(lambda: slot(3) == 1.3)
    # Who waits for a first action has not run out of them.
    assert (policy.made, planner.chunks.underruns, planner.chunks.dropped) == (1, 0, 0)


def test_where_two_plans_overlap_the_new_one_takes_over_by_and_by():
    planner, policy = slow(blend=1)
    assert [step(planner, policy, second) for second in (0, 1)] == [1.0, 1.1]
    policy.may.clear()
    assert step(planner, policy, 2) == 1.2
    policy.may.set()
    # Half of 1.3 and half of 2.1, then the new one alone.
    until(lambda: step(planner, policy, 3) == pytest.approx(1.7))
    assert step(planner, policy, 4) == 2.2


def test_a_plan_that_is_being_made_when_an_episode_ends_is_never_done():
    planner, policy = slow()
    assert [step(planner, policy, second) for second in (0, 1)] == [1.0, 1.1]
    policy.may.clear()
    assert step(planner, policy, 2) == 1.2
    planner.forget()
    policy.may.set()
    until(lambda: policy.made == 2)
    assert step(planner, policy, 3) == 3.0


def test_weights_are_not_changed_while_a_plan_is_made():
    planner, policy = slow()
    assert [step(planner, policy, second) for second in (0, 1)] == [1.0, 1.1]
    policy.may.clear()
    step(planner, policy, 2)
    until(lambda: planner.lock.locked())
    assert not planner.lock.acquire(blocking=False)
    policy.may.set()
    assert planner.lock.acquire(timeout=10)
