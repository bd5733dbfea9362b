"""What meta/ of a LeRobotDataset v3.0 says about the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_rl_ros.data.exchange.lerobot_layout import (
    DATA_PATH,
    EPISODES_PATH,
    EXTRA_COLUMNS,
    FILES_PER_CHUNK,
    INFO,
    SPECS,
    STATS,
    TASKS,
    VERSION,
    VIDEO_PATH,
    FileNumber,
    camera_key,
)
from hybrid_rl_ros.data.exchange.lerobot_stats import RunningStats
from hybrid_rl_ros.data.exchange.video import PIXELS
from hybrid_rl_ros.data.specs import ImageSpec, Specs

_DEFAULT_COLUMNS = {
    'timestamp': 'float32',
    'frame_index': 'int64',
    'episode_index': 'int64',
    'index': 'int64',
    'task_index': 'int64',
}


def features_of(specs: Specs, rate: int) -> dict[str, Any]:
    state, action = specs.observation.state, specs.action
    features: dict[str, Any] = {
        'observation.state': {'dtype': 'float32', 'shape': [len(state)], 'names': state.names},
        'action': {'dtype': 'float32', 'shape': [len(action)], 'names': action.names},
    }
    features |= {camera_key(image.camera): _video_feature(image, rate) for image in specs.observation.images}
    scalars = {'next.reward': 'float32', 'next.done': 'bool', **EXTRA_COLUMNS, **_DEFAULT_COLUMNS}
    return features | {key: {'dtype': dtype, 'shape': [1], 'names': None} for key, dtype in scalars.items()}


def _video_feature(image: ImageSpec, rate: int) -> dict[str, Any]:
    info = {
        'video.height': image.height,
        'video.width': image.width,
        'video.codec': 'h264',
        'video.pix_fmt': PIXELS,
        'video.is_depth_map': False,
        'video.fps': rate,
        'video.channels': 3,
        'has_audio': False,
    }
    return {'dtype': 'video', 'shape': list(image.shape), 'names': ['height', 'width', 'channels'], 'info': info}


def write_meta(
    out: Path,
    specs: Specs,
    features: dict[str, Any],
    rate: int,
    task: str,
    episodes: list[dict[str, Any]],
    stats: dict[str, RunningStats],
) -> None:
    info = {
        'codebase_version': VERSION,
        'robot_type': None,
        'total_episodes': len(episodes),
        'total_frames': sum(episode['length'] for episode in episodes),
        'total_tasks': 1,
        'chunks_size': FILES_PER_CHUNK,
        'data_files_size_in_mb': 100,
        'video_files_size_in_mb': 200,
        'fps': rate,
        'splits': {'train': f'0:{len(episodes)}'},
        'data_path': DATA_PATH,
        'video_path': VIDEO_PATH if specs.observation.images else None,
        'features': features,
    }
    path = FileNumber().path(out, EPISODES_PATH)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(episodes), path)
    _write_json(out / INFO, info)
    _write_json(out / STATS, {key: figures.as_json() for key, figures in stats.items()})
    _write_json(out / SPECS, {'format': 1, 'specs': specs.model_dump(mode='json')})
    pq.write_table(_tasks(task), out / TASKS)


def _tasks(task: str) -> pa.Table:
    """LeRobot reads it with pandas, which takes from this note that `task` is the index."""
    columns = [
        {'name': 'task_index', 'field_name': 'task_index', 'pandas_type': 'int64', 'numpy_type': 'int64'},
        {'name': 'task', 'field_name': 'task', 'pandas_type': 'unicode', 'numpy_type': 'object'},
    ]
    note = {
        'index_columns': ['task'],
        'column_indexes': [],
        'columns': [column | {'metadata': None} for column in columns],
        'pandas_version': '2.0.0',
    }
    table = pa.table({'task_index': [0], 'task': [task]})
    return table.replace_schema_metadata({'pandas': json.dumps(note)})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=4))
