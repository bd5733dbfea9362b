"""What a person disagreed over is kept, and learned from with the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybrid_rl_ros.cli import run
from hybrid_rl_ros.data.merging import merge_stores
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.rewards.disputes import Disputes
from hybrid_rl_ros.rewards.source import Seen

CONFIG = Path(__file__).parents[2] / 'config'


def specs_of(state: str = 'ee.z') -> Specs:
    height = Dimension(name=state, unit='m', low=0.0, high=1.0)
    observation = ObservationSpec(
        state=VectorSpec(dimensions=(height,)), images=(ImageSpec(camera='front', height=16, width=16),)
    )
    return Specs(observation=observation, action=ActionSpec(dimensions=(height,)))


def seen(value: int) -> Seen:
    return Seen({'ee.z': value / 10.0, 'task.more': 1.0}, {'front': np.full((16, 16, 3), value, np.uint8)})


def test_disputed_frames_carry_the_persons_word_and_survive(tmp_path):
    disputes = Disputes(tmp_path, specs_of(), success_reward=2.0)
    assert not (tmp_path / 'disputed').exists(), 'without a dispute there is nothing'
    assert disputes.keep([seen(1), seen(2)], success=False) == 2
    disputes.close()
    again = Disputes(tmp_path, specs_of(), success_reward=2.0)
    assert again.keep([seen(3)], success=True) == 1
    again.close()
    with ReplayStore.open(tmp_path / 'disputed', read_only=True) as store:
        rows = store.rows()
        assert store.records(rows)['reward'].tolist() == [0.0, 0.0, 2.0]
        assert store.states(rows)[:, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])
        assert store.frames(rows)['front'][:, 0, 0, 0].tolist() == [1, 2, 3]
        assert [(e.episode, e.steps) for e in store.episodes()] == [(0, 2), (1, 1)], 'one for each dispute'


def test_merged_stores_have_every_step_bit_for_bit_and_no_episode_twice(tmp_path):
    with ReplayStore.create(tmp_path / 'a', specs_of(), 10) as store:
        for index in range(6):
            observation = Observation(np.array([index / 10.0], np.float32), dict(seen(10 + index).images))
            ends = index % 3 == 2
            step = Step(index, 5 + index // 3, observation, np.ones(1, np.float32), float(ends), terminal=ends)
            store.append(step)
        store.flush()
    disputes = Disputes(tmp_path, specs_of(), 1.0)
    disputes.keep([seen(1)], success=True)
    disputes.close()
    merge_stores([tmp_path / 'a', tmp_path / 'disputed'], specs_of(), tmp_path / 'both')
    with ReplayStore.open(tmp_path / 'both', read_only=True) as both, ReplayStore.open(tmp_path / 'a') as first:
        assert [(e.episode, e.steps) for e in both.episodes()] == [(0, 3), (1, 3), (2, 1)]
        rows = both.rows()
        assert (both.states(rows)[:6] == first.states(first.rows())).all()
        assert (both.frames(rows)['front'][:6] == first.frames(first.rows())['front']).all()
        assert both.records(rows)['reward'].tolist() == [0, 0, 1, 0, 0, 1, 1]
        assert both.transitions == first.transitions == 4


def test_stores_of_other_things_are_not_merged(tmp_path):
    for name, state in (('a', 'ee.z'), ('b', 'ee.x')):
        with ReplayStore.create(tmp_path / name, specs_of(state), 2) as store:
            store.flush()
    with pytest.raises(UserError, match='ee.x'):
        merge_stores([tmp_path / 'a', tmp_path / 'b'], specs_of(), tmp_path / 'both')
    assert not (tmp_path / 'both').exists()


@pytest.mark.parametrize(
    ('what', 'says'),
    [('classifier', 'in no episode of it did a person disagree'), ('policy', '--refit is of a success classifier')],
)
def test_a_refit_without_anything_to_learn_from_is_one_line(what, says, tmp_path, capsys):
    arguments = ['pretrain', '--what', what, '--config', str(CONFIG / 'sim_lift.yaml'), '--demos', str(tmp_path)]
    assert run([*arguments, '--refit', str(tmp_path), '--run', str(tmp_path / 'judge')]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
