"""The replay store: steps on disk, frames once as uint8, sampled as transitions.

store_files.py says how a row is kept whole; this is the index over the rows and what is drawn from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.store_files import ROW, StoreFiles


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


@dataclass(frozen=True)
class EpisodeSummary:
    """One episode as far as it is held: `steps` counts observations, `return_` sums the reward of arrivals held."""

    episode: int
    first_sequence: int
    steps: int
    transitions: int
    return_: float
    terminal: bool
    truncated: bool
    interventions: int


class ReplayStore:
    """Demonstrations or experience. One writer and any number of readers, which see new steps on `refresh`.

    A transition is a pair of rows with consecutive sequence numbers in one episode: never across a gap, an episode's
    end, a restart, or the front of the ring. A reader of a full ring that is being written must refresh often: its
    oldest rows are overwritten under it.
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
        self._rows = self._files.read_records()
        numbers = self._rows['sequence']
        self._sequence = int(numbers.max())
        # Left behind where a row was lost: older than the ring reaches back.
        self._rows[numbers <= max(0, self._sequence - self.capacity)] = np.zeros((), ROW)
        following = np.roll(self._rows, -1)
        self._valid = (
            (numbers > 0)
            & (following['sequence'] == numbers + np.uint64(1))
            & (following['episode'] == self._rows['episode'])
            & ~(self._rows['terminal'] | self._rows['truncated']).astype(bool)
        )
        held = numbers > 0
        self._transitions, self._steps = int(self._valid.sum()), int(held.sum())
        self._last_episode = int(self._rows['episode'][held].max(initial=-1))

    @property
    def sequence(self) -> int:
        """The number that the next step gets: how many were ever written, less those truncated."""
        return self._sequence

    @property
    def steps(self) -> int:
        """How many steps are held."""
        return self._steps

    @property
    def transitions(self) -> int:
        """How many transitions are held."""
        return self._transitions

    @property
    def last_episode(self) -> int:
        """The highest episode number, -1 if there is none."""
        return self._last_episode

    @property
    def bytes_per_step(self) -> int:
        return ROW.itemsize + sum(stream.nbytes // self.capacity for stream in self._files.streams.values())

    def append(self, step: Step) -> int:
        """Write one step and return its row.

        Raises ValueError for a step that does not fit the specs, UserError when the disk does not take it.
        """
        payload = self._payload(step)
        before = self.row_of(self._sequence - 1) if self._sequence else None
        follows = before is not None and int(self._rows['episode'][before]) == step.episode
        if follows and step.stamp_ns <= int(self._rows['stamp_ns'][before]):
            raise ValueError(f'stamp {step.stamp_ns} does not follow {int(self._rows["stamp_ns"][before])}')
        row = self.row_of(self._sequence)
        record = np.zeros(1, ROW)
        record['sequence'] = self._sequence + 1
        record['stamp_ns'], record['episode'], record['reward'] = step.stamp_ns, step.episode, step.reward
        record['terminal'], record['truncated'] = step.terminal, step.truncated
        record['intervention'] = step.intervention
        self._forget(row)
        self._files.write(row, record, payload)
        self._rows[row] = record[0]
        self._sequence += 1
        self._steps += 1
        self._last_episode = max(self._last_episode, step.episode)
        if follows and not (self._rows['terminal'][before] or self._rows['truncated'][before]):
            self._valid[before] = True
            self._transitions += 1
        return row

    def truncate(self, sequence: int) -> None:
        """Forget every step from number `sequence` on (a discarded episode), durably.

        Numbering goes on after the newest step that is left, from 0 if there is none.
        """
        rows = np.flatnonzero(self._rows['sequence'] > max(sequence, 0))
        newest_first = rows[np.argsort(self._rows['sequence'][rows])][::-1]
        self._files.erase(newest_first.tolist())
        self.refresh()

    def row_of(self, sequence: int) -> int:
        return sequence % self.capacity

    def next_rows(self, rows: np.ndarray) -> np.ndarray:
        return (rows + 1) % self.capacity

    def valid_rows(self, before_sequence: int | None = None) -> np.ndarray:
        """Rows of all transitions whose successor has a sequence below `before_sequence`, oldest first."""
        rows = np.flatnonzero(self._valid)
        numbers = self._rows['sequence'][rows]
        if before_sequence is not None:
            keep = numbers < before_sequence  # the successor's number is `sequence` in the record of row i
            rows, numbers = rows[keep], numbers[keep]
        return rows[np.argsort(numbers)]

    def completes_transition(self, sequence: int) -> bool:
        """Whether step number `sequence` is the successor in a transition."""
        return sequence > 0 and bool(self._valid[self.row_of(sequence - 1)])

    def sample_rows(self, count: int, rng: np.random.Generator, before_sequence: int | None = None) -> np.ndarray:
        """(count,) rows drawn uniformly from the transitions whose successor is before `before_sequence`.

        The draw depends on `rng` and on the steps before that number only, so a schedule of draws can be repeated.
        """
        end = self._sequence if before_sequence is None else min(before_sequence, self._sequence)
        start = max(0, self._sequence - self.capacity)
        drawn: list[np.ndarray] = []
        missing = count
        for _ in range(64):
            if end - start > 1:
                rows = rng.integers(start, end - 1, size=missing) % self.capacity
                rows = rows[self._valid[rows]]
                drawn.append(rows)
                missing -= len(rows)
            if missing == 0:
                return np.concatenate(drawn)
        rows = self.valid_rows(before_sequence)
        if not len(rows):
            raise ValueError(f'{self.folder}: no transition to sample')
        return np.concatenate([*drawn, rng.choice(rows, missing)])

    def transitions_at(self, rows: np.ndarray) -> Transitions:
        after = self.next_rows(rows)
        return Transitions(
            state=self.states(rows),
            action=self.actions(rows),
            reward=self.rewards(rows),
            mask=self.masks(rows),
            next_state=self.states(after),
            images=self.frames(rows),
            next_images=self.frames(after),
        )

    def stamps(self, rows: np.ndarray) -> np.ndarray:
        """(B,) the nanosecond stamp of each row's step."""
        return self._rows['stamp_ns'][rows].astype(np.int64)

    def records(self, rows: np.ndarray) -> np.ndarray:
        """(B,) of ROW, copied: each row's own record, whose reward and ends are those of the arrival at it."""
        return self._rows[rows]

    def states(self, rows: np.ndarray) -> np.ndarray:
        return self._files.streams['state'][rows]

    def actions(self, rows: np.ndarray) -> np.ndarray:
        return self._files.streams['action'][rows]

    def rewards(self, rows: np.ndarray) -> np.ndarray:
        """(B,) float32: what the transition from each row earned."""
        return self._rows['reward'][self.next_rows(rows)]

    def masks(self, rows: np.ndarray) -> np.ndarray:
        """(B,) float32: 0 where the transition from each row ends in a terminal state; a time limit keeps 1."""
        return 1.0 - self._rows['terminal'][self.next_rows(rows)].astype(np.float32)

    def frames(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        cameras = [image.camera for image in self.specs.observation.images]
        return {camera: self._files.streams[f'image_{camera}'][rows] for camera in cameras}

    def read_frames(self, camera: str, rows: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) of one camera, with no page of its file kept in memory: for going through a whole store."""
        return self._files.read(f'image_{camera}', rows)

    def sequence_at(self, rows: np.ndarray) -> np.ndarray:
        """(B,) the number of each row's step."""
        return self._rows['sequence'][rows].astype(np.int64) - 1

    def episodes(self) -> list[EpisodeSummary]:
        """Every episode held, in the order written."""
        summaries = []
        for rows in self._episode_groups():
            records = self._rows[rows]
            summaries.append(
                EpisodeSummary(
                    episode=int(records['episode'][0]),
                    first_sequence=int(records['sequence'][0]) - 1,
                    steps=len(rows),
                    transitions=int(self._valid[rows].sum()),
                    return_=float(records['reward'][1:].sum()),
                    terminal=bool(records['terminal'][-1]),
                    truncated=bool(records['truncated'][-1]),
                    interventions=int(records['intervention'].sum()),
                )
            )
        return summaries

    def episode_rows(self, episode: int) -> np.ndarray:
        """Rows of one episode in order."""
        rows = np.flatnonzero((self._rows['sequence'] > 0) & (self._rows['episode'] == episode))
        return rows[np.argsort(self._rows['sequence'][rows])]

    def _episode_groups(self) -> list[np.ndarray]:
        rows = np.flatnonzero(self._rows['sequence'])
        if not len(rows):
            return []
        rows = rows[np.argsort(self._rows['sequence'][rows])]
        return np.split(rows, np.flatnonzero(np.diff(self._rows['episode'][rows])) + 1)

    def _payload(self, step: Step) -> dict[str, np.ndarray]:
        """The step's arrays as the files hold them. Raises ValueError naming the one that does not fit."""
        given = {'state': step.observation.state, 'action': step.action}
        given |= {f'image_{camera}': image for camera, image in step.observation.images.items()}
        if given.keys() != self._files.streams.keys():
            missing, unknown = self._files.streams.keys() - given.keys(), given.keys() - self._files.streams.keys()
            raise ValueError(f'the step lacks {sorted(missing)} and has {sorted(unknown)}, which the specs do not name')
        if not np.isfinite(np.float32(step.reward)):
            raise ValueError(f'reward is not finite: {step.reward}')
        return {name: _fit(name, np.asarray(given[name]), stream) for name, stream in self._files.streams.items()}

    def _forget(self, row: int) -> None:
        """Drop the ring's oldest row, if the ring is full: it and the transition that it began are gone."""
        if self._valid[row]:
            self._valid[row] = False
            self._transitions -= 1
        if self._rows['sequence'][row]:
            self._rows['sequence'][row] = 0
            self._steps -= 1


def _fit(name: str, value: np.ndarray, stream: np.ndarray) -> np.ndarray:
    if value.shape != stream.shape[1:]:
        raise ValueError(f'{name} has shape {value.shape}, expected {stream.shape[1:]}')
    if stream.dtype == np.uint8:
        if value.dtype != np.uint8:
            raise ValueError(f'{name} is {value.dtype}, expected uint8')
        return np.ascontiguousarray(value)
    with np.errstate(over='ignore'):
        numbers = np.ascontiguousarray(value, dtype=stream.dtype)
    if not np.isfinite(numbers).all():
        raise ValueError(f'{name} is not finite: {value}')
    return numbers
