"""A file for h5py to write to that a full disk does not crash."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Hdf5Target(io.RawIOBase):
    """The HDF5 library ends the process with a segmentation fault if closing a file cannot write what it still holds.

    So a write that the disk refuses seems to have worked, and `require_written` raises what was refused: call it now
    and then, and after h5py has closed the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, 'w+b', buffering=0)
        self._refused: OSError | None = None

    def __enter__(self) -> Hdf5Target:
        return self

    def close(self) -> None:
        self._file.close()
        super().close()

    def require_written(self) -> None:
        """Raises OSError."""
        if self._refused is not None:
            raise self._refused

    def write(self, data: Buffer) -> int:
        data, start, written = memoryview(data), self._file.tell(), 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError as error:
            self._refused = self._refused or error
            self._file.seek(start + len(data))
        return len(data)

    def readinto(self, buffer: Buffer) -> int:
        """What was refused reads as zeros."""
        buffer = memoryview(buffer)
        found = self._file.readinto(buffer) or 0
        buffer[found:] = bytes(len(buffer) - found)
        return len(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._refused = self._refused or error
            return self._file.tell()

    def flush(self) -> None:
        """Nothing is held back here."""
