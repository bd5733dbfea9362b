"""The replay store: steps on disk, frames once as uint8, sampled as transitions.

store_files.py says how a row is kept whole; this is the index over the rows and what is drawn from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_rl_ros.data.episode_summary import EpisodeSummary, summaries
from hybrid_rl_ros.data.row_index import RowIndex
from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.step_payload import step_payload
from hybrid_rl_ros.data.store_files import ROW, StoreFiles
from hybrid_rl_ros.errors import UserError

# Per camera the frames of rows, and of their successors.
FramePairs = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


@dataclass
class Transitions:
    """A batch of B transitions; images are (B, H, W, 3) uint8, mask is 0 only at a true end."""

    state: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    mask: np.ndarray
    next_state: np.ndarray
    images: dict[str, np.ndarray]
    next_images: dict[str, np.ndarray]


class ReplayStore:
    """Demonstrations or experience. One writer and any number of readers, which see new steps on `refresh`.

    A transition is a pair of rows with consecutive sequence numbers in one episode: never across a gap, an episode's
    end, a restart, or the front of the ring. A full ring drops its oldest episode whole (row_index.py says when not).
    A reader of a full ring that is being written must refresh often: its oldest rows are overwritten under it.
    """

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self.folder, self.specs, self.capacity = files.folder, files.specs, files.capacity
        self.refresh()

    @classmethod
    def create(cls, folder: str | Path, specs: Specs, capacity: int) -> ReplayStore:
        """A new, empty store. Raises UserError if the folder already holds one."""
        return cls(StoreFiles.create(Path(folder), specs, capacity))

    @classmethod
    def open(cls, folder: str | Path, read_only: bool = False) -> ReplayStore:
        """An existing store, its index rebuilt from the rows. Raises UserError."""
        return cls(StoreFiles.open(Path(folder), read_only))

    def __enter__(self) -> ReplayStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder; what is held can still be read from this object, but no longer written."""
        self._files.close()

    def flush(self) -> None:
        """Have everything on the disk itself, safe against a power cut."""
        self._files.sync()

    def refresh(self) -> None:
        """Rebuild the index from the files: at opening, and for a reader to see what was written since."""
        self._index = RowIndex(self._files.read_records())

    @property
    def damaged_rows(self) -> int:
        """How many rows were left out at the last refresh because what they hold is not what was written."""
        return self._files.damaged_rows

    @property
    def sequence(self) -> int:
        """The number that the next step gets: how many were ever written, less those truncated."""
        return self._index.sequence

    @property
    def steps(self) -> int:
        """How many steps are held."""
        return self._index.steps

    @property
    def transitions(self) -> int:
        """How many transitions are held."""
        return self._index.transitions

    @property
    def last_episode(self) -> int:
        """The highest episode number, -1 if there is none."""
        return self._index.last_episode

    @property
    def bytes_per_step(self) -> int:
        return ROW.itemsize + sum(stream.nbytes // self.capacity for stream in self._files.streams.values())

    def append(self, step: Step) -> int:
        """Write one step and return its row.

        Raises ValueError for a step that does not fit the specs, UserError when the disk does not take it.
        """
        payload = step_payload(step, self._files.streams)
        record = self._record(step)
        displaced = self._index.displaced_by(step.episode)
        row = self.row_of(self.sequence)
        try:
            if len(displaced) > 1:
                # Newest first: killed in between, the episode has lost its end and not its beginning.
                self._files.erase(displaced[:0:-1].tolist(), durably=False)
            self._index.forget(displaced)
            self._files.write(row, record, payload)
        except UserError:
            self.refresh()  # to what the files have come to
            raise
        self._index.add(record[0])
        return row

    def truncate(self, sequence: int) -> None:
        """Forget every step from number `sequence` on (a discarded episode), durably.

        Numbering goes on after the newest step that is left, from 0 if there is none.
        """
        rows = np.flatnonzero(self._index.records['sequence'] > max(sequence, 0))
        newest_first = rows[np.argsort(self._index.records['sequence'][rows])][::-1]
        try:
            self._files.erase(newest_first.tolist())
        finally:
            self.refresh()

    def row_of(self, sequence: int) -> int:
        return sequence % self.capacity

    def next_rows(self, rows: np.ndarray) -> np.ndarray:
        return (rows + 1) % self.capacity

    def valid_rows(self, before_sequence: int | None = None) -> np.ndarray:
        """Rows of all transitions whose successor has a sequence below `before_sequence`, oldest first."""
        rows = np.flatnonzero(self._index.valid)
        numbers = self._index.records['sequence'][rows]
        if before_sequence is not None:
            keep = numbers < before_sequence  # the successor's number is `sequence` in the record of row i
            rows, numbers = rows[keep], numbers[keep]
        return rows[np.argsort(numbers)]

    def begins_transition(self, rows: np.ndarray, before_sequence: int | None = None) -> np.ndarray:
        """(...) bool for rows (...): whether each begins a transition whose successor is before `before_sequence`."""
        valid = self._index.valid[rows]
        if before_sequence is None:
            return valid
        return valid & (self._index.records['sequence'][rows] < np.uint64(max(0, before_sequence)))

    def completes_transition(self, sequence: int) -> bool:
        """Whether step number `sequence` is the successor in a transition."""
        return sequence > 0 and bool(self._index.valid[self.row_of(sequence - 1)])

    def transitions_before(self, sequence: int) -> int:
        """How many transitions are held whose successor is before step number `sequence`."""
        return self.transitions - sum(self.completes_transition(later) for later in range(sequence, self.sequence))

    def intervention_transitions(self, before_sequence: int | None = None) -> int:
        """How many transitions held were a person's doing, of those whose successor is before `before_sequence`."""
        return len(self._index.interventions(before_sequence))

    def sample_rows(
        self,
        count: int,
        rng: np.random.Generator,
        before_sequence: int | None = None,
        only_interventions: bool = False,
    ) -> np.ndarray:
        """(count,) rows drawn uniformly from the transitions whose successor is before `before_sequence`.

        The draw depends on `rng` and on the steps before that number only, so a schedule of draws can be repeated.
        `only_interventions` draws from those during which a person had the arm. Raises ValueError if there is none.
        """
        if only_interventions:
            numbers = self._index.interventions(before_sequence)
            if not len(numbers):
                raise ValueError(f'{self.folder}: no intervention to sample')
            return numbers[rng.integers(len(numbers), size=count)] % self.capacity
        end = self.sequence if before_sequence is None else min(before_sequence, self.sequence)
        start = max(0, self.sequence - self.capacity)
        drawn: list[np.ndarray] = []
        missing = count
        for _ in range(64):
            if end - start > 1:
                rows = rng.integers(start, end - 1, size=missing) % self.capacity
                rows = rows[self._index.valid[rows]]
                drawn.append(rows)
                missing -= len(rows)
            if missing == 0:
                return np.concatenate(drawn)
        rows = self.valid_rows(before_sequence)
        if not len(rows):
            raise ValueError(f'{self.folder}: no transition to sample')
        return np.concatenate([*drawn, rng.choice(rows, missing)])

    def transitions_at(self, rows: np.ndarray, frames: FramePairs | None = None) -> Transitions:
        """The transitions that begin at `rows` (B,); `frames`, where a reader has taken them already."""
        after = self.next_rows(rows)
        images, next_images = frames or (self.frames(rows), self.frames(after))
        return Transitions(
            state=self.states(rows),
            action=self.actions(rows),
            reward=self.rewards(rows),
            mask=self.masks(rows),
            next_state=self.states(after),
            images=images,
            next_images=next_images,
        )

    def stamps(self, rows: np.ndarray) -> np.ndarray:
        """(B,) the nanosecond stamp of each row's step."""
        return self._index.records['stamp_ns'][rows].astype(np.int64)

    def records(self, rows: np.ndarray) -> np.ndarray:
        """(B,) of ROW, copied: each row's own record, whose reward and ends are those of the arrival at it."""
        return self._index.records[rows]

    def states(self, rows: np.ndarray) -> np.ndarray:
        return self._files.streams['state'][rows]

    def actions(self, rows: np.ndarray) -> np.ndarray:
        return self._files.streams['action'][rows]

    def noises(self, rows: np.ndarray) -> np.ndarray:
        """(B, h, A) what the chunks that begin at rows were decoded from; NaN where none begins."""
        return self._files.streams['noise'][rows]

    def rewards(self, rows: np.ndarray) -> np.ndarray:
        """(B,) float32: what the transition from each row earned."""
        return self._index.records['reward'][self.next_rows(rows)]

    def masks(self, rows: np.ndarray) -> np.ndarray:
        """(B,) float32: 0 where the transition from each row ends in a terminal state; a time limit keeps 1."""
        return 1.0 - self._index.records['terminal'][self.next_rows(rows)].astype(np.float32)

    def frames(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Per camera (..., H, W, 3) uint8 of rows (...)."""
        return {camera: stream[rows] for camera, stream in self.frame_streams().items()}

    def frame_streams(self) -> dict[str, np.ndarray]:
        """Per camera all frames, (capacity, H, W, 3): read-only, and always what the files hold now."""
        cameras = [image.camera for image in self.specs.observation.images]
        return {camera: self._files.streams[f'image_{camera}'] for camera in cameras}

    def read_frames(self, camera: str, rows: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) of one camera, with no page of its file kept in memory: for going through a whole store."""
        return self._files.read(f'image_{camera}', rows)

    def sequence_at(self, rows: np.ndarray) -> np.ndarray:
        """(B,) the number of each row's step."""
        return self._index.records['sequence'][rows].astype(np.int64) - 1

    def episodes(self) -> list[EpisodeSummary]:
        """Every episode held, in the order written."""
        return summaries(self._index)

    def episode_rows(self, episode: int) -> np.ndarray:
        """Rows of one episode in order."""
        rows = np.flatnonzero((self._index.records['sequence'] > 0) & (self._index.records['episode'] == episode))
        return rows[np.argsort(self._index.records['sequence'][rows])]

    def rows(self) -> np.ndarray:
        """Rows of every step held, oldest first."""
        rows = np.flatnonzero(self._index.records['sequence'])
        return rows[np.argsort(self._index.records['sequence'][rows])]

    def step_at(self, row: int) -> Step:
        """The step in one row, as it was appended."""
        record = self._index.records[row]
        images = {camera: self.read_frames(camera, np.array([row]))[0] for camera in self.frame_streams()}
        return Step(
            stamp_ns=int(record['stamp_ns']),
            episode=int(record['episode']),
            observation=Observation(self.states(np.array([row]))[0], images),
            action=self.actions(np.array([row]))[0],
            reward=float(record['reward']),
            terminal=bool(record['terminal']),
            truncated=bool(record['truncated']),
            intervention=bool(record['intervention']),
            noise=self._noise_at(row),
        )

    def _noise_at(self, row: int) -> np.ndarray | None:
        if not self.specs.noise_steps:
            return None
        noise = self.noises(np.array([row]))[0]
        return None if np.isnan(noise).any() else noise

    def _record(self, step: Step) -> np.ndarray:
        """(1,) of ROW for the step that comes next. Raises ValueError for a stamp that does not follow."""
        row = self._index.newest()
        newest = None if row is None else self._index.records[row]
        follows = newest is not None and int(newest['episode']) == step.episode
        if newest is not None and follows and step.stamp_ns <= int(newest['stamp_ns']):
            raise ValueError(f'stamp {step.stamp_ns} does not follow {int(newest["stamp_ns"])}')
        record = np.zeros(1, ROW)
        record['sequence'] = self.sequence + 1
        record['stamp_ns'], record['episode'], record['reward'] = step.stamp_ns, step.episode, step.reward
        record['terminal'], record['truncated'] = step.terminal, step.truncated
        record['intervention'], record['first'] = step.intervention, not follows
        return record
