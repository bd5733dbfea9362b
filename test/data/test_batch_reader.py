"""A reader gives what the store gives, in memory that it keeps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_replay_store import make_specs, make_step

from hybrid_rl_ros.data.batch_reader import BatchReader
from hybrid_rl_ros.data.replay_store import ReplayStore, Transitions

CAMERAS = ('front', 'wrist')


@pytest.fixture
def store(tmp_path):
    """A ring of 120 rows that has come round, of frames that are all different."""
    rng = np.random.default_rng(0)
    with ReplayStore.create(tmp_path / 's', make_specs(8, CAMERAS), 120) as store:
        for number in range(150):
            step = make_step(number, number // 7, 8, CAMERAS, terminal=number % 14 == 6, truncated=number % 14 == 13)
            step.observation.images = {camera: rng.integers(0, 256, (8, 8, 3), np.uint8) for camera in CAMERAS}
            store.append(step)
        yield store


def assert_same(found: Transitions, expected: Transitions) -> None:
    np.testing.assert_equal(dataclasses.asdict(found), dataclasses.asdict(expected))


@pytest.mark.parametrize('threads', [1, 2, 5])
def test_a_batch_of_any_size_is_what_the_store_gives(store, threads):
    reader, rng = BatchReader(store, threads), np.random.default_rng(0)
    for count in (1, 300, 31, 64, 300, 0):
        rows = store.sample_rows(count, rng) if count else np.zeros(0, np.int64)
        assert_same(reader.transitions_at(rows), store.transitions_at(rows))


def test_the_memory_of_a_batch_is_that_of_the_one_before(store):
    reader = BatchReader(store)
    first = reader.transitions_at(store.valid_rows())
    again = reader.transitions_at(store.valid_rows()[:5])
    for camera in CAMERAS:
        assert np.shares_memory(first.images[camera], again.images[camera])
        assert not np.shares_memory(again.images[camera], again.next_images[camera])


@pytest.mark.parametrize('row', [-1, 120])
def test_a_row_that_the_ring_does_not_have_is_refused(store, row):
    with pytest.raises(IndexError, match=f'{row}'):
        BatchReader(store).transitions_at(np.array([3, row]))
