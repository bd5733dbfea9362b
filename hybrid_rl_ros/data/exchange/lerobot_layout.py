"""Where a LeRobotDataset v3.0 keeps what, and what hybrid_rl_ros adds to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

VERSION = 'v3.0'
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO_PATH = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
EPISODES_PATH = 'meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
INFO, STATS, TASKS = 'meta/info.json', 'meta/stats.json', 'meta/tasks.parquet'
FILES_PER_CHUNK = 1000

# Beside info.json, whose keys are LeRobot's: the specs of the store that was exported.
SPECS = 'meta/hybrid_rl.json'
# Columns that LeRobot has no name for; reward, terminal and truncated are those of the arrival at the frame.
EXTRA_COLUMNS = {
    'hybrid_rl.stamp_ns': 'int64',
    'hybrid_rl.episode': 'int64',
    'hybrid_rl.reward': 'float32',
    'hybrid_rl.terminal': 'bool',
    'hybrid_rl.truncated': 'bool',
    'hybrid_rl.intervention': 'bool',
    'hybrid_rl.final': 'bool',
}


def camera_key(camera: str) -> str:
    return f'observation.images.{camera}'


@dataclass(frozen=True)
class FileNumber:
    """The file after another is in the next chunk once a chunk is full."""

    chunk: int = 0
    file: int = 0

    def next(self) -> FileNumber:
        full = self.file + 1 == FILES_PER_CHUNK
        return FileNumber(self.chunk + 1, 0) if full else FileNumber(self.chunk, self.file + 1)

    def path(self, root: Path, template: str, video_key: str = '') -> Path:
        return root / template.format(chunk_index=self.chunk, file_index=self.file, video_key=video_key)
