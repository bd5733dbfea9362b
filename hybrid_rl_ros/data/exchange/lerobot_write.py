"""A store as a LeRobotDataset v3.0, every observation a frame, the last of an episode too, with a zero action."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_rl_ros.data.exchange.dataset import Progress
from hybrid_rl_ros.data.exchange.lerobot_files import DataFiles, VideoFiles
from hybrid_rl_ros.data.exchange.lerobot_layout import camera_key
from hybrid_rl_ros.data.exchange.lerobot_meta import features_of, write_meta
from hybrid_rl_ros.data.exchange.lerobot_stats import RunningStats
from hybrid_rl_ros.data.exchange.segments import Segment, segments
from hybrid_rl_ros.data.replay_store import ReplayStore

_BLOCK = 32  # images taken from the store at a time


def export(
    store: ReplayStore, out: Path, on_progress: Progress, data_file_mb: float = 100, video_file_mb: float = 200
) -> None:
    """Write the store into the folder `out`; a file that has its size is followed by another. Raises OSError."""
    rate = _rate_hz(store)
    task = store.folder.name.replace('_', ' ')
    features = features_of(store.specs, rate)
    stats = {key: RunningStats(is_image=feature['dtype'] == 'video') for key, feature in features.items()}
    episodes: list[dict[str, Any]] = []
    index = 0
    with ExitStack() as stack:
        data = stack.enter_context(DataFiles(out, features, data_file_mb))
        videos = {
            image.camera: stack.enter_context(VideoFiles(out, image, rate, video_file_mb))
            for image in store.specs.observation.images
        }
        for number, segment in enumerate(segments(store)):
            columns = _columns(store, segment, number, index, rate)
            episode = _episode(number, task, index, len(segment.rows)) | data.write(columns)
            for key, column in columns.items():
                stats[key].add(column)
            for video in videos.values():
                episode |= video.begin(len(segment.rows))
            for frames in _blocks(store, segment):
                for camera, images in frames.items():
                    videos[camera].write(images)
                    stats[camera_key(camera)].add(images)
            index += len(segment.rows)
            episodes.append(episode)
            on_progress(index, store.steps)
    write_meta(out, store.specs, features, rate, task, episodes, stats)


def _episode(number: int, task: str, index: int, length: int) -> dict[str, Any]:
    return {
        'episode_index': number,
        'tasks': [task],
        'length': length,
        'dataset_from_index': index,
        'dataset_to_index': index + length,
        'meta/episodes/chunk_index': 0,
        'meta/episodes/file_index': 0,
    }


def _rate_hz(store: ReplayStore) -> int:
    """LeRobot has one whole number for the whole dataset: that of the usual distance of two stamps."""
    gaps = [np.diff(store.stamps(segment.rows)) for segment in segments(store)]
    every = np.concatenate([np.zeros(0, np.int64), *gaps])
    return max(1, round(1e9 / float(np.median(every)))) if len(every) else 1


def _columns(store: ReplayStore, segment: Segment, number: int, index: int, rate: int) -> dict[str, np.ndarray]:
    """Each column's values; `next.*` of a frame are those of the arrival at the following one.

    `next.done` is a true end only: a time limit in it would be taken for the end of all reward. The frame arrived at
    by it is done as well, since nothing follows there either.
    """
    records, count = store.records(segment.rows), len(segment.rows)
    terminal, truncated = records['terminal'].astype(bool), records['truncated'].astype(bool)
    frames = np.arange(count)
    return {
        'observation.state': store.states(segment.rows),
        'action': store.actions(segment.rows),
        'next.reward': np.append(records['reward'][1:], np.float32(0)),
        'next.done': np.append(terminal[1:], terminal[-1]),
        'hybrid_rl.stamp_ns': records['stamp_ns'],
        'hybrid_rl.episode': np.full(count, segment.number),
        'hybrid_rl.reward': records['reward'],
        'hybrid_rl.terminal': terminal,
        'hybrid_rl.truncated': truncated,
        'hybrid_rl.intervention': records['intervention'].astype(bool),
        'hybrid_rl.final': terminal | truncated,
        'timestamp': (frames / rate).astype(np.float32),
        'frame_index': frames,
        'episode_index': np.full(count, number),
        'index': frames + index,
        'task_index': np.zeros(count, np.int64),
    }


def _blocks(store: ReplayStore, segment: Segment) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(segment.rows), _BLOCK):
        yield store.frames(segment.rows[start : start + _BLOCK])
