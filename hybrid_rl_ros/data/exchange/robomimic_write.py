"""A store as robomimic's HDF5: transitions with normalised actions, and beside them what robomimic has no place for."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from hybrid_rl_ros.data.exchange.dataset import Progress
from hybrid_rl_ros.data.exchange.hdf5_target import Hdf5Target
from hybrid_rl_ros.data.exchange.segments import Segment, segments
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec

EXTRAS = 'hybrid_rl'
_BLOCK = 32  # images written at a time
# robomimic makes its environments by this; none of its kinds is a ROS graph, and training does not ask.
_ENV_ARGS = {'env_name': 'hybrid_rl_ros', 'type': 2, 'env_type': 2, 'env_kwargs': {}}


def export(store: ReplayStore, out: Path, on_progress: Progress) -> None:
    """Write every episode with a transition; one observation alone has no place in the format. Raises OSError."""
    with Hdf5Target(out) as target:
        with h5py.File(target, 'w') as file:
            _write(file, store, target, on_progress)
        target.require_written()


def _write(file: h5py.File, store: ReplayStore, target: Hdf5Target, on_progress: Progress) -> None:
    file.create_group(EXTRAS)['specs'] = store.specs.model_dump_json()
    data = file.create_group('data')
    data.attrs['env_args'] = json.dumps(_ENV_ARGS)
    done = total = 0
    for number, segment in enumerate(segment for segment in segments(store) if len(segment.rows) > 1):
        _write_demo(data.create_group(f'demo_{number}'), store, segment)
        target.require_written()
        done, total = done + len(segment.rows), total + len(segment.rows) - 1
        on_progress(done, store.steps)
    data.attrs['total'] = total


def _write_demo(demo: h5py.Group, store: ReplayStore, segment: Segment) -> None:
    before, after = segment.rows[:-1], segment.rows[1:]
    records, actions = store.records(segment.rows), store.actions(segment.rows)
    demo.attrs['num_samples'] = len(before)
    demo['actions'] = _normalised(store.specs.action, actions[:-1])
    demo['rewards'] = records['reward'][1:]
    # Not a time limit: who learns from `dones` would take it for the end of all reward.
    demo['dones'] = records['terminal'][1:].astype(np.int64)
    for name, rows in (('obs', before), ('next_obs', after)):
        group = demo.create_group(name)
        group['state'] = store.states(rows)
        _write_images(group, store, rows)
    extras = demo.create_group(EXTRAS)
    extras.attrs['episode'] = segment.number
    extras['action'] = actions
    for field in ('stamp_ns', 'reward', 'terminal', 'truncated', 'intervention'):
        extras[field] = records[field]


def _write_images(group: h5py.Group, store: ReplayStore, rows: np.ndarray) -> None:
    for image in store.specs.observation.images:
        group.create_dataset(
            f'{image.camera}_image',
            shape=(len(rows), *image.shape),
            dtype=np.uint8,
            chunks=(1, *image.shape),
            compression='gzip',
            compression_opts=1,
        )
    for start in range(0, len(rows), _BLOCK):
        for camera, frames in store.frames(rows[start : start + _BLOCK]).items():
            group[f'{camera}_image'][start : start + len(frames)] = frames


def _normalised(spec: ActionSpec, actions: np.ndarray) -> np.ndarray:
    """-1 to 1, as robomimic wants actions; a dimension without any width is 0."""
    width = spec.high - spec.low
    return np.where(width > 0, (actions - spec.low) / np.where(width > 0, width, 1) * 2 - 1, 0).astype(np.float32)
