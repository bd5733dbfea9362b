"""A full ring drops whole episodes, and goes on doing so after it was opened again."""

from __future__ import annotations

import numpy as np
import pytest
from test_replay_store import make_specs, make_step

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.store_files import ROW, _checksums


def held(store: ReplayStore) -> list[tuple[int, int]]:
    """(episode, steps) of what is held."""
    return [(episode.episode, episode.steps) for episode in store.episodes()]


def append_episode(store: ReplayStore, episode: int, steps: int) -> None:
    for _ in range(steps):
        store.append(make_step(store.sequence, episode, cameras=()))


@pytest.fixture(params=[False, True], ids=['in one go', 'opened again before each episode'])
def fill(request, tmp_path):
    """Writes episodes of the lengths given, numbered from 0, into a ring of 10 rows."""

    def write(*lengths: int) -> ReplayStore:
        store = ReplayStore.create(tmp_path / 's', make_specs(cameras=()), 10)
        for episode, steps in enumerate(lengths):
            append_episode(store, episode, steps)
            if request.param:
                store.close()
                store = ReplayStore.open(tmp_path / 's')
        return store

    return write


def test_the_first_step_that_overwrites_an_episode_drops_all_of_it(fill):
    with fill(4, 4, 2) as store:
        assert held(store) == [(0, 4), (1, 4), (2, 2)]
        append_episode(store, 3, 1)
        assert held(store) == [(1, 4), (2, 2), (3, 1)]
        assert (store.steps, store.transitions) == (7, 4)
        assert set(store.sample_rows(200, np.random.default_rng(0)).tolist()) == {4, 5, 6, 8}


def test_the_room_of_a_dropped_episode_is_used_before_the_next_one_goes(fill):
    with fill(4, 4, 2, 4) as store:
        assert held(store) == [(1, 4), (2, 2), (3, 4)]
        append_episode(store, 4, 1)
        assert held(store) == [(2, 2), (3, 4), (4, 1)]


def test_an_episode_longer_than_the_ring_keeps_its_newest_steps(fill):
    with fill(2, 25) as store:
        assert held(store) == [(1, 10)]
        assert store.sequence_at(store.valid_rows()).tolist() == list(range(17, 26))


@pytest.mark.parametrize('length', [10, 25])
def test_an_episode_that_filled_the_ring_goes_step_by_step(fill, length):
    """Dropping it whole would leave nothing to learn from."""
    with fill(length, 3) as store:
        assert held(store) == [(0, 7), (1, 3)]
        append_episode(store, 2, 6)
        assert held(store) == [(0, 1), (1, 3), (2, 6)]
        append_episode(store, 3, 2)
        assert held(store) == [(2, 6), (3, 2)]


def test_a_writer_that_died_while_dropping_an_episode_left_its_beginning(tmp_path, monkeypatch):
    """Rows go newest first, so that what is left of the episode is one without its end."""
    with ReplayStore.create(tmp_path / 's', make_specs(cameras=()), 10) as store:
        for episode in range(2):
            append_episode(store, episode, 5)
        real_erase, left = store._files._erase, 2

        def erase(row: int) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            real_erase(row)

        monkeypatch.setattr(store._files, '_erase', erase)
        with pytest.raises(KeyboardInterrupt):
            append_episode(store, 2, 1)
    with ReplayStore.open(tmp_path / 's') as store:
        assert held(store) == [(0, 3), (1, 5)]
        assert store.sequence_at(store.valid_rows()).tolist() == [0, 1, 5, 6, 7, 8]
        append_episode(store, 2, 1)
        assert held(store) == [(1, 5), (2, 1)]


def test_a_store_from_before_the_flag_opens_and_drops_whole_episodes(tmp_path):
    """Only of the oldest episode it is not known whether its first step is held: that one goes step by step."""
    with ReplayStore.create(tmp_path / 's', make_specs(cameras=()), 10) as store:
        for episode in range(3):
            append_episode(store, episode, 4)
    forget_first_flags(tmp_path / 's')
    with ReplayStore.open(tmp_path / 's') as store:
        assert held(store) == [(1, 4), (2, 4)]
        append_episode(store, 3, 2)
        append_episode(store, 4, 1)
        assert held(store) == [(1, 3), (2, 4), (3, 2), (4, 1)]
        append_episode(store, 5, 4)
        assert held(store) == [(3, 2), (4, 1), (5, 4)]


def forget_first_flags(folder) -> None:
    """As the version before wrote it: that byte was always 0, and the checksum is over it too."""
    rows = np.fromfile(folder / 'rows.bin', ROW)
    rows['first'] = 0
    states = np.fromfile(folder / 'state.bin', np.float32).reshape(len(rows), -1)
    actions = np.fromfile(folder / 'action.bin', np.float32).reshape(len(rows), -1)
    held = rows['sequence'] > 0
    rows['crc'][held] = _checksums(rows, states, actions)[held]
    rows.tofile(folder / 'rows.bin')
