"""robomimic's HDF5: one file, a group `data/demo_N` for each episode."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hybrid_rl_ros.data.exchange.columns import require_known
from hybrid_rl_ros.data.exchange.dataset import Source
from hybrid_rl_ros.data.exchange.files import reading
from hybrid_rl_ros.data.exchange.foreign import ActedRows, Episode, ForeignDataset, as_arrivals
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.exchange.robomimic_write import EXTRAS, export
from hybrid_rl_ros.data.exchange.selection import select
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError

__all__ = ['export', 'open_source']

_BLOCK = 32  # images read at a time
_DEFAULT_RATE_HZ = 20.0  # robosuite's


def open_source(path: Path, specs: Specs | None, mapping: Mapping) -> Source:
    """Raises UserError."""
    if path.is_dir():
        raise UserError(f'{path}: is a folder, expected one HDF5 file')
    with reading(path):
        path.open('rb').close()
        if not h5py.is_hdf5(path):
            raise UserError(f'{path}: is not an HDF5 file')
    with reading(path), h5py.File(path, 'r') as file:
        demos = _demo_names(path, file, mapping.filter_key)
        first = _Demo(path, file, demos[0])
        own = Specs.model_validate_json(file[f'{EXTRAS}/specs'].asstr()[()]) if EXTRAS in file else None
        require_known(mapping.quaternions, first.vectors(), f'{path}: quaternion')
        if own and mapping.success is not None:
            raise UserError(f'mapping: success: {path} says itself how each episode ended')
        dataset = ForeignDataset(
            path=path,
            state_names=own.observation.state.names if own else first.state_names(mapping.quaternions),
            action_names=own.action.names if own else [f'action_{i}' for i in range(first.group['actions'].shape[1])],
            cameras=first.cameras(own),
            episodes=lambda: _episodes(path, demos, first.layout, own is not None, mapping),
            specs=own,
        )
    return select(dataset, specs, mapping)


def _demo_names(path: Path, file: h5py.File, filter_key: str | None) -> list[str]:
    if 'data' not in file:
        raise UserError(f"{path}: has no group 'data'; not a dataset of robomimic")
    names = [name for name in file['data'] if name.startswith('demo_')]
    if filter_key is not None:
        require_known([filter_key], list(file.get('mask', {})), f'{path}: filter key')
        chosen = [name.decode() for name in file[f'mask/{filter_key}'][()]]
        require_known(chosen, names, f'{path}: mask/{filter_key}')
        names = chosen
    if not names:
        raise UserError(f"{path}: has no demo in 'data'; not a dataset of robomimic")
    return sorted(names, key=lambda name: int(name.removeprefix('demo_')))


def _episodes(
    path: Path, demos: list[str], layout: dict[str, tuple[int, ...]], own: bool, mapping: Mapping
) -> Iterator[Episode]:
    stamp_ns = 0
    with reading(path), h5py.File(path, 'r') as file:
        for number, name in enumerate(demos):
            demo = _Demo(path, file, name)
            demo.require_layout(layout, demos[0])
            if own:
                yield demo.as_exported()
            else:
                episode = as_arrivals(demo.acted_rows(number, stamp_ns, _period_ns(file)), mapping.success)
                stamp_ns = int(episode.stamp_ns[-1])
                yield episode


def _period_ns(file: h5py.File) -> int:
    """Only the order of the stamps matters later; robosuite says how fast it was controlled."""
    try:
        rate = float(json.loads(file['data'].attrs['env_args'])['env_kwargs']['control_freq'])
    except (KeyError, TypeError, ValueError):
        rate = _DEFAULT_RATE_HZ
    return round(1e9 / rate) if rate > 0 else round(1e9 / _DEFAULT_RATE_HZ)


class _Demo:
    """One demo's group; `layout` is each observation's shape without the rows."""

    def __init__(self, path: Path, file: h5py.File, name: str) -> None:
        self.where = f'{path}: {name}'
        self.group = file['data'][name]
        for required in ('actions', 'obs'):
            if required not in self.group:
                raise UserError(f'{self.where}: has no {required!r}')
        if self.group['actions'].ndim != 2:
            raise UserError(f'{self.where}: actions has shape {self.group["actions"].shape}, expected rows of numbers')
        self._obs = self.group['obs']
        self.layout: dict[str, tuple[int, ...]] = {key: self._obs[key].shape[1:] for key in self._obs}

    def require_layout(self, layout: dict[str, tuple[int, ...]], first: str) -> None:
        """Raise UserError where this demo is not made like the first, or its parts are not equally long."""
        for key in sorted(self.layout.keys() ^ layout.keys()):
            raise UserError(f'{self.where}: obs {key!r} is {"missing" if key in layout else "new"}, unlike in {first}')
        for key, shape in self.layout.items():
            if shape != layout[key]:
                raise UserError(f'{self.where}: obs {key!r} has shape {shape}, {first} has {layout[key]}')
        rows = len(self.group['actions'])
        parts: dict[str, Any] = {f'obs/{key}': self._obs[key] for key in self.layout}
        parts |= {name: self.group[name] for name in ('rewards', 'dones') if name in self.group}
        for name, part in parts.items():
            if len(part) != rows:
                raise UserError(f'{self.where}: {name} has {len(part)} rows, actions has {rows}')
        if self.group.attrs.get('num_samples', rows) != rows:
            raise UserError(f'{self.where}: num_samples is {self.group.attrs["num_samples"]}, actions has {rows} rows')
        if not rows:
            raise UserError(f'{self.where}: has no rows')

    def cameras(self, own: Specs | None) -> dict[str, tuple[int, int]]:
        """Every uint8 image, key -> (height, width); a file has them sorted, a store in the order of its specs."""
        order = [f'{image.camera}_image' for image in own.observation.images] if own else list(self.layout)
        sizes = {key: (shape[0], shape[1]) for key, shape in self.layout.items() if self._is_image(key)}
        return {key: sizes[key] for key in order if key in sizes}

    def state_names(self, quaternions: dict[str, Any]) -> list[str]:
        """A name for each number: `key_0`, `key_1`, ..., or `key_x` ... `key_w` of a declared quaternion."""
        names = []
        for key in self.vectors():
            shape = self.layout[key]
            if key in quaternions and shape != (4,):
                raise UserError(f'{self.where}: obs {key!r} has shape {shape}, expected 4 numbers of a quaternion')
            suffixes = quaternions.get(key) or [str(i) for i in range(shape[0])] if shape else ['']
            names += [f'{key}_{suffix}' if suffix else key for suffix in suffixes]
        return names

    def vectors(self) -> list[str]:
        """Keys of numbers; what is neither these nor an image (depth, segmentation) is left out."""
        return [key for key, shape in self.layout.items() if len(shape) <= 1 and self._obs[key].dtype.kind in 'fiub']

    def acted_rows(self, number: int, after_ns: int, period_ns: int) -> ActedRows:
        following = self.group.get('next_obs')
        rows = len(self.group['actions'])
        return ActedRows(
            where=self.where,
            number=number,
            stamp_ns=after_ns + period_ns * np.arange(1, rows + 1, dtype=np.int64),
            state=self._state(self._obs),
            action=self.group['actions'][()],
            reward=self._flat('rewards'),
            ends=self._flat('dones'),
            frames=lambda cameras: _frames(self._obs, cameras, 0),
            last_state=None if following is None else self._state(following, rows - 1)[0],
            last_frames=None if following is None else lambda cameras: _frames(following, cameras, rows - 1),
        )

    def as_exported(self) -> Episode:
        if EXTRAS not in self.group:
            raise UserError(f'{self.where}: has no {EXTRAS!r}, which the other demos of hybrid_rl_ros have')
        extras = self.group[EXTRAS]
        rows = len(self.group['actions'])
        following = self.group['next_obs']
        action = extras['action'][()]
        return Episode(
            where=self.where,
            number=int(extras.attrs['episode']),
            state=np.concatenate([self._obs['state'][()], following['state'][rows - 1 :]]),
            frames=lambda cameras: _then(_frames(self._obs, cameras, 0), _frames(following, cameras, rows - 1)),
            action=action,
            acted=np.abs(action).max(axis=1, initial=0) > 0,
            **{name: extras[name][()] for name in ('stamp_ns', 'reward')},
            **{name: extras[name][()].astype(bool) for name in ('terminal', 'truncated', 'intervention')},
        )

    def _is_image(self, key: str) -> bool:
        shape = self.layout[key]
        return self._obs[key].dtype == np.uint8 and len(shape) == 3 and shape[2] == 3

    def _state(self, group: h5py.Group, start: int = 0) -> np.ndarray:
        parts = [np.asarray(group[key][start:], np.float64) for key in self.vectors()]
        rows = len(self.group['actions']) - start
        return np.concatenate([np.zeros((rows, 0)), *(part.reshape(rows, -1) for part in parts)], axis=1)

    def _flat(self, name: str) -> np.ndarray | None:
        return self.group[name][()].reshape(-1).astype(np.float32) if name in self.group else None


def _frames(group: h5py.Group, cameras: Sequence[str], start: int) -> Iterator[dict[str, np.ndarray]]:
    """Rows from `start` on, a block at a time: one by one, a compressed chunk would be unpacked once for each."""
    if not cameras:
        while True:
            yield {}
    with reading(Path(group.file.filename)):
        for begin in range(start, len(group[cameras[0]]), _BLOCK):
            blocks = {camera: group[camera][begin : begin + _BLOCK] for camera in cameras}
            for row in range(len(blocks[cameras[0]])):
                yield {camera: block[row] for camera, block in blocks.items()}


def _then(*parts: Iterator[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    for part in parts:
        yield from part
