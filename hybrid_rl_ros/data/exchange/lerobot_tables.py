"""One episode's rows out of a parquet file of many, and what the columns hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hybrid_rl_ros.data.exchange.files import reading
from hybrid_rl_ros.data.exchange.lerobot_info import EpisodePlace
from hybrid_rl_ros.errors import UserError


class DataFile:
    """Reads the row groups that an episode lies in; `path` is the parquet file's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path):
            self._file = pq.ParquetFile(path)
            self._names = set(self._file.schema_arrow.names)
            groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.metadata.num_row_groups)]
            self._ends = np.cumsum([0, *groups])
            self._first = self._index(0) if self._ends[-1] else 0
        self._kept: tuple[tuple[int, ...], tuple[str, ...], pa.Table] | None = None

    def rows(self, place: EpisodePlace, where: str, columns: list[str]) -> pa.Table:
        """(N rows) of `columns`. Raises UserError if they are not there or belong to another episode."""
        columns = ['episode_index', *columns]
        missing = [column for column in columns if column not in self._names]
        if missing:
            raise UserError(f'{self.path}: has no column {missing[0]!r}, which info.json lists')
        start = place.first - self._first
        if start < 0 or start + place.length > self._ends[-1] or place.length < 1:
            raise UserError(
                f'{self.path}: holds rows {self._first} to {self._first + self._ends[-1] - 1}, expected {place.first} '
                f'to {place.first + place.length - 1} for {where}'
            )
        groups = np.flatnonzero((self._ends[1:] > start) & (self._ends[:-1] < start + place.length)).tolist()
        with reading(self.path):
            table = self._groups(groups, columns).slice(start - int(self._ends[groups[0]]), place.length)
        if not (table.column('episode_index').to_numpy() == place.number).all():
            raise UserError(f'{self.path}: rows from {place.first} on are not those of {where}')
        return table

    def _groups(self, groups: list[int], columns: list[str]) -> pa.Table:
        """Kept until others are asked for: a file of one row group is not read again for each of its episodes."""
        key = (tuple(groups), tuple(columns))
        if self._kept is None or self._kept[:2] != key:
            self._kept = (*key, self._file.read_row_groups(groups, columns=columns))
        return self._kept[2]

    def _index(self, group: int) -> int:
        return int(self._file.read_row_group(group, columns=['index']).column('index')[0].as_py())


def matrix(column: pa.ChunkedArray, width: int, where: str) -> np.ndarray:
    """(N, width) of a column of numbers or of lists of them. Raises UserError."""
    array = column.combine_chunks()
    if _is_list(array.type):
        if array.null_count:
            raise UserError(f'{where}: a row is empty')
        sizes = pc.unique(pc.list_value_length(array)).to_pylist()
        if sizes != [width]:
            raise UserError(f'{where}: has {sizes} numbers a row, info.json says {width}')
        array = array.flatten()
    if array.null_count or not _is_number(array.type):
        raise UserError(f'{where}: holds {array.type}{" with gaps" if array.null_count else ""}, expected numbers')
    values = array.to_numpy(zero_copy_only=False)
    return values.reshape(len(column), width)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def embedded_images(column: pa.ChunkedArray, where: str) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 of each row of a column of encoded images. Raises UserError."""
    for row, cell in enumerate(column):
        content: Any = cell.as_py()
        encoded = content.get('bytes') if isinstance(content, dict) else content
        if not isinstance(encoded, bytes):
            raise UserError(f'{where} row {row}: holds no encoded image')
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
        if image is None:
            raise UserError(f'{where} row {row}: the image cannot be decoded')
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
