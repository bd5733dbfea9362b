"""Steps ahead and behind, against what can be worked out by hand and by a slow model."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_replay_store import make_specs, make_step

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.samples import action_chunks, histories, n_step
from hybrid_rl_ros.data.step import Step

DISCOUNT = 0.5


@pytest.fixture
def store(tmp_path):
    """Step i has i as its state, action and reward. Episode 0 is steps 0..3, a success; 1 is 4..7, timed out."""
    with ReplayStore.create(tmp_path / 's', make_specs(), 50) as store:
        for number in range(8):
            store.append(make_step(number, number // 4, terminal=number == 3, truncated=number == 7))
        yield store


def test_two_steps_sum_two_rewards_and_bootstrap_from_the_second(store):
    drawn = n_step(store, np.array([0]), 2, DISCOUNT)
    assert (drawn.reward.tolist(), drawn.discount.tolist(), drawn.mask.tolist()) == ([1 + 0.5 * 2], [0.25], [1.0])
    assert (drawn.next_rows.tolist(), drawn.steps.tolist()) == ([2], [2])


def test_near_a_success_there_are_fewer_steps_and_no_bootstrap(store):
    drawn = n_step(store, np.array([1, 2]), 5, DISCOUNT)
    assert drawn.reward.tolist() == [2 + 0.5 * 3, 3]
    assert (drawn.mask.tolist(), drawn.steps.tolist()) == ([0, 0], [2, 1])


def test_near_a_time_limit_the_last_observation_is_bootstrapped_from(store):
    drawn = n_step(store, np.array([5, 6]), 5, DISCOUNT)
    assert drawn.reward.tolist() == [6 + 0.5 * 7, 7]
    assert (drawn.mask.tolist(), drawn.discount.tolist()) == ([1, 1], [0.25, 0.5])
    assert store.states(drawn.next_rows)[:, 0].tolist() == [7, 7]


def test_one_step_is_the_transition(store):
    rows = store.valid_rows()
    drawn, batch = n_step(store, rows, 1, DISCOUNT), store.transitions_at(rows)
    assert np.array_equal(drawn.reward, batch.reward) and np.array_equal(drawn.mask, batch.mask)
    assert np.array_equal(store.states(drawn.next_rows), batch.next_state)
    assert (drawn.discount == DISCOUNT).all()


def test_what_comes_after_the_bound_is_not_looked_at(store):
    before = n_step(store, np.array([4]), 3, DISCOUNT, before_sequence=7)
    assert (before.reward.tolist(), before.steps.tolist(), before.next_rows.tolist()) == ([5 + 0.5 * 6], [2], [6])
    assert action_chunks(store, np.array([4]), 3, before_sequence=6).valid.tolist() == [[True, False, False]]


def test_a_chunk_repeats_the_last_executed_action_behind_the_end(store):
    """The zero action of an episode's last step was never executed, and is no part of a chunk."""
    drawn = action_chunks(store, np.array([0, 5]), 4)
    assert drawn.action[:, :, 0].tolist() == [[0, 1, 2, 2], [5, 6, 6, 6]]
    assert drawn.valid.tolist() == [[True, True, True, False], [True, True, False, False]]


def test_a_history_repeats_the_first_observation_before_the_beginning(store):
    drawn = histories(store, np.array([3, 5, 4]), 3)
    assert drawn.rows.tolist() == [[1, 2, 3], [4, 4, 5], [4, 4, 4]]
    assert drawn.valid.tolist() == [[True, True, True], [False, True, True], [False, False, True]]
    assert store.frames(drawn.rows)['front'].shape == (3, 3, 8, 8, 3)


def test_a_row_that_begins_no_transition_is_refused(store):
    for row in (3, 7, 8):
        with pytest.raises(ValueError, match=f'row {row} begins no transition'):
            n_step(store, np.array([0, row]), 2, DISCOUNT)
    with pytest.raises(ValueError, match='0 steps'):
        action_chunks(store, np.array([0]), 0)


# Lengths of episodes, and whether each ends in success, in a time limit, or breaks off.
EPISODES = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from(['terminal', 'truncated', ''])), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(EPISODES, st.integers(4, 40), st.integers(1, 6), st.floats(0, 1), st.integers(0, 120))
def test_every_sample_is_that_of_a_model_that_walks_one_step_at_a_time(episodes, capacity, length, discount, bound):
    with tempfile.TemporaryDirectory() as folder:
        with ReplayStore.create(Path(folder) / 's', make_specs(cameras=()), capacity) as store:
            steps: dict[int, Step] = {}
            for episode, (count, end) in enumerate(episodes):
                for index in range(count):
                    ends = {end: True} if end and index == count - 1 else {}
                    number = len(steps)
                    steps[number] = make_step(number, episode, cameras=(), **ends)
                    store.append(steps[number])
            held = {number: store.row_of(number) for number in steps if holds(store, number)}
            starts = [number for number in held if follows(held, steps, number, bound)]
            if starts:
                assert_as_walked(store, steps, held, starts, length, discount, bound)
            rows = np.array(list(held.values()))
            found = store.sequence_at(histories(store, rows, length).rows)
            assert found.tolist() == [walk_back(held, steps, number, length) for number in held]


def holds(store: ReplayStore, number: int) -> bool:
    return int(store.sequence_at(np.array([store.row_of(number)]))[0]) == number


def follows(held: dict[int, int], steps: dict[int, Step], number: int, bound: int) -> bool:
    """Whether the step after `number` is held, before the bound and of the same episode."""
    return (
        number in held
        and number + 1 in held
        and number + 1 < bound
        and (steps[number].episode == steps[number + 1].episode)
    )


def assert_as_walked(store, steps, held, starts, length, discount, bound) -> None:
    rows = np.array([held[number] for number in starts])
    returns, chunks = n_step(store, rows, length, discount, bound), action_chunks(store, rows, length, bound)
    for i, start in enumerate(starts):
        number, reward, power, actions = start, 0.0, 1.0, []
        while len(actions) < length and follows(held, steps, number, bound):
            actions.append(steps[number].action[0])
            number += 1
            reward += power * steps[number].reward
            power *= discount
        assert returns.reward[i] == pytest.approx(reward, rel=1e-6)
        assert returns.discount[i] == pytest.approx(power, rel=1e-6)
        assert returns.mask[i] == (not steps[number].terminal)
        assert returns.next_rows[i] == held[number]
        assert chunks.valid[i].sum() == returns.steps[i] == len(actions)
        assert chunks.action[i, :, 0].tolist() == actions + actions[-1:] * (length - len(actions))


def walk_back(held: dict[int, int], steps: dict[int, Step], number: int, length: int) -> list[int]:
    walked = [number]
    while len(walked) < length:
        before = walked[0] - 1
        walked.insert(0, before if follows(held, steps, before, len(steps)) else walked[0])
    return walked
