"""A curated store holds what it was asked to hold, bit for bit, or is not there at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_inspection import CAMERAS, SPECS, sound_episode, write

from hybrid_rl_ros.data.choice import Choice, Split
from hybrid_rl_ros.data.curation import Curated, curate
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError

EVERYTHING = Choice()


@pytest.fixture
def source(tmp_path) -> Path:
    """Four successes with numbers 0, 2, 4, 6, of which 4 was helped; 100 steps each, more than are copied at once."""
    episodes = [sound_episode(number, steps=100) for number in (0, 2, 4, 6)]
    episodes[2] = [replace(step, intervention=20 <= number < 30) for number, step in enumerate(episodes[2])]
    write(tmp_path / 'source', *episodes).close()
    return tmp_path / 'source'


def run(source: Path, out: Path, choice: Choice = EVERYTHING, split: Split | None = None) -> Curated:
    return curate(source, out, choice, split, lambda done, total: None)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def same_episode(found: ReplayStore, expected: ReplayStore, number: int) -> bool:
    mine, theirs = found.episode_rows(number), expected.episode_rows(number)
    fields = ['stamp_ns', 'episode', 'reward', 'terminal', 'truncated', 'intervention']
    return (
        np.array_equal(found.records(mine)[fields], expected.records(theirs)[fields])
        and np.array_equal(found.states(mine), expected.states(theirs))
        and np.array_equal(found.actions(mine), expected.actions(theirs))
        and all(np.array_equal(found.frames(mine)[camera], expected.frames(theirs)[camera]) for camera in CAMERAS)
    )


def test_kept_episodes_are_the_same_bit_for_bit_and_the_source_is_untouched(source, tmp_path):
    before = contents(source)
    curated = run(source, tmp_path / 'new', Choice(drop=frozenset({2})))
    assert curated.parts == {'.': [0, 4, 6]}
    assert contents(source) == before
    with ReplayStore.open(tmp_path / 'new') as new, ReplayStore.open(source, read_only=True) as old:
        assert new.specs == SPECS
        assert (new.steps, new.transitions, new.capacity) == (300, 297, 300)
        assert [episode.episode for episode in new.episodes()] == [0, 4, 6]
        assert all(same_episode(new, old, number) for number in (0, 4, 6))
        assert [episode.interventions for episode in new.episodes()] == [0, 10, 0]


def test_a_split_writes_a_store_for_each_part(source, tmp_path):
    curated = run(source, tmp_path / 'new', split=Split({'train': 0.75, 'val': 0.25}, seed=1))
    with ReplayStore.open(source, read_only=True) as old:
        for name, numbers in curated.parts.items():
            with ReplayStore.open(tmp_path / 'new' / name, read_only=True) as part:
                assert [episode.episode for episode in part.episodes()] == numbers
                assert all(same_episode(part, old, number) for number in numbers)
    assert sorted(curated.parts['train'] + curated.parts['val']) == [0, 2, 4, 6]
    assert len(curated.parts['val']) == 1


def test_what_was_left_out_and_why_lies_beside_the_steps(source, tmp_path):
    run(source, tmp_path / 'new', Choice(drop=frozenset({2})))
    record = json.loads((tmp_path / 'new' / 'curated.json').read_text())
    assert record['source'] == str(source)
    assert (record['dropped'], record['parts']) == ({'2': 'named'}, {'.': [0, 4, 6]})


def test_the_order_of_the_source_and_a_ring_that_wrapped_do_not_matter(tmp_path):
    with ReplayStore.create(tmp_path / 'ring', SPECS, 50) as store:
        for step in [*sound_episode(0, steps=30), *sound_episode(1, steps=20), *sound_episode(2, steps=30)]:
            store.append(step)
    run(tmp_path / 'ring', tmp_path / 'new', Choice(drop=frozenset({1})))
    with ReplayStore.open(tmp_path / 'new') as new, ReplayStore.open(tmp_path / 'ring', read_only=True) as old:
        assert same_episode(new, old, 2)


def test_an_episode_with_lost_steps_is_not_closed_up(source, tmp_path):
    with open(source / 'state.bin', 'r+b') as file:
        file.seek(107 * 8)
        file.write(b'\xff' * 8)
    with pytest.raises(UserError, match='episode 2: 1 of its steps are lost inside it; leave it out with --drop 2$'):
        run(source, tmp_path / 'new')
    assert not (tmp_path / 'new').exists()
    assert run(source, tmp_path / 'new', Choice(drop=frozenset({2}))).parts == {'.': [0, 4, 6]}


def test_an_end_before_the_last_step_stays_one(tmp_path):
    episode = sound_episode(0)
    episode[9] = replace(episode[9], terminal=True)
    write(tmp_path / 'source', episode).close()
    run(tmp_path / 'source', tmp_path / 'new')
    with ReplayStore.open(tmp_path / 'new', read_only=True) as new:
        assert new.transitions == 19


def test_a_failure_half_way_leaves_nothing(source, tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 250:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curate(source, tmp_path / 'new', Choice(), None, stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['source']


def test_what_exists_is_not_written_over(source, tmp_path):
    (tmp_path / 'new').mkdir()
    with pytest.raises(UserError, match='new: exists already'):
        run(source, tmp_path / 'new')
    with pytest.raises(UserError, match='source: exists already'):
        run(source, source)
    with pytest.raises(UserError, match=r'below: inside .*source, which stays as it is; expected a folder elsewhere$'):
        run(source, source / 'below')


def test_an_empty_result_is_none(source, tmp_path):
    with pytest.raises(UserError, match='none of its 4 episodes would be left; expected at least one'):
        run(source, tmp_path / 'new', Choice(keep=frozenset({'failure'})))
    assert not (tmp_path / 'new').exists()


def test_a_folder_without_a_store_is_named(tmp_path):
    with pytest.raises(UserError, match='nothing: no replay store here'):
        run(tmp_path / 'nothing', tmp_path / 'new')
