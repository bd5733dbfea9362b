"""What the store holds and what may be drawn from it: nothing stale, nothing across an episode's end."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.data.replay_store import EpisodeSummary, ReplayStore
from hybrid_rl_ros.data.specs import (
    ActionSpec,
    Dimension,
    ImageSpec,
    Observation,
    ObservationSpec,
    Specs,
    VectorSpec,
    require_same_specs,
)
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError


def make_specs(size: int = 8, cameras: tuple[str, ...] = ('front',)) -> Specs:
    state = VectorSpec(dimensions=(Dimension(name='x', unit='m', low=-1, high=1),))
    action = ActionSpec(dimensions=(Dimension(name='dx', unit='m', low=-1, high=1),))
    images = tuple(ImageSpec(camera=camera, height=size, width=size) for camera in cameras)
    return Specs(observation=ObservationSpec(state=state, images=images), action=action)


def make_step(number: int, episode: int = 0, size: int = 8, cameras: tuple[str, ...] = ('front',), **ends) -> Step:
    images = {camera: np.full((size, size, 3), number % 251, np.uint8) for camera in cameras}
    observation = Observation(np.array([number], np.float32), images)
    return Step(number + 1, episode, observation, np.array([number], np.float32), reward=number, **ends)


@pytest.fixture
def store(tmp_path):
    with ReplayStore.create(tmp_path / 'store', make_specs(), 50) as store:
        yield store


def test_a_transition_pairs_each_image_with_its_own_successor(store):
    for number in range(10):
        store.append(make_step(number))
    batch = store.transitions_at(store.valid_rows())
    assert batch.images['front'][:, 0, 0, 0].tolist() == list(range(9))
    assert batch.next_images['front'][:, 0, 0, 0].tolist() == list(range(1, 10))
    assert batch.reward.tolist() == list(range(1, 10))


def test_no_stale_image_is_paired_after_a_gap_between_stored_segments(store):
    """Steps 0..4 and 20..24 of what was one episode are stored as two segments; 4 is never paired with 20."""
    for number in range(5):
        store.append(make_step(number, episode=0))
    for number in range(20, 25):
        store.append(make_step(number, episode=1))
    batch = store.transitions_at(store.valid_rows())
    assert np.array_equal(batch.next_images['front'][:, 0, 0, 0], batch.images['front'][:, 0, 0, 0] + 1)
    assert store.transitions == 8


def test_a_truncated_step_does_not_pair_with_the_next_episodes_first_state(store):
    store.append(make_step(0, 0))
    store.append(make_step(1, 0, truncated=True))
    store.append(make_step(2, 1))
    store.append(make_step(3, 1))
    assert store.states(store.valid_rows())[:, 0].tolist() == [0, 2]


def test_a_time_limit_still_bootstraps_and_a_success_does_not(store):
    store.append(make_step(0, 0))
    store.append(make_step(1, 0, truncated=True))
    store.append(make_step(2, 1))
    store.append(make_step(3, 1, terminal=True))
    assert store.transitions_at(store.valid_rows()).mask.tolist() == [1.0, 0.0]


def test_a_restart_in_the_middle_of_an_episode_is_not_bridged(tmp_path):
    """The process that resumes starts a new episode number, whatever the old episode's last step says."""
    with ReplayStore.create(tmp_path / 's', make_specs(), 50) as store:
        for number in range(3):
            store.append(make_step(number, episode=0))
    with ReplayStore.open(tmp_path / 's') as store:
        for number in range(3, 6):
            store.append(make_step(number, episode=store.last_episode + (number == 3)))
        assert store.states(store.valid_rows())[:, 0].tolist() == [0, 1, 3, 4]


def test_every_field_comes_back_as_it_was_stored(tmp_path):
    rng = np.random.default_rng(0)
    cameras = ('front', 'wrist')
    steps = []
    with ReplayStore.create(tmp_path / 's', make_specs(8, cameras), 50) as store:
        for number in range(20):
            step = make_step(number, 0, 8, cameras, intervention=bool(number % 3), terminal=number == 19)
            step.observation.images = {camera: rng.integers(0, 256, (8, 8, 3), np.uint8) for camera in cameras}
            steps.append(step)
            assert store.append(step) == number
    with ReplayStore.open(tmp_path / 's', read_only=True) as store:
        rows = store.episode_rows(0)
        batch = store.transitions_at(rows[:-1])
        for camera in cameras:
            frames = np.stack([step.observation.images[camera] for step in steps])
            assert np.array_equal(store.frames(rows)[camera], frames)
            assert np.array_equal(batch.images[camera], frames[:-1])
            assert np.array_equal(batch.next_images[camera], frames[1:])
        assert np.array_equal(batch.state[:, 0], np.arange(19, dtype=np.float32))
        assert np.array_equal(batch.next_state[:, 0], np.arange(1, 20, dtype=np.float32))
        assert np.array_equal(batch.action[:, 0], np.arange(19, dtype=np.float32))
        assert np.array_equal(batch.reward, np.arange(1, 20, dtype=np.float32))
        assert batch.mask.tolist() == [1.0] * 18 + [0.0]
        assert {part.dtype for part in (batch.state, batch.action, batch.reward, batch.mask)} == {np.dtype(np.float32)}
        assert store.specs == make_specs(8, cameras)
        assert store.episodes()[0].interventions == sum(step.intervention for step in steps)


