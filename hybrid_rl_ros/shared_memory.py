"""Shared memory of Fast DDS that killed processes left behind: 35 MB of each node, until the machine starts anew."""

from __future__ import annotations

import fcntl
import re
import time
from pathlib import Path

FOLDER = Path('/dev/shm')
LOCK = '_el'
SEGMENT = re.compile(r'fast(rtps|dds)_[0-9a-f]{16}')
# One that is being made has its lock's file a moment before the lock.
NEW_S = 10.0


def abandoned(folder: Path = FOLDER) -> list[Path]:
    """Segments whose owner is no more: it held a lock on the file beside each for as long as it lived."""
    found = []
    for lock in folder.glob(f'*{LOCK}'):
        segment = lock.with_name(lock.name.removesuffix(LOCK))
        try:
            if SEGMENT.fullmatch(segment.name) and time.time() - lock.stat().st_mtime > NEW_S and _is_free(lock):
                found.append(segment)
        except OSError:
            continue  # somebody else's, or gone by now
    return sorted(found)


def free_abandoned(folder: Path = FOLDER) -> int:
    """Remove what is abandoned; how many bytes that gave back."""
    freed = 0
    for segment in abandoned(folder):
        try:
            size = size_of(segment)
            segment.unlink(missing_ok=True)
            segment.with_name(segment.name + LOCK).unlink(missing_ok=True)
            freed += size
        except OSError:
            continue
    return freed


def size_of(segment: Path) -> int:
    """Bytes of memory that it takes; 0 if it is gone."""
    try:
        return segment.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _is_free(lock: Path) -> bool:
    with lock.open('rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
