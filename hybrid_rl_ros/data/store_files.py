"""The files of a replay store: a row is written whole or it does not exist.

`specs.json` says what the store holds; each stream (`state.bin`, `action.bin`, `image_<camera>.bin` ...) is a ring of
`capacity` rows, and `rows.bin` has the record that makes a row exist. A row is written in three moves: its old record
is erased, its payload written, its new record written. Killed between any two of them, the row is empty, and never
the old record beside new frames. Writes go through pwrite (a full disk is an OSError, not a SIGBUS), reads through
memory maps of the same pages.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from hybrid_rl_ros.data.specs import Specs
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
        ('first', 'u1'),  # of its episode; 0 throughout in the oldest stores
        ('crc', '<u4'),  # of the fields above, the state and the action
        ('padding', '<u4'),
    ]
)
_CHECKED_BYTES = ROW.fields['crc'][1]  # type: ignore[index]
_CHECK_CHUNK = 4096  # rows checked at a time: bounds the memory that opening takes


class StoreFiles:
    """An open store folder: `streams[name]` is (capacity, ...), read-only and always what the files hold now."""

    def __init__(self, folder: Path, specs: Specs, capacity: int, rows_fd: int, read_only: bool) -> None:
        self.folder, self.specs, self.capacity = folder, specs, capacity
        self._descriptors = {'rows': rows_fd}
        self._read_only = read_only
        self.damaged_rows = 0
        try:
            self._rows = self._map('rows', ROW, ())
            layout = _layout(specs)
            for name in layout:
                self._descriptors[name] = _open_file(folder, name, os.O_RDONLY if read_only else os.O_RDWR)
            self.streams = {name: self._map(name, dtype, shape) for name, (dtype, shape) in layout.items()}
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, folder: Path, specs: Specs, capacity: int) -> StoreFiles:
        """Empty files for `capacity` rows, open for writing. Raises UserError if the folder already holds a store."""
        if capacity < 2:
            raise ValueError(f'capacity is {capacity}; a transition takes two rows')
        _refuse_existing(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f'{folder}: the replay store cannot be made here: {error.strerror}') from None
        rows_fd = _open_file(folder, 'rows', os.O_RDWR | os.O_CREAT)
        try:
            _lock(folder, rows_fd)
            _refuse_existing(folder)  # made by another process since the first look
            _make_sparse(rows_fd, ROW.itemsize * capacity)
            for name, (dtype, shape) in _layout(specs).items():
                descriptor = _open_file(folder, name, os.O_RDWR | os.O_CREAT)
                try:
                    _make_sparse(descriptor, _file_bytes(dtype, shape, capacity))
                finally:
                    os.close(descriptor)
            _write_head(folder, specs, capacity)
        except OSError as error:
            os.close(rows_fd)
            raise UserError(f'{folder}: the replay store cannot be made here: {error.strerror}') from None
        except BaseException:
            os.close(rows_fd)
            raise
        return cls(folder, specs, capacity, rows_fd, read_only=False)

    @classmethod
    def open(cls, folder: Path, read_only: bool) -> StoreFiles:
        """The files of an existing store; locked against a second writer. Raises UserError."""
        specs, capacity = _read_head(folder)
        rows_fd = _open_file(folder, 'rows', os.O_RDONLY if read_only else os.O_RDWR)
        if not read_only:
            try:
                _lock(folder, rows_fd)
            except BaseException:
                os.close(rows_fd)
                raise
        return cls(folder, specs, capacity, rows_fd, read_only)

    def read_records(self) -> np.ndarray:
        """(capacity,) of ROW: every whole row's record in its place, zeros elsewhere; counts `damaged_rows`."""
        records = np.array(self._rows)
        written = np.flatnonzero(records['sequence'])
        in_place = (records['sequence'][written] - 1) % np.uint64(self.capacity) == written.astype(np.uint64)
        whole = np.zeros(self.capacity, bool)
        rows = written[in_place]
        for start in range(0, len(rows), _CHECK_CHUNK):
            chunk = rows[start : start + _CHECK_CHUNK]
            expected = _checksums(records[chunk], self.streams['state'][chunk], self.streams['action'][chunk])
            whole[chunk] = records['crc'][chunk] == expected
        records[~whole] = np.zeros((), ROW)
        self.damaged_rows = len(written) - int(whole.sum())
        return records

    def read(self, name: str, rows: np.ndarray) -> np.ndarray:
        """(B, ...) of one stream by plain reads, where the mapped `streams` would keep every page touched resident.

        Raises UserError.
        """
        stream = self.streams[name]
        values = np.empty((len(rows), *stream.shape[1:]), stream.dtype)
        for value, row in zip(values, rows.tolist()):
            if os.preadv(self._descriptors[name], [value.data], row * value.nbytes) < value.nbytes:
                raise UserError(f'{_path(self.folder, name)}: ends before row {row}; the store is damaged')
        return values

    def write(self, row: int, record: np.ndarray, payload: Mapping[str, np.ndarray]) -> None:
        """Put one row: `record` (1,) of ROW without its crc, which is filled in here. Raises UserError."""
        self._require_writer()
        record['crc'] = _checksums(record, payload['state'][None], payload['action'][None])
        try:
            if self._rows['sequence'][row]:
                self._erase(row)
            for name, array in payload.items():
                _write_all(self._descriptors[name], array, row * array.nbytes)
            _write_all(self._descriptors['rows'], record, row * ROW.itemsize)
        except OSError as error:
            raise UserError(f'{self.folder}: a step could not be written: {error.strerror}') from None

    def erase(self, rows: Iterable[int], durably: bool = True) -> None:
        """Make rows empty, in the order given; `durably` has that on the disk itself. Raises UserError."""
        self._require_writer()
        try:
            for row in rows:
                self._erase(row)
            if durably:
                os.fsync(self._descriptors['rows'])
        except OSError as error:
            raise UserError(f'{self.folder}: steps could not be erased: {error.strerror}') from None

    def sync(self) -> None:
        """Have everything on the disk itself. Raises UserError."""
        try:
            for descriptor in self._descriptors.values():
                os.fsync(descriptor)
        except OSError as error:
            raise UserError(f'{self.folder}: the disk did not take the steps: {error.strerror}') from None

    def close(self) -> None:
        descriptors, self._descriptors = self._descriptors, {}
        for descriptor in descriptors.values():
            os.close(descriptor)

    def _erase(self, row: int) -> None:
        _write_all(self._descriptors['rows'], np.zeros(1, ROW), row * ROW.itemsize)

    def _map(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        path = _path(self.folder, name)
        found, expected = os.fstat(self._descriptors[name]).st_size, _file_bytes(dtype, shape, self.capacity)
        if found != expected:
            raise UserError(f'{path}: {found} bytes, expected {expected}; the store is damaged or only partly copied')
        return np.asarray(np.memmap(path, dtype, 'r', shape=(self.capacity, *shape)))

    def _require_writer(self) -> None:
        if not self._descriptors:
            raise ValueError(f'{self.folder}: the replay store is closed')
        if self._read_only:
            raise ValueError(f'{self.folder}: the replay store was opened for reading only')


def _layout(specs: Specs) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Each stream's element type and the shape of one row."""
    numbers = np.dtype('<f4')
    layout: dict[str, tuple[np.dtype, tuple[int, ...]]] = {
        'state': (numbers, (len(specs.observation.state),)),
        'action': (numbers, (len(specs.action),)),
    }
    if specs.noise_steps:
        layout['noise'] = (numbers, (specs.noise_steps, len(specs.action)))
    return layout | {f'image_{image.camera}': (np.dtype('u1'), image.shape) for image in specs.observation.images}


def _file_bytes(dtype: np.dtype, shape: tuple[int, ...], capacity: int) -> int:
    # A stream without any number still has a file: an empty one cannot be mapped.
    return max(1, dtype.itemsize * int(np.prod(shape))) * capacity


def _path(folder: Path, name: str) -> Path:
    return folder / f'{name}.bin'


def _open_file(folder: Path, name: str, flags: int) -> int:
    path = _path(folder, name)
    try:
        return os.open(path, flags, 0o644)
    except OSError as error:
        raise UserError(f'{path}: cannot be opened: {error.strerror}') from None


def _lock(folder: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f'{folder}: another process is writing to this replay store') from None


def _refuse_existing(folder: Path) -> None:
    if (folder / 'specs.json').exists():
        raise UserError(f'{folder}: already holds a replay store; name another folder, or remove it')


def _make_sparse(descriptor: int, size: int) -> None:
    os.ftruncate(descriptor, 0)
    os.ftruncate(descriptor, size)


def _write_head(folder: Path, specs: Specs, capacity: int) -> None:
    """`specs.json` comes last and at once: without it the folder is no store yet."""
    temporary = folder / 'specs.tmp'
    with open(temporary, 'w') as file:
        json.dump({'format': FORMAT, 'capacity': capacity, 'specs': specs.model_dump(mode='json')}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / 'specs.json')


def _read_head(folder: Path) -> tuple[Specs, int]:
    path = folder / 'specs.json'
    try:
        head = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f'{folder}: no replay store here (no specs.json)') from None
    except (OSError, ValueError) as error:
        raise UserError(f'{path}: cannot be read: {error}') from None
    if not isinstance(head, dict) or 'format' not in head:
        raise UserError(f'{folder}: no replay store here (specs.json is not of a store; a run has its own in replay/)')
    found = head['format']
    if found != FORMAT:
        mend = '; a newer version of hybrid_rl_ros wrote it' if isinstance(found, int) and found > FORMAT else ''
        raise UserError(f'{folder}: replay store of format {found}, expected {FORMAT}{mend}')
    capacity = head.get('capacity')
    if not isinstance(capacity, int) or capacity < 2:
        raise UserError(f'{path}: capacity is {capacity!r}, expected a whole number of rows')
    try:
        return Specs.model_validate(head.get('specs')), capacity
    except ValidationError as error:
        first = error.errors()[0]
        key = '.'.join(['specs', *map(str, first['loc'])])
        raise UserError(f'{path}: {key}: {first["msg"]}') from None


def _checksums(records: np.ndarray, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """(B,) crc32 over each record's checked fields, its state and its action."""
    heads = _as_bytes(records).reshape(-1, ROW.itemsize)[:, :_CHECKED_BYTES]
    rows = np.concatenate([heads, _as_bytes(states), _as_bytes(actions)], axis=1)
    view, size = rows.reshape(-1).data, rows.shape[1]
    return np.fromiter((zlib.crc32(view[at : at + size]) for at in range(0, len(view), size)), np.uint32, len(rows))


def _as_bytes(numbers: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(numbers).view(np.uint8)


def _write_all(descriptor: int, array: np.ndarray, offset: int) -> None:
    data = array.view(np.uint8).reshape(-1).data
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)
