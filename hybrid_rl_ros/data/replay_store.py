"""Steps on disk: frames once as uint8, memory-mapped, and never half a step.

A store is a folder: `specs.json`, one ring file of `capacity` rows for each stream (`state.bin`, `action.bin`,
`image_<camera>.bin`) and `rows.bin`, the record that makes a row exist. A row's payload is written first and its
record last, so a process killed at any instant loses at most the row it was writing. Writes go through pwrite (a
full disk is an OSError, not a SIGBUS), reads through memory maps of the same pages.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError

FORMAT = 1
ROW = np.dtype(
    [
        ('sequence', '<u8'),  # 1 + the step's number; 0 is an empty row
        ('stamp_ns', '<i8'),
        ('episode', '<i8'),
        ('reward', '<f4'),
        ('terminal', 'u1'),
        ('truncated', 'u1'),
        ('intervention', 'u1'),
        ('reserved', 'u1'),
        ('crc', '<u4'),  # of the fields above, the state and the action
        ('padding', '<u4'),
    ]
)
_CHECKED_BYTES = ROW.fields['crc'][1]  # type: ignore[index]


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
    """One episode held in the store; `steps` counts observations, `transitions` executed actions."""

    episode: int
    first_sequence: int
    steps: int
    return_: float
    terminal: bool
    truncated: bool
    interventions: int

    @property
    def transitions(self) -> int:
        return self.steps - 1


class ReplayStore:
    """Demonstrations or experience. One writer and any number of readers; see the module's text for the files.

    A transition is a pair of rows with consecutive sequence numbers in one episode: never across a gap, an episode's
    end, a restart, or the front of the ring.
    """

    def __init__(self, folder: Path, specs: Specs, capacity: int, read_only: bool) -> None:
        self.folder, self.specs, self.capacity, self.read_only = folder, specs, capacity, read_only
        self._streams: dict[str, tuple[int, np.memmap]] = {}
        self._descriptors: list[int] = []
        self._rows_fd = self._open_file('rows.bin')
        if not read_only:
            try:
                fcntl.flock(self._rows_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise UserError(f'{folder}: another process is writing to this replay store') from None
        self._rows_map = np.memmap(folder / 'rows.bin', ROW, 'r', shape=(capacity,))
        self._add_stream('state', (len(specs.observation.state),), np.dtype('<f4'))
        self._add_stream('action', (len(specs.action),), np.dtype('<f4'))
        for image in specs.observation.images:
            self._add_stream(f'image_{image.camera}', image.shape, np.dtype('u1'))
        self.refresh()

    @classmethod
    def create(cls, folder: str | Path, specs: Specs, capacity: int) -> ReplayStore:
        """A new, empty store. Raises UserError if the folder already holds one."""
        folder = Path(folder)
        if (folder / 'specs.json').exists():
            raise UserError(f'{folder}: already holds a replay store; name another folder, or remove it')
        folder.mkdir(parents=True, exist_ok=True)
        row_bytes = {'rows': ROW.itemsize, 'state': 4 * len(specs.observation.state), 'action': 4 * len(specs.action)}
        row_bytes |= {f'image_{image.camera}': int(np.prod(image.shape)) for image in specs.observation.images}
        for name, size in row_bytes.items():
            with open(folder / f'{name}.bin', 'wb') as file:
                file.truncate(max(1, size) * capacity)  # sparse: disk is used as rows are written
        head = {'format': FORMAT, 'capacity': capacity, 'specs': specs.model_dump(mode='json')}
        temporary = folder / 'specs.tmp'
        temporary.write_text(json.dumps(head, indent=1))
        os.replace(temporary, folder / 'specs.json')
        return cls(folder, specs, capacity, read_only=False)

    @classmethod
    def open(cls, folder: str | Path, read_only: bool = False) -> ReplayStore:
        """An existing store, its index rebuilt from the rows. Raises UserError."""
        folder = Path(folder)
        try:
            head = json.loads((folder / 'specs.json').read_text())
        except FileNotFoundError:
            raise UserError(f'{folder}: no replay store here (no specs.json)') from None
        except (json.JSONDecodeError, OSError) as error:
            raise UserError(f'{folder}/specs.json: cannot be read: {error}') from None
        if head.get('format') != FORMAT:
            raise UserError(f'{folder}: replay store of format {head.get("format")}, expected {FORMAT}')
        return cls(folder, Specs.model_validate(head['specs']), head['capacity'], read_only)

    def __enter__(self) -> ReplayStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def flush(self) -> None:
        """Have everything on the disk itself, safe against a power cut."""
        for descriptor in self._descriptors:
            os.fsync(descriptor)

    def refresh(self) -> None:
        """Rebuild the index from rows.bin: at opening, and for a reader to see what was written since."""
        self._rows = np.array(self._rows_map)
        # A row belongs where its sequence number puts it, and its record must be whole.
        written = np.flatnonzero(self._rows['sequence'])
        self._rows['sequence'][written[(self._rows['sequence'][written] - 1) % self.capacity != written]] = 0
        self._sequence = int(self._rows['sequence'].max(initial=0))
        if self._sequence and not self._is_whole(self.row_of(self._sequence - 1)):
            self._rows['sequence'][self.row_of(self._sequence - 1)] = 0
            self._sequence -= 1
        oldest = max(0, self._sequence - self.capacity) + 1
        self._rows['sequence'][self._rows['sequence'] < oldest] = 0
        following = np.roll(self._rows, -1)
        self._valid = (
            (self._rows['sequence'] > 0)
            & (following['sequence'] == self._rows['sequence'] + 1)
            & (following['episode'] == self._rows['episode'])
            & ~(self._rows['terminal'] | self._rows['truncated']).astype(bool)
        )
        self.transitions = int(self._valid.sum())
        held = self._rows['sequence'] > 0
        self.steps = int(held.sum())
        self.last_episode = int(self._rows['episode'][held].max()) if self.steps else -1

    @property
    def sequence(self) -> int:
        """How many steps were ever written; the next step gets this number."""
        return self._sequence

    @property
    def bytes_per_step(self) -> int:
        return ROW.itemsize + sum(stream.nbytes // self.capacity for _, stream in self._streams.values())

    def append(self, step: Step) -> int:
        """Write one step and return its row.

        Raises ValueError for a step that does not fit the specs, UserError when the disk does not take it.
        """
        row = self.row_of(self._sequence)
        previous = self.row_of(self._sequence - 1) if self._sequence else None
        same_episode = previous is not None and int(self._rows['episode'][previous]) == step.episode
        if previous is not None and same_episode and step.stamp_ns <= int(self._rows['stamp_ns'][previous]):
            raise ValueError(f'stamp {step.stamp_ns} does not follow {int(self._rows["stamp_ns"][previous])}')
        payload = {'state': step.observation.state, 'action': step.action}
        payload |= {f'image_{camera}': image for camera, image in step.observation.images.items()}
        arrays = {name: self._fit(name, value) for name, value in payload.items()}
        missing = self._streams.keys() - arrays.keys()
        if missing:
            raise ValueError(f'the step lacks {sorted(missing)}')
        if self._rows['sequence'][row]:
            self._forget(row)
        record = np.zeros(1, ROW)
        record['sequence'] = self._sequence + 1
        record['stamp_ns'], record['episode'], record['reward'] = step.stamp_ns, step.episode, step.reward
        record['terminal'], record['truncated'] = step.terminal, step.truncated
        record['intervention'] = step.intervention
        record['crc'] = _checksum(record, arrays['state'], arrays['action'])
        try:
            for name, array in arrays.items():
                descriptor, _ = self._streams[name]
                _write_all(descriptor, array.tobytes(), row * array.nbytes)
            _write_all(self._rows_fd, record.tobytes(), row * ROW.itemsize)
        except OSError as error:
            raise UserError(f'{self.folder}: a step could not be written: {error.strerror}') from None
        self._rows[row] = record[0]
        self._sequence += 1
        self.steps += 1
        self.last_episode = max(self.last_episode, step.episode)
        if previous is not None and same_episode and self._sequence > 1:
            before = self._rows[previous]
            if before['sequence'] == self._sequence - 1 and not (before['terminal'] or before['truncated']):
                self._valid[previous] = True
                self.transitions += 1
        return row

    def truncate(self, sequence: int) -> None:
        """Forget every step from number `sequence` on (a discarded episode)."""
        for number in range(self._sequence - 1, sequence - 1, -1):
            row = self.row_of(number)
            if self._rows['sequence'][row] == number + 1:
                _write_all(self._rows_fd, bytes(ROW.itemsize), row * ROW.itemsize)
        os.fsync(self._rows_fd)
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

    def states(self, rows: np.ndarray) -> np.ndarray:
        return self._streams['state'][1][rows]

    def actions(self, rows: np.ndarray) -> np.ndarray:
        return self._streams['action'][1][rows]

    def rewards(self, rows: np.ndarray) -> np.ndarray:
        """(B,) float32: what the transition from each row earned."""
        return self._rows['reward'][self.next_rows(rows)]

    def masks(self, rows: np.ndarray) -> np.ndarray:
        """(B,) float32: 0 where the transition from each row ends in a terminal state; a time limit keeps 1."""
        return 1.0 - self._rows['terminal'][self.next_rows(rows)].astype(np.float32)

    def frames(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        cameras = [image.camera for image in self.specs.observation.images]
        return {camera: self._streams[f'image_{camera}'][1][rows] for camera in cameras}

    def sequences(self, rows: np.ndarray) -> np.ndarray:
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

    def _open_file(self, name: str) -> int:
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY if self.read_only else os.O_RDWR)
        except OSError as error:
            self.close()
            raise UserError(f'{self.folder / name}: {error.strerror}') from None
        self._descriptors.append(descriptor)
        return descriptor

    def _add_stream(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        stream = np.memmap(self.folder / f'{name}.bin', dtype, 'r', shape=(self.capacity, *shape))
        self._streams[name] = (self._open_file(f'{name}.bin'), stream)

    def _fit(self, name: str, value: np.ndarray) -> np.ndarray:
        if name not in self._streams:
            raise ValueError(f'{name} is not in the specs of {self.folder}')
        stream = self._streams[name][1]
        if value.shape != stream.shape[1:]:
            raise ValueError(f'{name} has shape {value.shape}, expected {stream.shape[1:]}')
        if stream.dtype == np.uint8:
            if value.dtype != np.uint8:
                raise ValueError(f'{name} is {value.dtype}, expected uint8')
        elif not np.isfinite(value).all():
            raise ValueError(f'{name} is not finite: {value}')
        return np.ascontiguousarray(value, dtype=stream.dtype)

    def _forget(self, row: int) -> None:
        """Drop the ring's oldest row: it and the transition that it began are gone."""
        if self._valid[row]:
            self._valid[row] = False
            self.transitions -= 1
        self._rows['sequence'][row] = 0
        self.steps -= 1

    def _is_whole(self, row: int) -> bool:
        state, action = self._streams['state'][1][row], self._streams['action'][1][row]
        return _checksum(self._rows[row : row + 1], state, action) == self._rows['crc'][row]


def _checksum(record: np.ndarray, state: np.ndarray, action: np.ndarray) -> int:
    checked = record.tobytes()[:_CHECKED_BYTES]
    return zlib.crc32(action.tobytes(), zlib.crc32(state.tobytes(), zlib.crc32(checked)))


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)
