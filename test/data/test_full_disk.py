"""A disk that fills up: one clear error, nothing older is lost, and the same store goes on when there is room again."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_replay_store import make_specs, make_step
from test_store_files import assert_whole

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError

SIZE = 32


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB of its own."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], capture_output=True)
    if mounted.returncode:
        pytest.skip('mounting a file system is not permitted here')
    yield folder
    # Lazily: a store's memory maps last as long as the object.
    subprocess.run(['umount', '--lazy', folder], check=True)


def append_until_full(store: ReplayStore) -> str:
    with pytest.raises(UserError) as raised:
        while True:
            store.append(make_step(store.sequence, store.sequence // 10, SIZE))
    return str(raised.value)


def take_room(disk: Path, leave_bytes: int) -> Path:
    usage = os.statvfs(disk)
    ballast = disk / 'ballast'
    ballast.write_bytes(bytes(usage.f_bavail * usage.f_frsize - leave_bytes))
    return ballast


def test_a_store_goes_on_when_there_is_room_again(small_disk):
    ballast = take_room(small_disk, 400_000)
    with ReplayStore.create(small_disk / 's', make_specs(SIZE), 1000) as store:
        for _ in range(2):
            assert append_until_full(store).endswith('/s: a step could not be written: No space left on device')
        full_at = store.steps
        assert full_at > 90
        assert_whole(store)
        with ReplayStore.open(small_disk / 's', read_only=True) as reader:
            assert (reader.steps, reader.transitions) == (full_at, store.transitions)
        ballast.unlink()
        for number in range(full_at, full_at + 50):
            store.append(make_step(number, number // 10, SIZE))
    with ReplayStore.open(small_disk / 's') as store:
        assert store.steps == store.sequence == full_at + 50
        assert_whole(store)


def test_a_store_that_finds_no_room_at_all_can_be_made_later(small_disk):
    ballast = take_room(small_disk, 0)
    with pytest.raises(UserError, match='cannot be (made here|opened): No space left on device'):
        ReplayStore.create(small_disk / 's', make_specs(SIZE), 1000)
    ballast.unlink()
    ReplayStore.create(small_disk / 's', make_specs(SIZE), 1000).close()
    ReplayStore.open(small_disk / 's').close()


def test_a_full_ring_needs_no_more_room(small_disk):
    with ReplayStore.create(small_disk / 's', make_specs(SIZE), 100) as store:
        for number in range(100):
            store.append(make_step(number, number // 10, SIZE))
        take_room(small_disk, 0)
        for number in range(100, 250):
            store.append(make_step(number, number // 10, SIZE))
        assert_whole(store)


@pytest.mark.parametrize('written_before', [4, 12, 21], ids=['filling', 'full', 'an episode goes'])
def test_whichever_write_fails_the_same_store_goes_on(tmp_path, monkeypatch, written_before):
    """Each write of one append in turn finds no room, twice; the third attempt does."""
    real_pwrite = os.pwrite
    for survived in range(20):
        store = ReplayStore.create(tmp_path / str(survived), make_specs(SIZE), 12)
        for number in range(written_before):
            store.append(make_step(number, number // 4, SIZE))
        before, failed = store.sequence, 0
        remaining = survived

        def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
            nonlocal remaining
            remaining -= 1
            if remaining == -1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real_pwrite(descriptor, data, offset)

        with monkeypatch.context() as patched:
            patched.setattr(os, 'pwrite', pwrite)
            for _ in range(2):
                try:
                    store.append(make_step(before, before // 4, SIZE))
                    break
                except UserError:
                    failed += 1
                    remaining = survived
                    assert_agrees_with_its_files(store)
        for number in range(store.sequence, before + 15):
            store.append(make_step(number, number // 4, SIZE))
        assert_agrees_with_its_files(store)
        store.close()
        if not failed:
            break
    assert not failed and survived >= 4


def assert_agrees_with_its_files(store: ReplayStore) -> None:
    assert_whole(store)
    with ReplayStore.open(store.folder, read_only=True) as reader:
        assert reader.episodes() == store.episodes()
        assert np.array_equal(reader.valid_rows(), store.valid_rows())
