"""Monte-Carlo returns of stored episodes, against sums worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_replay_store import make_specs, make_step

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.returns import returns_to_go


def store_of(folder, *episodes: tuple[list[float], str], capacity: int = 30) -> ReplayStore:
    """Episodes of rewards, each with how it ended: `terminal`, `truncated` or `` where it was cut off."""
    store, number = ReplayStore.create(folder, make_specs(), capacity), 0
    for episode, (rewards, end) in enumerate(episodes):
        for index, reward in enumerate([0.0, *rewards]):
            last = {end: True} if end and index == len(rewards) else {}
            store.append(replace(make_step(number, episode, **last), reward=reward))
            number += 1
    return store


def test_an_attempt_that_failed_goes_on_failing_for_ever(tmp_path):
    with store_of(tmp_path / 's', ([-1.0] * 5, 'truncated')) as store:
        assert returns_to_go(store, 0.99)[:5] == pytest.approx(np.full(5, -100.0), abs=1e-4)


def test_a_success_and_a_failure_that_ended_are_summed_to_their_ends(tmp_path):
    with store_of(tmp_path / 's', ([0.0, 0.0, 1.0], 'terminal'), ([-1.0, -1.0], 'terminal')) as store:
        assert returns_to_go(store, 0.5)[store.valid_rows()].tolist() == [0.25, 0.5, 1.0, -1.5, -1.0]


@pytest.mark.parametrize('end', ['truncated', ''])
def test_an_episode_of_different_or_no_costs_is_summed_as_far_as_it_is_held(tmp_path, end):
    with store_of(tmp_path / 's', ([-1.0, -2.0, -4.0], end), ([0.0, 0.0], end), ([2.0, 2.0], end)) as store:
        expected = [-1 - 1 - 1, -2 - 2, -4, 0, 0, 2 + 1, 2]
        assert returns_to_go(store, 0.5)[store.valid_rows()].tolist() == expected


def test_rows_that_begin_no_transition_have_none_and_a_full_ring_forgets(tmp_path):
    with store_of(tmp_path / 's', ([9.0] * 7, 'terminal'), ([0.0, 1.0], 'terminal'), capacity=9) as store:
        returns = returns_to_go(store, 0.5)
        assert returns[store.valid_rows()].tolist() == [0.5, 1.0]
        assert np.count_nonzero(returns) == 2
