"""The files keep their promise: killed, torn, full, damaged or foreign, no row is ever half there."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_replay_store import make_specs, make_step

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.store_files import ROW
from hybrid_rl_ros.errors import UserError

SCRIPT_HEAD = f"""
import os, resource, signal, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[2])!r}]
from test_store_files import *
"""


class Killed(BaseException):
    """Stands for the process's death in the middle of a write."""


def fill(folder: Path, steps: int, capacity: int = 10, **kinds) -> None:
    with ReplayStore.create(folder, make_specs(**kinds), capacity) as store:
        for number in range(steps):
            store.append(make_step(number, **kinds))


def assert_whole(store: ReplayStore) -> None:
    """Every step held has the state, the action and the frames of its number (see make_step)."""
    rows = np.concatenate([store.episode_rows(episode.episode) for episode in store.episodes()])
    numbers = store.sequence_at(rows)
    assert len(rows) == store.steps
    assert np.array_equal(store.states(rows)[:, 0], numbers.astype(np.float32))
    assert np.array_equal(store.actions(rows)[:, 0], numbers.astype(np.float32))
    for frames in store.frames(rows).values():
        assert (frames == (numbers % 251).astype(np.uint8)[:, None, None, None]).all()


@pytest.mark.parametrize('written_before', [4, 10, 23])
@pytest.mark.parametrize('half_written', [False, True])
def test_death_between_any_two_writes_leaves_only_whole_steps(tmp_path, monkeypatch, written_before, half_written):
    """Each write of one append in turn is the last; the ring is part full, just full, or overwriting."""
    real_pwrite = os.pwrite
    for survived in range(10):
        folder = tmp_path / str(survived)
        fill(folder, written_before)
        remaining = survived

        def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
            nonlocal remaining
            if remaining == 0:
                if half_written:
                    real_pwrite(descriptor, data[: len(data) // 2], offset)
                raise Killed
            remaining -= 1
            return real_pwrite(descriptor, data, offset)

        store = ReplayStore.open(folder)
        with monkeypatch.context() as patched, store:
            patched.setattr(os, 'pwrite', pwrite)
            try:
                store.append(make_step(written_before))
                finished = True
            except Killed:
                finished = False
        with ReplayStore.open(folder) as store:
            assert_whole(store)
            assert store.sequence == written_before + finished
            assert store.steps >= min(written_before, 9)
            store.append(make_step(store.sequence))
            assert_whole(store)
        if finished:
            break
    assert finished and survived >= 4


# A server that has all imports forks each writer in a few ms.
FORKED = multiprocessing.get_context('forkserver')
FORKED.set_forkserver_preload(['pytest', 'hybrid_rl_ros.data.replay_store'])


def write_for_ever(folder: Path, capacity: int, reports: Any) -> None:
    store = ReplayStore.create(folder, make_specs(32), capacity)
    for number in range(1_000_000):
        store.append(make_step(number, size=32))
        os.write(reports.fileno(), b'.')


def kill_a_writer(folder: Path, capacity: int, after_s: float) -> tuple[int, int]:
    """Kill -9 a process that appends; returns (steps it reported, steps found to have been written)."""
    reading, writing = FORKED.Pipe(duplex=False)
    child = FORKED.Process(target=write_for_ever, args=(folder, capacity, writing))
    child.start()
    writing.close()
    reported = len(os.read(reading.fileno(), 1))
    time.sleep(after_s)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    while some := os.read(reading.fileno(), 1 << 16):
        reported += len(some)
    child.join()
    with ReplayStore.open(folder) as store:
        assert_whole(store)
        assert store.steps >= min(store.sequence, capacity - 1)
        return reported, store.sequence


@pytest.mark.parametrize('kills', [24, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize('capacity', [100_000, 16], ids=['filling', 'overwriting'])
def test_a_killed_writer_leaves_every_reported_step_whole(tmp_path, capacity, kills):
    delays_s = np.random.default_rng(kills).uniform(0.0, 0.05, kills)
    folders = [tmp_path / str(kill) for kill in range(kills)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(kill_a_writer, folders, [capacity] * kills, delays_s))
    for reported, found in outcomes:
        assert reported <= found <= reported + 1


def test_a_torn_last_row_is_ignored_on_opening(tmp_path):
    fill(tmp_path / 's', 5)
    _overwrite(tmp_path / 's' / 'state.bin', 4 * 4, b'\xff\xff')
    with ReplayStore.open(tmp_path / 's') as store:
        assert (store.sequence, store.transitions) == (4, 3)


@pytest.mark.parametrize('at', [3, 9, 20, 33], ids=['sequence', 'stamp', 'episode', 'checksum'])
def test_one_damaged_record_costs_one_step_and_no_other(tmp_path, at):
    fill(tmp_path / 's', 6, capacity=16)
    _overwrite(tmp_path / 's' / 'rows.bin', 2 * ROW.itemsize + at, b'\x10')
    with ReplayStore.open(tmp_path / 's') as store:
        assert (store.sequence, store.steps) == (6, 5)
        assert store.sequence_at(store.valid_rows()).tolist() == [0, 3, 4]


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path):
    with ReplayStore.create(tmp_path / 's', make_specs(), 10) as store:
        with pytest.raises(UserError, match=f'{tmp_path}/s: another process is writing'):
            ReplayStore.open(tmp_path / 's')
        with ReplayStore.open(tmp_path / 's', read_only=True) as reader:
            store.append(make_step(0))
            assert reader.steps == 0
            reader.refresh()
            assert reader.steps == 1
    ReplayStore.open(tmp_path / 's').close()


def test_a_writer_killed_does_not_leave_its_lock(tmp_path):
    kill_a_writer(tmp_path / 's', 100, 0.0)
    ReplayStore.open(tmp_path / 's').close()


def test_a_closed_store_and_a_reader_write_nowhere(tmp_path):
    """A closed store's descriptor numbers belong to other files by then."""
    fill(tmp_path / 's', 1)
    with ReplayStore.open(tmp_path / 's', read_only=True) as reader:
        with pytest.raises(ValueError, match='for reading only'):
            reader.append(make_step(1))
        with pytest.raises(ValueError, match='for reading only'):
            reader.truncate(0)
    store = ReplayStore.open(tmp_path / 's')
    store.close()
    others = [open(tmp_path / f'other{number}', 'w+b') for number in range(4)]
    with pytest.raises(ValueError, match='is closed'):
        store.append(make_step(1))
    assert [os.fstat(other.fileno()).st_size for other in others] == [0] * 4
    for other in others:
        other.close()


def test_a_full_disk_is_one_clear_error_and_loses_nothing_older(tmp_path):
    """A file-size limit makes pwrite fail as a full disk does."""
    script = f"""{SCRIPT_HEAD}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = ReplayStore.create({str(tmp_path / 's')!r}, make_specs(64), 50)
resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 64 * 3 * 5 + 100, 64 * 64 * 3 * 5 + 100))
try:
    for number in range(10):
        store.append(make_step(number, size=64))
except UserError as error:
    print(error)
"""
    output = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True).stdout
    assert output == f'{tmp_path}/s: a step could not be written: File too large\n'
    with ReplayStore.open(tmp_path / 's') as store:
        assert store.steps == 5
        assert_whole(store)
        store.append(make_step(5, size=64))


@pytest.mark.parametrize(
    'head, complaint',
    [
        ('{"format": 2, "capacity": 10}', 'format 2, expected 1; a newer version'),
        ('{"observation": {}}', 'no replay store here'),
        ('{"format": 1', 'cannot be read'),
        ('{"format": 1, "specs": {}}', 'capacity is None'),
        ('{"format": 1, "capacity": 10, "specs": {}}', 'specs.observation: Field required'),
    ],
)
def test_a_head_that_cannot_be_used_is_one_line(tmp_path, head, complaint):
    (tmp_path / 'specs.json').write_text(head)
    with pytest.raises(UserError, match=complaint) as raised:
        ReplayStore.open(tmp_path)
    assert '\n' not in str(raised.value)


def test_missing_and_occupied_folders_are_user_errors(tmp_path):
    with pytest.raises(UserError, match='no replay store here'):
        ReplayStore.open(tmp_path / 'nothing')
    fill(tmp_path / 's', 1)
    with pytest.raises(UserError, match='already holds a replay store'):
        ReplayStore.create(tmp_path / 's', make_specs(), 5)
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot be made here'):
        ReplayStore.create(tmp_path / 'file', make_specs(), 5)
    os.truncate(tmp_path / 's' / 'action.bin', 7)
    with pytest.raises(UserError, match='action.bin: 7 bytes, expected 40'):
        ReplayStore.open(tmp_path / 's')
    (tmp_path / 's' / 'state.bin').unlink()
    with pytest.raises(UserError, match='state.bin: cannot be opened: No such file'):
        ReplayStore.open(tmp_path / 's', read_only=True)


def test_an_observation_of_images_alone_can_be_stored(tmp_path):
    state = VectorSpec(dimensions=())
    observation = ObservationSpec(state=state, images=(ImageSpec(camera='front', height=4, width=6),))
    specs = Specs(
        observation=observation, action=ActionSpec(dimensions=(Dimension(name='a', unit='', low=-1, high=1),))
    )
    with ReplayStore.create(tmp_path / 's', specs, 5) as store:
        for number in range(2):
            seen = Observation(np.zeros(0, np.float32), {'front': np.full((4, 6, 3), number, np.uint8)})
            store.append(Step(number, 0, seen, np.zeros(1, np.float32)))
    with ReplayStore.open(tmp_path / 's') as store:
        assert store.transitions_at(store.valid_rows()).next_images['front'].tolist() == np.ones((1, 4, 6, 3)).tolist()


def test_a_large_store_opens_with_every_step(tmp_path):
    folder, steps = tmp_path / 's', 100_000
    fill(folder, steps, capacity=steps, cameras=())
    start = time.perf_counter()
    with ReplayStore.open(folder) as store:
        opened_s = time.perf_counter() - start
        assert (store.steps, store.transitions) == (steps, steps - 1)
    print(f'opening {steps} rows took {opened_s:.3f} s')


def _overwrite(path: Path, at: int, data: bytes) -> None:
    with open(path, 'r+b') as file:
        file.seek(at)
        file.write(data)
