"""When a person should look at an arm that practises."""

from __future__ import annotations

from hybrid_rl_ros.control.practice_watch import PracticeWatch


def reasons(watch: PracticeWatch, outcomes: str) -> list[str]:
    return [watch.ended(outcome == '+') for outcome in outcomes]


def test_without_limits_nothing_is_ever_said():
    assert not any(reasons(PracticeWatch(None, None), '-' * 100))


def test_failures_in_a_row_are_counted_anew_after_a_success_and_after_a_call():
    watch = PracticeWatch(3, None)
    said = reasons(watch, '--+--+---')
    assert said == [''] * 8 + ['3 episodes in a row without success']
    assert reasons(watch, '--') == ['', '']


def test_success_that_was_there_and_is_lost_is_told():
    watch = PracticeWatch(None, 0.5)
    said = reasons(watch, '+' * 20 + '-' * 11)
    assert said == [''] * 30 + ['success fell from 1.00 to 0.45 of 20 episodes']
    assert not any(reasons(watch, '-' * 100)), 'it is compared with what it is from now on'


def test_a_learner_that_has_not_begun_to_succeed_has_lost_nothing():
    assert not any(reasons(PracticeWatch(None, 0.3), '-' * 60 + '-+' * 30))
