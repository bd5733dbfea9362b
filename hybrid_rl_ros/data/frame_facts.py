"""What is wrong with an episode's frames: the same one again, black ones, overexposed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.replay_store import ReplayStore

CHUNK_BYTES = 16 << 20  # of frames in memory at a time
THIN = 4  # every so manieth pixel each way is enough to judge brightness, and to tell most frames apart
BLACK_MEAN = 10
BRIGHT_VALUE = 250
BRIGHT_SHARE = 0.5


@dataclass(frozen=True)
class FrameFacts:
    """One camera in one episode or more; `duplicated` counts frames identical to the one before them in the episode.

    longest_duplicated_run: most of these in a row. black: mean below 10 of 255. overexposed: more than half of the
    values at 250 or above.
    """

    frames: int
    duplicated: int
    longest_duplicated_run: int
    black: int
    overexposed: int

    @property
    def duplicated_share(self) -> float:
        return self.duplicated / max(1, self.frames)


def frame_facts(store: ReplayStore, camera: str, rows: np.ndarray) -> FrameFacts:
    """The facts of one episode's rows, in order; a few frames are in memory at a time."""
    same: list[np.ndarray] = []
    black = overexposed = 0
    last = None
    for frames in read_in_chunks(store, camera, rows):
        thin = frames[:, ::THIN, ::THIN]
        black += int((thin.mean((1, 2, 3)) < BLACK_MEAN).sum())
        overexposed += int(((thin >= BRIGHT_VALUE).mean((1, 2, 3)) > BRIGHT_SHARE).sum())
        same.append(_same_as_before(frames if last is None else np.concatenate([last, frames])))
        last = frames[-1:]
    repeated = np.concatenate([np.zeros(0, bool), *same])
    return FrameFacts(len(rows), int(repeated.sum()), longest_run(repeated), black, overexposed)


def summed(facts: Sequence[FrameFacts]) -> FrameFacts:
    """The facts of one camera over all the episodes given."""
    return FrameFacts(
        frames=sum(each.frames for each in facts),
        duplicated=sum(each.duplicated for each in facts),
        longest_duplicated_run=max(each.longest_duplicated_run for each in facts),
        black=sum(each.black for each in facts),
        overexposed=sum(each.overexposed for each in facts),
    )


def read_in_chunks(store: ReplayStore, camera: str, rows: np.ndarray) -> Iterator[np.ndarray]:
    """(up to a chunk, H, W, 3) of the rows' frames in order."""
    shape = next(image.shape for image in store.specs.observation.images if image.camera == camera)
    count = max(1, CHUNK_BYTES // int(np.prod(shape)))
    for start in range(0, len(rows), count):
        yield store.read_frames(camera, rows[start : start + count])


def longest_run(flags: np.ndarray) -> int:
    """The most True values in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _same_as_before(frames: np.ndarray) -> np.ndarray:
    """(B - 1,) whether each frame but the first is identical to the one before it."""
    thin = frames[:, ::THIN, ::THIN]
    same = (thin[1:] == thin[:-1]).all((1, 2, 3))
    for index in np.flatnonzero(same):
        same[index] = np.array_equal(frames[index], frames[index + 1])
    return same
