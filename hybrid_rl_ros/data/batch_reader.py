"""Batches of frames out of a replay store, into memory that is kept from batch to batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hybrid_rl_ros.data.replay_store import FramePairs, ReplayStore, Transitions

# Copies to 16 bytes behind a page's start, where numpy's own memory lies, took twice as long.
_ALIGNMENT = 64
# So many use all the bandwidth that a small machine's memory has; one that gets no core costs nothing.
_MOST_THREADS = 4
# Small, so that a thread which is kept from running leaves its share to the others.
_ROWS_AT_A_TIME = 32

_Copy = tuple[np.ndarray, np.ndarray, np.ndarray]  # all frames, the rows wanted, where they go


class BatchReader:
    """Reads transitions of one store. What it returns is overwritten by its next call; one thread may call it.

    New memory for every batch costs more than the copying itself, as every page of it is handed out anew. `threads`
    share the copying: each takes a part of the batch.
    """

    def __init__(self, store: ReplayStore, threads: int | None = None) -> None:
        self._store = store
        self.threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self.threads - 1, 'frames') if self.threads > 1 else None
        self._memory: dict[tuple[str, bool], np.ndarray] = {}

    def transitions_at(self, rows: np.ndarray) -> Transitions:
        """The transitions that begin at `rows` (B,)."""
        return self._store.transitions_at(rows, self.frame_pairs(rows))

    def frame_pairs(self, rows: np.ndarray, after: np.ndarray | None = None) -> FramePairs:
        """Per camera (B, H, W, 3) of `rows` (B,) and of `after` (B,), their successors unless given."""
        after = self._store.next_rows(rows) if after is None else after
        streams = self._store.frame_streams()
        batches, copies = [], []
        for wanted, successor in ((rows, False), (after, True)):
            if len(rows) and not (0 <= wanted.min() and wanted.max() < self._store.capacity):
                raise IndexError(f'rows {wanted.min()} to {wanted.max()} of {self._store.capacity}')
            batch = {camera: self._frames((camera, successor), stream, len(rows)) for camera, stream in streams.items()}
            batches.append(batch)
            for start in range(0, len(rows), _ROWS_AT_A_TIME):
                part = slice(start, start + _ROWS_AT_A_TIME)
                copies += [(streams[camera], wanted[part], frames[part]) for camera, frames in batch.items()]
        self._do(iter(copies))
        return batches[0], batches[1]

    def _do(self, copies: Iterator[_Copy]) -> None:
        """All copies, each by whichever thread is free: this one waits for no other that has not begun."""
        helpers = [self._pool.submit(_do_remaining, copies) for _ in range(self.threads - 1)] if self._pool else []
        _do_remaining(copies)
        for helper in helpers:
            if not helper.cancel():
                helper.result()

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()

    def _frames(self, key: tuple[str, bool], stream: np.ndarray, count: int) -> np.ndarray:
        """(count, H, W, 3) of kept memory, which grows to the largest batch."""
        memory = self._memory.get(key)
        if memory is None or len(memory) < count:
            shape = (count, *stream.shape[1:])
            memory = self._memory[key] = _aligned(shape)
        return memory[:count]


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape))
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].reshape(shape)


def _do_remaining(copies: Iterator[_Copy]) -> None:
    for stream, rows, frames in copies:
        # With mode 'raise' numpy copies twice; the rows were checked.
        np.take(stream, rows, axis=0, out=frames, mode='clip')
