"""Verdicts: steps in a row, gates, combinations, stages, and whose word counts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from hybrid_rl_ros.data.specs import ActionSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.reward_config import RewardConfig
from hybrid_rl_ros.rewards.judge import Judge, Verdict
from hybrid_rl_ros.rewards.source import RewardSource, Seen

SPECS = Specs(observation=ObservationSpec(state=VectorSpec(dimensions=())), action=ActionSpec(dimensions=()))
SIMULATED = {'task.success': 0.0, 'task.failure': 0.0}


def judge_of(simulated: bool = False, labelling: bool = False, **reward) -> Judge:
    judge = Judge(RewardConfig.model_validate(reward), SPECS, simulated, labelling)
    judge.reset()
    return judge


def verdicts(judge: Judge, *steps: Mapping[str, float]) -> list[Verdict]:
    return [judge.judge(Seen({**SIMULATED, **step})) for step in steps]


def successes(judge: Judge, name: str, *values: float) -> list[bool]:
    return [verdict.succeeded for verdict in verdicts(judge, *({name: value} for value in values))]


def test_success_has_to_be_so_for_some_steps_in_a_row():
    judge = judge_of(success={'when': 'z > 0'})
    assert successes(judge, 'z', 1, 1, 0, 1, 1, 1) == [False] * 5 + [True]
    judge = judge_of(success={'when': 'z > 0', 'steps': 1})
    assert successes(judge, 'z', 0, 1) == [False, True]


def test_what_was_seen_in_one_episode_does_not_count_in_the_next():
    judge = judge_of(success={'when': 'z > 0'})
    successes(judge, 'z', 1, 1)
    judge.reset()
    assert successes(judge, 'z', 1, 1, 1) == [False, False, True]


def test_a_gate_must_hold_too():
    judge = judge_of(success={'when': 'z > 0', 'gate': 'opening < 0.5', 'steps': 1})
    assert [v.succeeded for v in verdicts(judge, {'z': 1, 'opening': 1}, {'z': 1, 'opening': 0})] == [False, True]


@pytest.mark.parametrize(
    ('how', 'expected'),
    [
        ({'all_of': [{'when': 'a > 0', 'steps': 1}, {'when': 'b > 0', 'steps': 1}]}, [False, False, False, True]),
        ({'any_of': [{'when': 'a > 0', 'steps': 1}, {'when': 'b > 0', 'steps': 1}]}, [False, True, True, True]),
        (
            {'weighted': [{'when': 'a > 0', 'steps': 1, 'weight': 3.0}, {'when': 'b > 0', 'steps': 1}]},
            [False, True, False, True],
        ),
        (
            {'weighted': [{'when': 'a > 0', 'steps': 1}, {'when': 'b > 0', 'steps': 1}], 'at_least': 0.5},
            [False, False, False, True],
        ),
    ],
    ids=['all', 'any', 'weighted', 'half is not above half'],
)
def test_combinations(how, expected):
    steps = [{'a': 0, 'b': 0}, {'a': 1, 'b': 0}, {'a': 0, 'b': 1}, {'a': 1, 'b': 1}]
    assert [v.succeeded for v in verdicts(judge_of(success=how), *steps)] == expected


def test_parts_count_their_steps_also_while_the_others_do_not_say_so():
    judge = judge_of(success={'all_of': [{'when': 'a > 0', 'steps': 1}, {'when': 'b > 0', 'steps': 3}]})
    steps = [{'a': 0, 'b': 1}, {'a': 0, 'b': 1}, {'a': 1, 'b': 1}]
    assert [v.succeeded for v in verdicts(judge, *steps)] == [False, False, True]


def test_each_stage_is_paid_once_and_in_order():
    stages = [{'when': 'a > 0', 'steps': 1}, {'when': 'b > 0', 'steps': 1}]
    judge = judge_of(success={'stages': stages}, success_reward=1.0, step_reward=-0.1)
    seen = verdicts(judge, {'a': 0, 'b': 1}, {'a': 1, 'b': 0}, {'a': 1, 'b': 0}, {'a': 0, 'b': 1})
    assert [v.reward for v in seen] == [-0.1, 0.5, -0.1, 0.5]
    assert [v.succeeded for v in seen] == [False, False, False, True]
    judge.reset()
    assert [v.reward for v in verdicts(judge, {'a': 1, 'b': 1}, {'a': 1, 'b': 1})] == [0.5, 0.5]


def test_a_person_ends_stages_with_what_is_left_to_pay():
    judge = judge_of(success={'stages': [{'when': 'a > 0', 'steps': 1}] * 4})
    assert judge.judge(Seen({'a': 1})).reward == 0.25
    verdict = judge.judge(Seen({'a': 0}), 'success')
    assert (verdict.reward, verdict.succeeded, verdict.by) == (0.75, True, 'a person')


@pytest.mark.parametrize('person', ['success', 'failure'])
@pytest.mark.parametrize('z', [0.0, 1.0])
def test_a_person_goes_over_all(person, z):
    judge = judge_of(success={'when': 'z > 0', 'steps': 1}, failure={'when': 'z <= 0', 'steps': 1})
    verdict = judge.judge(Seen({'z': z}), person)
    assert (verdict.succeeded, verdict.failed) == (person == 'success', person == 'failure')
    assert verdict.reward == float(person == 'success')


def test_a_person_who_sees_it_otherwise_disputes():
    assert not judge_of(failure={'when': 'z > 0'}).judge(Seen({'z': 0.0}), 'success').disputed, 'nothing saw success'
    judge = judge_of(success={'when': 'z > 0', 'steps': 1})
    words = [('success', 0.0, True), ('success', 1.0, False), ('failure', 1.0, True), ('failure', 0.0, False)]
    for word, z, disputed in words:
        assert judge.judge(Seen({'z': z}), word).disputed is disputed
    assert not judge.judge(Seen({'z': 1.0})).disputed


def test_without_anything_named_the_simulation_judges():
    seen = verdicts(judge_of(simulated=True), {}, {'task.success': 1.0}, {'task.failure': 1.0})
    assert [(v.succeeded, v.failed, v.reward) for v in seen] == [(0, 0, 0.0), (1, 0, 1.0), (0, 1, 0.0)]


def test_once_success_is_named_the_simulation_has_no_word():
    judge = judge_of(simulated=True, success={'when': 'z > 0'})
    seen = verdicts(judge, {'task.success': 1.0, 'z': 0}, {'task.failure': 1.0, 'z': 0})
    assert not any(v.succeeded or v.failed for v in seen)


def test_on_a_real_arm_nobody_but_a_person_says_success_by_default():
    judge = judge_of()
    assert not judge.judge(Seen({})).succeeded
    assert judge.judge(Seen({}), 'success').succeeded


def test_success_goes_before_failure():
    judge = judge_of(success={'when': 'z > 0', 'steps': 1}, failure={'when': 'z > 0', 'steps': 1})
    (verdict,) = verdicts(judge, {'z': 1})
    assert verdict.succeeded and not verdict.failed


def test_labelling_marks_every_step_with_success_and_ends_nothing():
    judge = judge_of(labelling=True, success={'when': 'z > 0', 'steps': 3}, step_reward=-1.0, success_reward=4.0)
    seen = verdicts(judge, {'z': 0}, {'z': 1}, {'z': 1}, {'z': 0})
    assert [v.reward for v in seen] == [0.0, 4.0, 4.0, 0.0], 'each frame is told by itself'
    assert not any(v.succeeded for v in seen)


def test_a_failure_ends_a_labelled_episode_too_and_is_no_success():
    judge = judge_of(labelling=True, success={'when': 'z > 0'}, failure={'when': 'z < 0', 'steps': 1})
    assert [(v.reward, v.failed) for v in verdicts(judge, {'z': 0}, {'z': -1})] == [(0.0, False), (0.0, True)]


def test_stages_label_no_frame():
    with pytest.raises(UserError, match='has stages, of which no single frame tells'):
        judge_of(labelling=True, success={'stages': [{'when': 'z > 0'}]})


def test_a_person_who_labels_says_when_it_begins_and_when_it_ends():
    words = ['', 'success', '', 'failure', '']
    for judge in (judge_of(labelling=True), judge_of(labelling=True, success={'when': 'z > 0'})):
        seen = [judge.judge(Seen({'z': float(index > 0)}), word) for index, word in enumerate(words)]
        assert [v.reward for v in seen] == [0.0, 1.0, 1.0, 0.0, 0.0], 'their word goes over what is seen'
    assert not any(v.succeeded or v.failed for v in seen)


def test_an_environment_judges_by_itself():
    judge = judge_of(simulated=True, source='environment')
    step = {'task.reward': -3.5, 'task.success': 0.0, 'task.truncated': 1.0}
    (verdict,) = verdicts(judge, step)
    assert (verdict.reward, verdict.succeeded, verdict.truncated) == (-3.5, False, True)


def test_shaping_comes_on_top():
    judge = judge_of(simulated=True, shaping={'distance': -2.0})
    seen = verdicts(judge, {'task.distance': 0.5}, {'task.distance': 0.0, 'task.success': 1.0})
    assert [v.reward for v in seen] == [-1.0, 1.0]


class Near(RewardSource):
    """An own source, as docs/rewards.md has one."""

    def score(self, seen: Seen) -> float:
        return float(abs(seen.numbers['z']) < self.settings['within'])


def test_a_source_of_your_own_is_one_class_and_one_entry():
    own = {'source': f'{__name__}:Near', 'settings': {'within': 0.1}, 'numbers': ['z'], 'steps': 1}
    assert RewardConfig.model_validate({'success': own}).sights[0].names == {'z'}
    assert successes(judge_of(success=own), 'z', 1.0, 0.05) == [False, True]


@pytest.mark.parametrize(
    ('where', 'says'),
    [('no_such_module:Near', 'No module'), (f'{__name__}:Far', 'Far'), (f'{__name__}:Verdict', 'derived from')],
)
def test_a_source_that_is_not_there_is_one_line(where, says):
    with pytest.raises(UserError, match=f'reward source {where}: .*{says}'):
        judge_of(success={'source': where})


@pytest.mark.parametrize(
    ('reward', 'says'),
    [
        ({'success': {}}, 'expected exactly one of simulation, when'),
        ({'success': {'when': 'z > 0', 'classifier': 'x'}}, 'there is when and classifier'),
        ({'success': {'when': 'z >'}}, 'not an expression'),
        ({'success': {'when': 'z'}}, 'is no condition'),
        ({'success': {'when': 'z > 0', 'at_least': 0.9}}, 'for a list of weighted'),
        ({'success': {'any_of': [{'when': 'z > 0', 'weight': 3.0}]}}, 'in a list of weighted'),
        ({'success': {'when': 'z > 0', 'settings': {'a': 1}}}, 'for a source of your own'),
        ({'success': {'all_of': [{'stages': [{'when': 'z > 0'}]}]}}, 'stages are not part of something else'),
        ({'success': {'stages': [{'when': 'z > 0'}], 'gate': 'z > 0'}}, 'of each stage'),
        ({'failure': {'stages': [{'when': 'z > 0'}]}}, 'a failure has no stages'),
        ({'source': 'environment', 'success': {'when': 'z > 0'}}, 'judges by itself'),
    ],
)
def test_a_reward_that_makes_no_sense_is_refused(reward, says):
    with pytest.raises(ValidationError, match=says):
        RewardConfig.model_validate(reward)


def test_a_number_that_no_stream_has_is_named():
    with pytest.raises(KeyError, match='elbow'):
        judge_of(success={'when': 'elbow > 0'}).judge(Seen({'z': 1.0}))


def test_a_configuration_that_is_written_and_read_again_is_the_same():
    """As every node reads it."""
    parts = [{'when': 'z > 0', 'weight': 2.0}, {'when': 'z > 1'}]
    for success in (
        {'weighted': parts, 'at_least': 0.7},
        {'any_of': [{'when': 'z > 0'}]},
        {'stages': [{'when': 'z > 0'}]},
    ):
        config = RewardConfig.model_validate({'success': success})
        assert RewardConfig.model_validate(config.model_dump(mode='json')) == config