def test_episodes_are_summed_up_in_the_order_written(store):
    for number, episode in enumerate([4, 4, 4, 7, 7]):
        store.append(make_step(number, episode, terminal=number == 2, truncated=number == 4))
    assert store.episodes() == [
        EpisodeSummary(4, 0, 3, 2, return_=3.0, terminal=True, truncated=False, interventions=0),
        EpisodeSummary(7, 3, 2, 1, return_=4.0, terminal=False, truncated=True, interventions=0),
    ]
    assert store.episode_rows(7).tolist() == [3, 4]
    assert store.last_episode == 7


def test_a_discarded_episode_is_gone_after_reopening_too(store):
    for number in range(6):
        store.append(make_step(number, episode=number // 3))
    store.truncate(3)
    store.close()
    with ReplayStore.open(store.folder) as again:
        assert (again.sequence, again.steps, again.transitions, again.last_episode) == (3, 3, 2, 0)
        again.append(make_step(9, episode=5))
        assert again.sequence_at(again.episode_rows(5)).tolist() == [3]


def test_an_empty_store_says_so(store):
    assert (store.sequence, store.steps, store.transitions, store.last_episode) == (0, 0, 0, -1)
    assert store.episodes() == []
    with pytest.raises(ValueError, match='no transition to sample'):
        store.sample_rows(1, np.random.default_rng(0))


def test_two_cameras_of_128_take_less_than_100_kilobytes_a_step(tmp_path):
    cameras = ('front', 'wrist')
    with ReplayStore.create(tmp_path / 's', make_specs(128, cameras), 1000) as store:
        for number in range(100):
            store.append(make_step(number, size=128, cameras=cameras))
        store.flush()
        on_disk = sum(file.stat().st_blocks * 512 for file in (tmp_path / 's').iterdir())
        assert store.bytes_per_step <= 100_000
    assert on_disk / 100 <= 100_000


def test_the_ring_agrees_with_a_naive_model_through_wrap_truncation_and_reopening(tmp_path):
    """The model is a list of slots, each with a number and a step; pairs are compared one by one."""
    rng = np.random.default_rng(0)
    folder, capacity = tmp_path / 's', 37
    store = ReplayStore.create(folder, make_specs(cameras=()), capacity)
    slots: list[tuple[int, Step] | None] = [None] * capacity
    firsts: set[int] = set()
    sequence = episode = 0
    for number in range(3000):
        ends = {'terminal': True} if rng.random() < 0.05 else {'truncated': True} if rng.random() < 0.05 else {}
        step = make_step(number, episode, cameras=(), intervention=rng.random() < 0.3, **ends)
        newest = slots[(sequence - 1) % capacity]
        last_episode = newest[1].episode if newest else None
        overwritten = slots[sequence % capacity]
        if overwritten and overwritten[0] in firsts and overwritten[1].episode not in (episode, last_episode):
            slots = [slot if slot and slot[1].episode != overwritten[1].episode else None for slot in slots]
        firsts = firsts - {sequence} if episode == last_episode else firsts | {sequence}
        store.append(step)
        slots[sequence % capacity] = (sequence, step)
        sequence += 1
        episode += step.ends_episode or rng.random() < 0.02
        if rng.random() < 0.03:
            keep = max(sequence - int(rng.choice([1, 5, 30, 60])), 0)
            store.truncate(keep)
            slots = [slot if slot and slot[0] < keep else None for slot in slots]
            sequence = max([slot[0] + 1 for slot in slots if slot], default=0)
        if rng.random() < 0.02:
            store.close()
            store = ReplayStore.open(folder)
        held = dict(sorted(slot for slot in slots if slot))
        pairs = [i for i in held if i + 1 in held and held[i].episode == held[i + 1].episode]
        expected = [i for i in pairs if not held[i].ends_episode]
        assert (store.sequence, store.steps, store.transitions) == (sequence, len(held), len(expected))
        assert sum(episode.transitions for episode in store.episodes()) == len(expected)
        rows = store.valid_rows()
        assert store.sequence_at(rows).tolist() == expected
        batch = store.transitions_at(rows)
        assert batch.action[:, 0].tolist() == [held[i].action[0] for i in expected]
        assert batch.next_state[:, 0].tolist() == [held[i + 1].observation.state[0] for i in expected]
        assert batch.mask.tolist() == [float(not held[i + 1].terminal) for i in expected]
        bound = int(rng.integers(0, sequence + 2))
        assert store.sequence_at(store.valid_rows(bound)).tolist() == [i for i in expected if i + 1 < bound]
        by_hand = [i for i in expected if held[i].intervention]
        assert store.intervention_transitions() == len(by_hand)
        assert store.intervention_transitions(bound) == sum(i + 1 < bound for i in by_hand)
        if by_hand:
            drawn = store.sequence_at(store.sample_rows(20, rng, only_interventions=True))
            assert set(drawn.tolist()) <= set(by_hand)
        if expected:
            drawn = store.sequence_at(store.sample_rows(20, rng))
            assert set(drawn.tolist()) <= set(expected)
    store.close()


def test_sampling_repeats_exactly_for_the_same_generator_and_bound(store):
    for number in range(20):
        store.append(make_step(number))
    first = store.sample_rows(64, np.random.default_rng(3), before_sequence=20)
    for number in range(20, 40):
        store.append(make_step(number))
    again = store.sample_rows(64, np.random.default_rng(3), before_sequence=20)
    assert np.array_equal(first, again)
    assert store.sequence_at(first).max() <= 18


def test_sampling_is_uniform_over_transitions(store):
    for number in range(40):
        store.append(make_step(number, episode=number // 10))
    rows = store.sample_rows(36_000, np.random.default_rng(0))
    counts = np.bincount(rows, minlength=40)
    expected = np.where(np.arange(40) % 10 == 9, 0, 1000)
    assert (counts[expected == 0] == 0).all()
    chi_square = ((counts - expected)[expected > 0] ** 2 / 1000).sum()
    assert chi_square < 66.6  # 99.9 % point of 35 degrees of freedom


def test_sampling_finds_the_only_transition_among_many_rows(store):
    """Episodes of one step have none: rejection alone would look for it forever."""
    for number in range(50):
        store.append(make_step(number, episode=0 if number in (20, 21) else number + 1))
    assert store.sample_rows(5, np.random.default_rng(0)).tolist() == [20] * 5


def test_bad_steps_are_refused_with_the_stream_that_is_wrong(store):
    store.append(make_step(3))
    with pytest.raises(ValueError, match='does not follow'):
        store.append(make_step(2))
    with pytest.raises(ValueError, match='state is not finite'):
        step = make_step(4)
        step.observation.state[0] = np.nan
        store.append(step)
    with pytest.raises(ValueError, match='image_front has shape'):
        store.append(make_step(4, size=9))
    with pytest.raises(ValueError, match='image_front is float64, expected uint8'):
        step = make_step(4)
        step.observation.images['front'] = np.zeros((8, 8, 3))
        store.append(step)
    with pytest.raises(ValueError, match='reward is not finite'):
        step = make_step(4)
        step.reward = float('nan')
        store.append(step)
    with pytest.raises(ValueError, match=r"lacks \['image_front'\]"):
        store.append(make_step(4, cameras=()))
    assert store.steps == 1


def test_data_of_another_set_up_is_refused_by_the_name_that_differs(tmp_path):
    with ReplayStore.create(tmp_path / 'demos', make_specs(), 5) as store:
        with pytest.raises(UserError, match="camera 'wrist' is missing"):
            require_same_specs(store.specs, make_specs(cameras=('front', 'wrist')), 'demos')


def test_interventions_alone_can_be_drawn_and_counted(store):
    """Steps 2, 3 and 9 were a person's; 9 ended its episode, so that no transition begins there."""
    for number in range(12):
        store.append(make_step(number, number // 10, truncated=number == 9, intervention=number in (2, 3, 9)))
    rows = store.sample_rows(3000, np.random.default_rng(0), only_interventions=True)
    assert store.intervention_transitions() == 2
    assert set(rows.tolist()) == {2, 3}
    assert abs(int((rows == 2).sum()) - 1500) < 4 * np.sqrt(3000 / 4)


def test_interventions_from_the_bound_on_do_not_change_the_draw(store):
    for number in range(10):
        store.append(make_step(number, intervention=number % 3 == 0))
    first = store.sample_rows(50, np.random.default_rng(1), 7, only_interventions=True)
    for number in range(10, 30):
        store.append(make_step(number, intervention=True))
    again = store.sample_rows(50, np.random.default_rng(1), 7, only_interventions=True)
    assert np.array_equal(first, again)
    assert set(first.tolist()) == {0, 3}, 'the successor of 6 is 7, which is not before 7'
    assert [store.intervention_transitions(bound) for bound in (0, 1, 2, 4, 5, 8, 12)] == [0, 0, 1, 1, 2, 3, 5]


def test_a_store_without_interventions_says_so(store):
    for number in range(5):
        store.append(make_step(number))
    with pytest.raises(ValueError, match='no intervention to sample'):
        store.sample_rows(1, np.random.default_rng(0), only_interventions=True)
