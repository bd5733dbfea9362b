"""Which episodes are kept, and which part each goes to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_inspection import sound_episode, write

from hybrid_rl_ros.data.choice import Choice, Split, choose, split_episodes
from hybrid_rl_ros.errors import UserError


@pytest.fixture
def store(tmp_path):
    """Episodes 0 success, 1 failure, 2 truncated, 3 cut, 4 success of 5 steps, 10 success."""
    success, failure, truncated, cut = (sound_episode(number) for number in range(4))
    failure[-1] = replace(failure[-1], reward=0.0)
    truncated[-1] = replace(truncated[-1], terminal=False, truncated=True)
    with write(
        tmp_path / 's', success, failure, truncated, cut[:-1], sound_episode(4, steps=5), sound_episode(10)
    ) as opened:
        yield opened


@pytest.fixture
def noisy(tmp_path):
    """Ten episodes of a linear policy in a world that does as told; episode n acts with noise n, 7 is also pushed."""
    episodes = []
    for number in range(10):
        episode = sound_episode(number, steps=81)
        state = np.array([0.1, 0.1], np.float32)
        rng = np.random.default_rng(number)
        for step in episode:
            step.observation.state[:] = state
            noise = 0.01 * number * rng.normal()
            step.action[:] = [np.clip(0.1 - 0.3 * state[0] + noise, -0.5, 0.5), 0.5 * state[1]]
            state = np.clip(0.8 * state + 0.3 * step.action, -0.9, 0.9).astype(np.float32)
            state += 0.001 * rng.normal(size=2).astype(np.float32) * (30 if number == 7 else 1)
        episode[-1].action[:] = 0
        episodes.append(episode)
    with write(tmp_path / 'noisy', *episodes) as opened:
        yield opened


def test_named_episodes_are_dropped(store):
    assert choose(store, Choice(drop=frozenset({1, 10}))) == {1: 'named', 10: 'named'}


def test_only_the_outcomes_asked_for_are_kept(store):
    dropped = choose(store, Choice(keep=frozenset({'success', 'truncated'})))
    assert dropped == {1: 'outcome failure', 3: 'outcome cut'}


def test_short_episodes_are_dropped_and_each_says_its_first_reason(store):
    dropped = choose(store, Choice(drop=frozenset({4}), keep=frozenset({'success', 'cut'}), min_steps=21))
    assert dropped == {
        1: 'outcome failure',
        2: 'outcome truncated',
        3: '20 steps, fewer than 21',
        4: 'named',
    }


def test_nothing_asked_drops_nothing(store):
    assert choose(store, Choice()) == {}


def test_an_episode_that_is_not_there_is_named(store):
    with pytest.raises(UserError, match=r's: no episode 7-8,11 to drop; it has 0-4,10$'):
        choose(store, Choice(drop=frozenset({3, 7, 8, 11})))


def test_the_noisiest_fraction_goes_by_its_divergence(noisy):
    dropped = choose(noisy, Choice(worst_divergence=0.3))
    assert list(dropped) == [7, 8, 9]
    assert all(reason.startswith('action divergence ') for reason in dropped.values())
    assert dropped[9].endswith('of the highest 30%')


def test_a_fraction_is_of_what_is_left_and_rounds_down(noisy):
    """Of the 8 episodes left 0.3 are 2; 8 and 9, which are named, are not counted again."""
    dropped = choose(noisy, Choice(drop=frozenset({8, 9}), worst_divergence=0.3))
    assert list(dropped) == [6, 7, 8, 9]
    assert [dropped[8], dropped[9]] == ['named', 'named']


def test_the_episode_that_was_pushed_is_the_most_diverse(noisy):
    assert list(choose(noisy, Choice(most_diverse=0.1))) == [7]
    assert 7 not in choose(noisy, Choice(least_diverse=0.9))


def test_a_split_is_disjoint_complete_seeded_and_of_the_sizes_asked_for():
    numbers = list(range(5, 105))
    parts = split_episodes(numbers, Split({'train': 0.8, 'val': 0.15, 'test': 0.05}, seed=3))
    assert [len(part) for part in parts.values()] == [80, 15, 5]
    assert sorted(sum(parts.values(), [])) == numbers
    assert parts == split_episodes(numbers, Split({'train': 0.8, 'val': 0.15, 'test': 0.05}, seed=3))
    assert parts != split_episodes(numbers, Split({'train': 0.8, 'val': 0.15, 'test': 0.05}, seed=4))
    assert all(part == sorted(part) for part in parts.values())


def test_thirds_take_every_episode():
    parts = split_episodes(range(10), Split({'a': 1 / 3, 'b': 1 / 3, 'c': 1 / 3}, seed=0))
    assert [len(part) for part in parts.values()] == [3, 4, 3]


def test_a_bad_split_says_what_is_wrong():
    with pytest.raises(UserError, match=r'^--split: the fractions sum to 0.9, expected 1$'):
        split_episodes(range(10), Split({'train': 0.8, 'val': 0.1}, seed=0))
    with pytest.raises(UserError, match=r'^--split: val=0.1 of 3 episodes is none; expected at least one$'):
        split_episodes(range(3), Split({'train': 0.9, 'val': 0.1}, seed=0))
