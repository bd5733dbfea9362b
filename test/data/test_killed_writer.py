"""Kill -9 at any moment of a writer's life: the store is whole, and lacks at most the step being written."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from test_replay_store import make_specs, make_step

from hybrid_rl_ros.data.replay_store import ReplayStore

INTENTION = struct.Struct('<qq')
SIZE, CAPACITY = 32, 40
# A server that has all imports forks each writer in a few ms.
FORKED = multiprocessing.get_context('forkserver')
FORKED.set_forkserver_preload(['pytest', 'hybrid_rl_ros.data.replay_store'])


def write_for_ever(folder: Path, seed: int, intentions: Connection) -> None:
    """Appends episodes, some longer than the ring, discards some of them, flushes, and opens the store again.

    Before an append and before a discard it says to which two numbers, or between, the store will be written then.
    """
    rng = np.random.default_rng(seed)
    exists = (folder / 'specs.json').exists()
    store = ReplayStore.open(folder) if exists else ReplayStore.create(folder, make_specs(SIZE), CAPACITY)

    def intend(least: int, most: int) -> None:
        os.write(intentions.fileno(), INTENTION.pack(least, most))

    while True:
        episode, began = store.last_episode + 1, store.sequence
        steps = int(rng.integers(1, CAPACITY // 2)) if rng.random() < 0.9 else 2 * CAPACITY
        for index in range(steps):
            number = store.sequence
            intend(number, number + 1)
            step = make_step(number, episode, SIZE, truncated=index == steps - 1)
            step.reward = index
            store.append(step)
        what_now = rng.random()
        if what_now < 0.25:
            # Where the episode discarded has pushed out the one before, nothing is left to go on from.
            before_held = store.sequence_at(np.array([store.row_of(began - 1)]))[0] == began - 1
            intend(began if before_held else 0, store.sequence)
            store.truncate(began)
        elif what_now < 0.35:
            store.flush()
        elif what_now < 0.45:
            store.close()
            store = ReplayStore.open(folder)


def kill_a_writer(folder: Path, seed: int, wait_for: int, after_s: float) -> tuple[int, int]:
    """Let one write, and kill it `after_s` after it was about to write step `wait_for`; returns what it said last."""
    reading, writing = FORKED.Pipe(duplex=False)
    child = FORKED.Process(target=write_for_ever, args=(folder, seed, writing))
    child.start()
    writing.close()
    said = b''
    while last_said(said)[1] < wait_for:
        said += os.read(reading.fileno(), 1 << 16)
    time.sleep(after_s)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    while some := os.read(reading.fileno(), 1 << 16):
        said += some
    reading.close()
    child.join()
    assert child.exitcode != 1, 'it ended by itself'
    return last_said(said)


def last_said(said: bytes) -> tuple[int, int]:
    end = len(said) - len(said) % INTENTION.size
    return INTENTION.unpack(said[end - INTENTION.size : end]) if end else (-1, -1)


def require_whole(store: ReplayStore) -> None:
    """Every step has the content of its number, no episode lacks its beginning, and nothing is missing in between."""
    expected = None
    for episode in store.episodes():
        rows = store.episode_rows(episode.episode)
        numbers = store.sequence_at(rows)
        indices = store.rewards((rows - 1) % CAPACITY)
        assert np.array_equal(store.states(rows)[:, 0], numbers) and np.array_equal(store.actions(rows)[:, 0], numbers)
        assert (store.frames(rows)['front'] == (numbers % 251).astype(np.uint8)[:, None, None, None]).all()
        assert (np.diff(numbers) == 1).all() and (np.diff(indices) == 1).all()
        assert indices[0] == 0 or indices[-1] >= CAPACITY - 1, 'only an episode as long as the ring goes step by step'
        # The oldest may have been about to go.
        assert expected in (None, numbers[0]) or episode == store.episodes()[1]
        expected = numbers[-1] + 1
    assert expected in (None, store.sequence)


def kill_again_and_again(folder: Path, lane: int, kills: int) -> None:
    """Kills of writers of one store, one after another: in the first there is none yet, in the third it is full."""
    rng = np.random.default_rng(lane)
    sequence = 0
    for kill in range(kills):
        wait_for = 2 * CAPACITY if kill == 2 else -1
        said = kill_a_writer(folder, 1000 * lane + kill, wait_for, float(rng.uniform(0.0, 0.06)))
        least, most = (sequence, sequence) if said == (-1, -1) else said
        if (folder / 'specs.json').exists():
            with ReplayStore.open(folder) as store:
                assert least <= store.sequence <= most
                require_whole(store)
                sequence = store.sequence
        else:
            assert most == 0


@pytest.mark.parametrize('kills', [6, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_at_any_moment_the_store_is_whole_and_lacks_at_most_the_step_being_written(tmp_path, kills):
    """Four stores; each of the writers goes on with what the one before, killed, has left."""
    with ThreadPoolExecutor(4) as pool:
        lanes = range(4)
        list(pool.map(lambda lane: kill_again_and_again(tmp_path / str(lane), lane, kills), lanes))
