"""LeRobotDataset v3.0: parquet for the numbers, mp4 for the images, many episodes in a file."""

from __future__ import annotations

from hybrid_rl_ros.data.exchange.lerobot_read import open_source
from hybrid_rl_ros.data.exchange.lerobot_write import export

__all__ = ['export', 'open_source']
