"""When a person should look at an arm that practises."""

from __future__ import annotations

import pytest

from hybrid_rl_ros.control.practice_watch import PracticeWatch
from hybrid_rl_ros.episode_config import EpisodeConfig


def watch_of(**limits) -> PracticeWatch:
    return PracticeWatch(EpisodeConfig(**limits))


def reasons(watch: PracticeWatch, outcomes: str) -> list[str]:
    return [watch.ended(outcome == '+') for outcome in outcomes]


def test_without_limits_nothing_is_ever_said():
    assert not any(reasons(watch_of(), '-' * 100))


def test_failures_in_a_row_are_counted_anew_after_a_success_and_after_a_call():
    watch = watch_of(most_failures_in_a_row=3)
    said = reasons(watch, '--+--+---')
    assert said == [''] * 8 + ['3 episodes in a row without success']
    assert reasons(watch, '--') == ['', '']


def test_success_that_was_there_and_is_lost_is_told():
    watch = watch_of(most_success_lost=0.5)
    said = reasons(watch, '+' * 20 + '-' * 11)
    assert said == [''] * 30 + ['success fell from 1.00 to 0.45 of 20 episodes']
    assert not any(reasons(watch, '-' * 100)), 'it is compared with what it is from now on'


def test_a_learner_that_has_not_begun_to_succeed_has_lost_nothing():
    assert not any(reasons(watch_of(most_success_lost=0.3), '-' * 60 + '-+' * 30))


def test_what_must_not_be_so_for_three_steps_is_told_with_its_numbers():
    watch = watch_of(pause_when='temperature.elbow > 65 or wrench.fz < -40')
    steps = [(66, 0), (66, 0), (64, 0), (66, 0), (66, 0), (66, 0), (66, 0)]
    said = [watch.step({'temperature.elbow': heat, 'wrench.fz': force}) for heat, force in steps]
    assert said == [''] * 5 + ['temperature.elbow > 65 or wrench.fz < -40: temperature.elbow is 66, wrench.fz is 0', '']


def test_a_number_that_is_not_finite_is_as_bad_as_what_must_not_be():
    watch = watch_of(pause_when='temperature.elbow > 65')
    said = [watch.pauses({'temperature.elbow': float('nan')}) for _ in range(3)]
    assert said == ['', '', 'temperature.elbow > 65: temperature.elbow is nan']
    watch = watch_of(most_force_risen_n=2.0)
    blind = {'wrench.fx': 0.0, 'wrench.fy': float('nan'), 'wrench.fz': 0.0}
    said = [watch.step(blind) for _ in range(3)]
    assert said[:2] == ['', ''] and said[2].startswith('not finite: wrench.fx is 0, wrench.fy is nan')


def episodes_with_force(watch: PracticeWatch, *forces_n: float) -> list[str]:
    said = []
    for force in forces_n:
        for _ in range(4):
            assert watch.step({'wrench.fx': 0.6 * force, 'wrench.fy': 0.0, 'wrench.fz': -0.8 * force}) == ''
        said.append(watch.ended(True))
    return said


def test_a_mean_force_that_has_risen_is_told():
    watch = watch_of(most_force_risen_n=2.1)
    # From 3 N to 7 N: with eleven of the last twenty it is 2.2 N more.
    said = episodes_with_force(watch, *[3.0] * 20, *[7.0] * 11)
    assert said == [''] * 30 + ['the mean force rose from 3.0 to 5.2 N']
    assert not any(episodes_with_force(watch, *[7.0] * 60)), 'it is compared with what it is from now on'


def test_one_of_two_tasks_that_collapses_is_told_though_the_other_goes_well():
    watch = watch_of(most_failures_in_a_row=5, most_success_lost=0.5)
    said = [watch.ended(number % 2 == 0 or number < 40, ('there', 'back')[number % 2]) for number in range(60)]
    assert [why for why in said if why] == ['back: 5 episodes in a row without success'] * 2
    watch = watch_of(most_success_lost=0.5)
    said = [watch.ended(number % 2 == 0 or number < 40, ('there', 'back')[number % 2]) for number in range(63)]
    assert [why for why in said if why] == ['back: success fell from 1.00 to 0.45 of 20 episodes']


def test_a_call_for_failures_forgets_nothing_of_the_force():
    watch = watch_of(most_force_risen_n=5.0, most_failures_in_a_row=10)
    said = []
    for number in range(60):
        watch.began()
        force = 1.0 + 0.6 * number
        watch.step({'wrench.fx': force, 'wrench.fy': 0.0, 'wrench.fz': 0.0})
        said.append(watch.ended(False))
    assert sum('in a row' in why for why in said) == 6
    assert 'the mean force rose from 6.7 to 12.1 N' in next(why for why in said if 'force' in why)


def test_what_an_aborted_episode_felt_is_no_part_of_the_next():
    watch = watch_of(most_force_risen_n=1.0)
    for _ in range(60):
        watch.began()
        watch.step({'wrench.fx': 50.0, 'wrench.fy': 0.0, 'wrench.fz': 0.0})
        watch.began()
        assert not any(episodes_with_force(watch, 3.0))


@pytest.mark.parametrize('text', ['temperature.elbow', 'temperature.elbow >', 'open("x") > 1'])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ValueError, match='expression|condition'):
        watch_of(pause_when=text)
