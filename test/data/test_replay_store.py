"""The store's promises: nothing stale, nothing across an episode's end, nothing half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hybrid_rl_ros.data.replay_store import ReplayStore
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


def test_two_cameras_of_128_take_less_than_100_kilobytes_a_step(tmp_path):
    cameras = ('front', 'wrist')
    with ReplayStore.create(tmp_path / 's', make_specs(128, cameras), 1000) as store:
        for number in range(100):
            store.append(make_step(number, size=128, cameras=cameras))
        store.flush()
        on_disk = sum(file.stat().st_blocks * 512 for file in (tmp_path / 's').iterdir())
    assert on_disk / 100 <= 100_000


def test_the_ring_agrees_with_a_naive_model_through_wrap_truncation_and_reopening(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / 's'
    store = ReplayStore.create(folder, make_specs(cameras=()), 37)
    model: list[Step] = []
    episode = 0
    for number in range(1500):
        ends = {'terminal': True} if rng.random() < 0.05 else {'truncated': True} if rng.random() < 0.05 else {}
        step = make_step(number, episode, cameras=(), **ends)
        store.append(step)
        model.append(step)
        if step.ends_episode or rng.random() < 0.02:
            episode += 1
        if rng.random() < 0.02:
            keep = max(len(model) - int(rng.integers(1, 6)), 0)
            store.truncate(keep)
            del model[keep:]
        if rng.random() < 0.02:
            store.close()
            store = ReplayStore.open(folder)
        # What a truncation removed may have overwritten older rows, so the model compares pairs that are held.
        held = {int(s) for s in store.sequences(np.flatnonzero(store._rows['sequence']))}
        expected = [
            model[i].action[0]
            for i in range(max(0, len(model) - 37), len(model) - 1)
            if {i, i + 1} <= held and model[i].episode == model[i + 1].episode and not model[i].ends_episode
        ]
        assert store.sequence == len(model)
        assert store.actions(store.valid_rows())[:, 0].tolist() == expected
        assert store.transitions == len(expected)
    store.close()


def test_sampling_repeats_exactly_for_the_same_generator_and_bound(store):
    for number in range(20):
        store.append(make_step(number))
    first = store.sample_rows(64, np.random.default_rng(3), before_sequence=20)
    for number in range(20, 40):
        store.append(make_step(number))
    again = store.sample_rows(64, np.random.default_rng(3), before_sequence=20)
    assert np.array_equal(first, again)
    assert store.sequences(first).max() <= 18


def test_sampling_is_uniform_over_transitions(store):
    for number in range(40):
        store.append(make_step(number, episode=number // 10))
    rows = store.sample_rows(36_000, np.random.default_rng(0))
    counts = np.bincount(rows, minlength=40)
    expected = np.where(np.arange(40) % 10 == 9, 0, 1000)
    assert (counts[expected == 0] == 0).all()
    chi_square = ((counts - expected)[expected > 0] ** 2 / 1000).sum()
    assert chi_square < 66.6  # 99.9 % point of 35 degrees of freedom


def test_a_torn_last_row_is_ignored_on_opening(tmp_path):
    with ReplayStore.create(tmp_path / 's', make_specs(), 50) as store:
        for number in range(5):
            store.append(make_step(number))
    with open(tmp_path / 's' / 'state.bin', 'r+b') as file:
        file.seek(4 * 4)
        file.write(b'\xff\xff')
    with ReplayStore.open(tmp_path / 's') as store:
        assert store.sequence == 4
        assert store.transitions == 3


def test_a_second_writer_is_refused_and_a_reader_is_not(store):
    with pytest.raises(UserError, match='another process is writing'):
        ReplayStore.open(store.folder)
    store.append(make_step(0))
    with ReplayStore.open(store.folder, read_only=True) as reader:
        assert reader.steps == 1


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
    with pytest.raises(ValueError, match=r"lacks \['image_front'\]"):
        store.append(make_step(4, cameras=()))


def test_a_full_disk_is_one_clear_error_and_loses_nothing_older(tmp_path):
    """A file-size limit makes pwrite fail as a full disk does."""
    script = f"""
import resource, signal, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from test_replay_store import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = ReplayStore.create({str(tmp_path / 's')!r}, make_specs(64), 50)
resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 64 * 3 * 5, 64 * 64 * 3 * 5))
try:
    for number in range(10):
        store.append(make_step(number, size=64))
except UserError as error:
    print(error)
"""
    output = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True).stdout
    assert 'a step could not be written' in output
    with ReplayStore.open(tmp_path / 's', read_only=True) as store:
        assert store.steps == 5


def test_missing_and_foreign_folders_are_user_errors(tmp_path, store):
    with pytest.raises(UserError, match='no replay store here'):
        ReplayStore.open(tmp_path / 'nothing')
    with pytest.raises(UserError, match='already holds a replay store'):
        ReplayStore.create(store.folder, make_specs(), 5)
    with pytest.raises(UserError, match="camera 'wrist' is missing"):
        require_same_specs(make_specs(), make_specs(cameras=('front', 'wrist')), 'demos')


def _kill_a_writer(folder: Path, after_s: float) -> tuple[int, int]:
    """Kill -9 a process that appends; returns (steps it reported, steps found)."""
    script = f"""
import os, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from test_replay_store import *
store = ReplayStore.create({str(folder)!r}, make_specs(32), 100000)
for number in range(100000):
    store.append(make_step(number, size=32))
    os.write(1, b'.')
"""
    child = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    reported = len(child.stdout.read(1))
    time.sleep(after_s)
    os.kill(child.pid, signal.SIGKILL)
    reported += len(child.stdout.read())
    child.wait()
    with ReplayStore.open(folder) as store:
        rows = np.arange(store.steps)
        frames = store.frames(rows)['front']
        assert (frames == (rows % 251).astype(np.uint8)[:, None, None, None]).all()
        assert np.array_equal(store.states(rows)[:, 0], rows.astype(np.float32))
        return reported, store.steps


@pytest.mark.parametrize('kills', [5, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_writer_leaves_every_reported_step_whole(tmp_path, kills):
    rng = np.random.default_rng(kills)
    for kill in range(kills):
        reported, found = _kill_a_writer(tmp_path / str(kill), rng.uniform(0.0, 0.05))
        assert reported <= found <= reported + 1
