"""Bags damaged at random: read as far as they are whole, or refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bag_data import as_database, assert_same, episode_steps, from_bag, in_small_chunks, make_store, to_bag
from test_replay_store import make_specs

from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError

STEPS = episode_steps(0, 30, terminal=True)


@pytest.fixture
def bag(tmp_path) -> Path:
    return to_bag(make_store(tmp_path / 'store', STEPS), tmp_path / 'bag')


def damaged(whole: bytes, folder: Path, suffix: str) -> Iterator[Path]:
    """A third is cut off somewhere, the others have up to five wrong bytes."""
    rng = np.random.default_rng(5)
    for number in range(40):
        data = bytearray(whole)
        if number % 3 == 0:
            del data[rng.integers(len(data)) :]
        else:
            for place in rng.integers(len(data), size=rng.integers(1, 6)):
                data[place] ^= rng.integers(1, 256)
        path = folder / f'damaged{number}{suffix}'
        path.write_bytes(data)
        yield path


def read(path: Path) -> list[Step] | None:
    try:
        return from_bag(path, path.with_suffix('.store'), make_specs())
    except UserError as error:
        assert '\n' not in str(error)
        return None


@pytest.mark.filterwarnings('error')
def test_what_is_read_of_a_damaged_mcap_is_what_was_written(tmp_path, bag):
    expected = {step.stamp_ns: step for step in STEPS}
    results = list(map(read, damaged((in_small_chunks(bag) / 'bag_0.mcap').read_bytes(), tmp_path, '.mcap')))
    for steps in filter(None, results):
        for step in steps:
            # Segments are numbered anew after a gap.
            step.episode = 0
        assert_same(steps, [expected[step.stamp_ns] for step in steps])
    assert any(steps for steps in results)


@pytest.mark.filterwarnings('error')
def test_a_damaged_database_is_read_or_refused(tmp_path, bag):
    """It has no checksums: a changed number may go unseen."""
    results = list(map(read, damaged(as_database(bag, tmp_path / 'sqlite').read_bytes(), tmp_path, '.db3')))
    assert results.count(None) > 10
