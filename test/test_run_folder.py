"""What lines of episodes tell."""

from __future__ import annotations

import json

import pytest

from hybrid_rl_ros.run_folder import by_task, evaluations, exploring, whole_episodes


def episode(env_steps: int, success: bool, **more) -> dict:
    return {'env_steps': env_steps, 'outcome': 'succeeded' if success else 'timed_out', 'interventions': 0, **more}


LINES = [
    episode(10, True, task='a'),
    episode(20, True, task='b', evaluation=True),
    episode(30, False, task='a', evaluation=True),
    episode(40, False, task='a'),
    episode(50, True, task='a', evaluation=True),
]


def test_an_evaluation_is_what_stands_together():
    assert evaluations(LINES) == [(30, 0.5), (50, 1.0)]
    assert [line['env_steps'] for line in exploring(LINES)] == [10, 40]
    assert evaluations([]) == [] and exploring([]) == []


def test_each_task_has_its_own_episodes():
    assert {name: len(own) for name, own in by_task(LINES).items()} == {'a': 4, 'b': 1}
    assert by_task([episode(10, True)]) == {}


@pytest.mark.parametrize('lines', [[], LINES])
def test_an_aborted_episode_is_not_whole(tmp_path, lines):
    aborted = {**LINES[0], 'outcome': 'aborted'}
    (tmp_path / 'episodes.jsonl').write_text('\n'.join(json.dumps(line) for line in [*lines, aborted]))
    assert whole_episodes(tmp_path) == lines
