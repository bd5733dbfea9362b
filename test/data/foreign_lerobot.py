"""LeRobotDatasets v3.0 as LeRobot documents them, made by pyarrow and av alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from exchange_data import smooth_image

FPS = 30
LENGTHS = (6, 5, 7)
NAMES = ['shoulder.pos', 'elbow.pos']
CAMERA = 'observation.images.top'
SIZE = (32, 40)  # height, width
# Which file each episode is in: two files of numbers in two chunks, two files of video.
DATA_FILES = ((0, 0), (0, 0), (1, 0))
VIDEO_FILES = ((0, 0), (0, 1), (0, 1))


def write_lerobot(root: Path, done: bool = True, reward: bool = True, images: bool = False, **info: Any) -> None:
    """Episodes 0 and 2 end with next.done, 1 does not. Joints in degrees; `images` are PNG in the parquet files."""
    places = []
    index = 0
    shown = {file: 0 for file in VIDEO_FILES}
    tables: dict[tuple[int, int], list[pa.Table]] = {}
    videos: dict[tuple[int, int], list[np.ndarray]] = {}
    for number, length in enumerate(LENGTHS):
        tables.setdefault(DATA_FILES[number], []).append(_table(number, index, done, reward, images))
        video = VIDEO_FILES[number]
        videos.setdefault(video, []).append(seen(number))
        place = {
            'episode_index': number,
            'tasks': ['put it there'],
            'length': length,
            'data/chunk_index': DATA_FILES[number][0],
            'data/file_index': DATA_FILES[number][1],
            'dataset_from_index': index,
            'dataset_to_index': index + length,
        }
        if not images:
            place |= {
                f'videos/{CAMERA}/chunk_index': video[0],
                f'videos/{CAMERA}/file_index': video[1],
                f'videos/{CAMERA}/from_timestamp': shown[video] / FPS,
                f'videos/{CAMERA}/to_timestamp': (shown[video] + length) / FPS,
            }
        places.append(place)
        shown[video] += length
        index += length
    for (chunk, file), parts in tables.items():
        # One row group for all: LeRobot's own converter does so.
        _write_table(root / f'data/chunk-{chunk:03d}/file-{file:03d}.parquet', pa.concat_tables(parts).combine_chunks())
    if not images:
        for (chunk, file), episodes in videos.items():
            write_video(root / f'videos/{CAMERA}/chunk-{chunk:03d}/file-{file:03d}.mp4', np.concatenate(episodes))
    _write_table(root / 'meta/episodes/chunk-000/file-000.parquet', pa.Table.from_pylist(places[:2]))
    _write_table(root / 'meta/episodes/chunk-000/file-001.parquet', pa.Table.from_pylist(places[2:]))
    _write_table(root / 'meta/tasks.parquet', pa.table({'task_index': [0], '__index_level_0__': ['put it there']}))
    (root / 'meta/info.json').write_text(json.dumps(_info(done, reward, images) | info))


def joints(number: int) -> np.ndarray:
    """(length, 2) degrees."""
    return np.random.default_rng(number).uniform(-90, 90, (LENGTHS[number], 2)).astype(np.float32)


def acted(number: int) -> np.ndarray:
    """(length, 2) degrees."""
    return np.random.default_rng(50 + number).uniform(-90, 90, (LENGTHS[number], 2)).astype(np.float32)


def seen(number: int) -> np.ndarray:
    """(length, H, W, 3) uint8."""
    return np.stack([smooth_image(*SIZE, number + 0.2 * row) for row in range(LENGTHS[number])])


def write_video(path: Path, frames: np.ndarray) -> None:
    """As LeRobot does but for the codec: half the colour resolution, a key frame every other frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=FPS, options={'g': '2', 'crf': '18'})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], 'yuv420p'
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode(None))


def _table(number: int, index: int, done: bool, reward: bool, images: bool) -> pa.Table:
    length = LENGTHS[number]
    success = np.zeros(length, bool)
    success[-1] = number != 1
    columns: dict[str, Any] = {
        'observation.state': pa.array(list(joints(number)), pa.list_(pa.float32())),
        'action': pa.array(list(acted(number)), pa.list_(pa.float32())),
        'timestamp': (np.arange(length) / FPS).astype(np.float32),
        'frame_index': np.arange(length),
        'episode_index': np.full(length, number),
        'index': np.arange(index, index + length),
        'task_index': np.zeros(length, np.int64),
    }
    if reward:
        columns['next.reward'] = success.astype(np.float32)
    if done:
        columns['next.done'] = success
    if images:
        columns[CAMERA] = [{'bytes': _png(image), 'path': f'{row}.png'} for row, image in enumerate(seen(number))]
    return pa.table(columns)


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _write_table(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _info(done: bool, reward: bool, images: bool) -> dict[str, Any]:
    numbers = {'dtype': 'float32', 'shape': [2], 'names': {'motors': NAMES}}
    features = {
        'observation.state': numbers,
        'action': numbers,
        CAMERA: {
            'dtype': 'image' if images else 'video',
            'shape': [3, *SIZE],
            'names': ['channels', 'height', 'width'],
        },
    }
    scalars = {'timestamp': 'float32', 'frame_index': 'int64', 'episode_index': 'int64', 'index': 'int64'}
    scalars |= {'task_index': 'int64'} | ({'next.reward': 'float32'} if reward else {})
    scalars |= {'next.done': 'bool'} if done else {}
    return {
        'codebase_version': 'v3.0',
        'robot_type': 'so101',
        'total_episodes': len(LENGTHS),
        'total_frames': sum(LENGTHS),
        'total_tasks': 1,
        'chunks_size': 1000,
        'fps': FPS,
        'splits': {'train': f'0:{len(LENGTHS)}'},
        'data_path': 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
        'video_path': None if images else 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4',
        'features': features | {key: {'dtype': dtype, 'shape': [1], 'names': None} for key, dtype in scalars.items()},
    }
