"""What killed processes left in shared memory is freed, and nothing else."""

from __future__ import annotations

import fcntl
import os
import time

import pytest

from hybrid_rl_ros.shared_memory import abandoned, free_abandoned

SIZE = 8192


def segment_in(folder, name, age_s=60.0):
    segment, lock = folder / name, folder / f'{name}_el'
    segment.write_bytes(bytes(range(256)) * (SIZE // 256))
    lock.touch()
    made_at = time.time() - age_s
    os.utime(lock, (made_at, made_at))
    return segment


@pytest.mark.parametrize('kind', ['fastrtps', 'fastdds'])
def test_a_segment_whose_lock_nobody_holds_is_freed_with_its_lock(tmp_path, kind):
    segment = segment_in(tmp_path, f'{kind}_0123456789abcdef')
    assert abandoned(tmp_path) == [segment]
    assert free_abandoned(tmp_path) == SIZE
    assert not list(tmp_path.iterdir())


def test_a_segment_whose_owner_lives_stays(tmp_path):
    segment = segment_in(tmp_path, 'fastrtps_0123456789abcdef')
    with open(f'{segment}_el', 'rb') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert free_abandoned(tmp_path) == 0
        assert segment.exists()
    assert free_abandoned(tmp_path) == SIZE


@pytest.mark.parametrize(
    'name, age_s',
    [
        ('fastrtps_0123456789abcdef', 0.0),
        ('fastrtps_port7411', 60.0),
        ('sem.fastrtps_0123456789abcdef', 60.0),
        ('fastrtps_0123456789abcdef_copy', 60.0),
    ],
    ids=['being made', 'a port', 'a semaphore', 'not of Fast DDS'],
)
def test_what_is_new_or_no_segment_stays(tmp_path, name, age_s):
    segment = segment_in(tmp_path, name, age_s)
    assert free_abandoned(tmp_path) == 0
    assert segment.exists()


def test_a_lock_alone_is_removed_too(tmp_path):
    segment_in(tmp_path, 'fastrtps_0123456789abcdef').unlink()
    assert free_abandoned(tmp_path) == 0
    assert not list(tmp_path.iterdir())


def test_where_there_is_no_shared_memory_there_is_nothing_to_free(tmp_path):
    assert free_abandoned(tmp_path / 'none') == 0
