"""Several stores as one: every episode bit for bit, under a number of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_inspection import CAMERAS, SPECS, sound_episode, write

from hybrid_rl_ros.data.merging import merge_stores
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError


@pytest.fixture
def stores(tmp_path) -> list[Path]:
    write(tmp_path / 'one', sound_episode(0, steps=9), sound_episode(3, steps=7)).close()
    write(tmp_path / 'two', sound_episode(0, steps=8)).close()
    return [tmp_path / 'one', tmp_path / 'two']


def hybrid_rl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'hybrid_rl_ros.cli', *arguments], capture_output=True, text=True)


def test_all_episodes_are_there_numbered_on(stores, tmp_path):
    done = hybrid_rl('data', 'merge', *map(str, stores), '--out', str(tmp_path / 'all'))
    assert (done.returncode, done.stdout) == (0, f'3 episodes, 21 transitions in {tmp_path / "all"}\n'), done.stderr
    with ReplayStore.open(tmp_path / 'all', read_only=True) as merged:
        assert [(e.episode, e.steps) for e in merged.episodes()] == [(0, 9), (1, 7), (2, 8)]
        for number, (folder, theirs) in enumerate([(stores[0], 0), (stores[0], 3), (stores[1], 0)]):
            with ReplayStore.open(folder, read_only=True) as source:
                mine, rows = merged.episode_rows(number), source.episode_rows(theirs)
                assert np.array_equal(merged.states(mine), source.states(rows))
                assert np.array_equal(merged.actions(mine), source.actions(rows))
                ends = ['reward', 'terminal', 'truncated', 'intervention']
                assert np.array_equal(merged.records(mine)[ends], source.records(rows)[ends])
                images = merged.frames(mine), source.frames(rows)
                assert all(np.array_equal(images[0][camera], images[1][camera]) for camera in CAMERAS)


def test_other_observations_are_refused_and_nothing_stays(stores, tmp_path):
    fewer = SPECS.without_state([SPECS.observation.state.names[0]])
    with pytest.raises(UserError, match='does not fit the configuration'):
        merge_stores(stores, Specs.model_validate(fewer.model_dump()), tmp_path / 'all')
    assert not (tmp_path / 'all').exists()


def test_what_exists_is_not_written_over(stores):
    done = hybrid_rl('data', 'merge', *map(str, stores), '--out', str(stores[0]))
    assert done.returncode == 2 and 'exists already' in done.stderr
    assert len(done.stderr.splitlines()) == 1
