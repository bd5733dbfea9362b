"""The parquet and mp4 files of a LeRobotDataset v3.0 being written: each followed by another when it has grown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_rl_ros.data.exchange.lerobot_layout import DATA_PATH, VIDEO_PATH, FileNumber, camera_key
from hybrid_rl_ros.data.exchange.video import VideoWriter
from hybrid_rl_ros.data.specs import ImageSpec

_MB = 2**20


class DataFiles:
    """The parquet files of the numbers, a row group for each episode."""

    def __init__(self, root: Path, features: dict[str, Any], file_mb: float) -> None:
        self._root, self._file_mb = root, file_mb
        self._schema = pa.schema([(key, _arrow_type(f)) for key, f in features.items() if f['dtype'] != 'video'])
        self._number = FileNumber()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> DataFiles:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, columns: dict[str, np.ndarray]) -> dict[str, int]:
        """Add one episode and return where it lies."""
        path = self._number.path(self._root, DATA_PATH)
        if self._writer is not None and path.stat().st_size >= self._file_mb * _MB:
            self._writer.close()
            self._writer, self._number = None, self._number.next()
            path = self._number.path(self._root, DATA_PATH)
        if self._writer is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, self._schema)
        arrays = [_arrow_array(columns[field.name], field.type) for field in self._schema]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        return {'data/chunk_index': self._number.chunk, 'data/file_index': self._number.file}


class VideoFiles:
    """One camera's mp4 files; an episode is never in two."""

    def __init__(self, root: Path, image: ImageSpec, rate: int, file_mb: float) -> None:
        self._root, self._image, self._rate, self._file_mb = root, image, rate, file_mb
        self._number = FileNumber()
        self._writer: VideoWriter | None = None

    def __enter__(self) -> VideoFiles:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._writer is not None:
            self._writer.finish() if kind is None else self._writer.close()

    def begin(self, frames: int) -> dict[str, float]:
        """Where the next episode lies, of `frames` images."""
        if self._writer is not None and self._writer.bytes >= self._file_mb * _MB:
            self._writer.finish()
            self._writer, self._number = None, self._number.next()
        if self._writer is None:
            path = self._number.path(self._root, VIDEO_PATH, camera_key(self._image.camera))
            self._writer = VideoWriter(path, self._rate, self._image.height, self._image.width)
        place = {
            'chunk_index': self._number.chunk,
            'file_index': self._number.file,
            'from_timestamp': self._writer.frames / self._rate,
            'to_timestamp': (self._writer.frames + frames) / self._rate,
        }
        return {f'videos/{camera_key(self._image.camera)}/{name}': value for name, value in place.items()}

    def write(self, images: np.ndarray) -> None:
        assert self._writer is not None
        for image in images:
            self._writer.write(image)


def _arrow_type(feature: dict[str, Any]) -> pa.DataType:
    value = {'float32': pa.float32(), 'int64': pa.int64(), 'bool': pa.bool_()}[feature['dtype']]
    size = feature['shape'][0]
    # LeRobot has a vector of one as a plain number, and of none as a list without a fixed length.
    return value if size == 1 else pa.list_(value, size or -1)


def _arrow_array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), kind.value_type), kind.list_size)
    if pa.types.is_list(kind):
        return pa.array([[] for _ in values], kind)
    return pa.array(values.reshape(-1), kind)
