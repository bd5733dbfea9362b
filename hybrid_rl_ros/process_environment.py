"""The environment that every node's process starts with. Plain data: no torch, no rclpy."""

from __future__ import annotations

import os
from pathlib import Path


def node_environment(fastdds_profile: Path, threads: int) -> dict[str, str]:
    """This process's environment with the defaults that a node needs; what the user has set stays."""
    defaults = {
        # Spinning OpenMP threads made updates up to fifteen times slower on a loaded machine.
        'OMP_WAIT_POLICY': 'PASSIVE',
        'OMP_NUM_THREADS': str(threads),
        # glibc gives large tensors back and faults them in again at every step unless told otherwise.
        'MALLOC_MMAP_THRESHOLD_': str(2**30),
        'MALLOC_TRIM_THRESHOLD_': str(2**31 - 1),
        'MALLOC_TOP_PAD_': str(2**26),
        # Most frames of 640x480 are lost at Fast DDS's own segment size.
        # The second is the name from Fast DDS 3 (Kilted) on.
        'FASTRTPS_DEFAULT_PROFILES_FILE': str(fastdds_profile),
        'FASTDDS_DEFAULT_PROFILES_FILE': str(fastdds_profile),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp',
        'PYTHONUNBUFFERED': '1',
    }
    package_root = str(Path(__file__).resolve().parents[1])
    search = os.environ.get('PYTHONPATH')
    return {
        **defaults,
        **os.environ,
        'HYBRID_RL_PARENT': str(os.getpid()),
        'PYTHONPATH': f'{package_root}:{search}' if search else package_root,
    }
