"""A LeRobotDataset v3.0 opened for reading, made by any software."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_rl_ros.data.exchange.dataset import Source
from hybrid_rl_ros.data.exchange.files import reading
from hybrid_rl_ros.data.exchange.foreign import ActedRows, Episode, ForeignDataset, as_arrivals
from hybrid_rl_ros.data.exchange.lerobot_info import EpisodePlace, Info, episode_places, read_info, read_specs
from hybrid_rl_ros.data.exchange.lerobot_layout import EXTRA_COLUMNS
from hybrid_rl_ros.data.exchange.lerobot_tables import DataFile, embedded_images, matrix
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.exchange.selection import select
from hybrid_rl_ros.data.exchange.video import VideoReader
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError


def open_source(path: Path, specs: Specs | None, mapping: Mapping) -> Source:
    """Raises UserError."""
    if mapping.filter_key is not None:
        raise UserError('mapping: filter_key is of robomimic; a LeRobotDataset has none')
    info = read_info(path)
    own = all(column in info.features for column in EXTRA_COLUMNS)
    if own and mapping.success is not None:
        raise UserError(f'mapping: success: {path} says itself how each episode ended')
    dataset = ForeignDataset(
        path=path,
        state_names=info.state_names(mapping.quaternions),
        action_names=info.action_names,
        cameras=info.cameras,
        episodes=lambda: _episodes(info, episode_places(info), own, mapping),
        specs=read_specs(info) if own else None,
    )
    return select(dataset, specs, mapping)


def _episodes(info: Info, places: list[EpisodePlace], own: bool, mapping: Mapping) -> Iterator[Episode]:
    with reading(info.path), ExitStack() as stack:
        videos = _Videos(info)
        stack.callback(videos.close)
        data: DataFile | None = None
        stamp_ns = 0
        for place in places:
            file = info.data_file(place)
            if data is None or data.path != file:
                data = DataFile(file)
            where = f'{info.path}: episode {place.number}'
            read = partial(data.rows, place, where)
            frames = partial(_frames, info, videos, place, read, where)
            columns = _numbers(info, read, where)
            if own:
                yield _as_exported(where, columns, frames)
            else:
                rows = _acted_rows(info, place, columns, frames, stamp_ns, where)
                episode = as_arrivals(rows, mapping.success)
                stamp_ns = int(episode.stamp_ns[-1])
                yield episode


def _numbers(info: Info, read: Callable[[list[str]], Any], where: str) -> dict[str, np.ndarray]:
    """Every column of numbers that is used, each (N, D)."""
    scalars = [name for name in ('next.reward', 'next.done', 'next.success', *EXTRA_COLUMNS) if name in info.features]
    keys = [*info.state_keys, 'action', *scalars]
    table = read(keys)
    return {key: matrix(table.column(key), info.width(key), f'{where}: column {key!r}') for key in keys}


def _acted_rows(
    info: Info,
    place: EpisodePlace,
    columns: dict[str, np.ndarray],
    frames: Callable[[Sequence[str]], Iterator[dict[str, np.ndarray]]],
    after_ns: int,
    where: str,
) -> ActedRows:
    """`next.success`, where there is one, says more than `next.done`, which a time limit sets too."""
    ends = columns.get('next.success', columns.get('next.done'))
    reward = columns.get('next.reward')
    return ActedRows(
        where=where,
        number=place.number,
        stamp_ns=after_ns + np.round(1e9 / info.fps * np.arange(1, place.length + 1)).astype(np.int64),
        state=_state(info, columns),
        action=columns['action'],
        reward=None if reward is None else reward[:, 0],
        ends=None if ends is None else ends[:, 0] > 0.5,
        frames=frames,
    )


def _as_exported(
    where: str, columns: dict[str, np.ndarray], frames: Callable[[Sequence[str]], Iterator[dict[str, np.ndarray]]]
) -> Episode:
    extras = {name.removeprefix('hybrid_rl.'): columns[name][:, 0] for name in EXTRA_COLUMNS}
    return Episode(
        where=where,
        number=int(extras['episode'][0]),
        stamp_ns=extras['stamp_ns'],
        state=columns['observation.state'],
        action=columns['action'],
        acted=np.abs(columns['action']).max(axis=1, initial=0) > 0,
        reward=extras['reward'],
        terminal=extras['terminal'],
        truncated=extras['truncated'],
        intervention=extras['intervention'],
        frames=frames,
    )


def _state(info: Info, columns: dict[str, np.ndarray]) -> np.ndarray:
    rows = len(columns['action'])
    return np.concatenate([np.zeros((rows, 0), np.float32), *(columns[key] for key in info.state_keys)], axis=1)


class _Videos:
    """The file open for each camera: episodes come in the order of the files."""

    def __init__(self, info: Info) -> None:
        self._info = info
        self._open: dict[str, VideoReader] = {}

    def frames(self, key: str, place: EpisodePlace, where: str) -> Iterator[np.ndarray]:
        path = self._info.video_file(place, key)
        reader = self._open.get(key)
        if reader is None or reader.path != path:
            if reader is not None:
                reader.close()
            reader = self._open[key] = VideoReader(path, self._info.fps)
        return reader.frames(place.video_starts[key], place.length, where)

    def close(self) -> None:
        for reader in self._open.values():
            reader.close()


def _frames(
    info: Info,
    videos: _Videos,
    place: EpisodePlace,
    read: Callable[[list[str]], Any],
    where: str,
    cameras: Sequence[str],
) -> Iterator[dict[str, np.ndarray]]:
    """Each row's images (H, W, 3) of `cameras`."""
    streams: dict[str, Iterator[np.ndarray]] = {}
    for key in cameras:
        if info.features[key]['dtype'] == 'video':
            streams[key] = videos.frames(key, place, where)
        else:
            streams[key] = embedded_images(read([key]).column(key), f'{where}: column {key!r}')
    for row in range(place.length):
        images = {key: next(stream) for key, stream in streams.items()}
        for key, image in images.items():
            if image.shape != (*info.cameras[key], 3):
                raise UserError(
                    f'{where} row {row}: {key!r} has shape {image.shape}, info.json says {(*info.cameras[key], 3)}'
                )
        yield images
