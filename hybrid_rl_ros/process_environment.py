"""The environment that every node's process starts with. Plain data: no torch, no rclpy."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

FASTRTPS_PROFILE, FASTDDS_PROFILE = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
DISCOVERY_RANGE, LOCALHOST_ONLY = 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY'
IRON_RCLPY, KILTED_RCLPY = 4, 9


def profile_variables() -> tuple[str, ...]:
    """What names Fast DDS's profile: from Fast DDS 3 (Kilted) on the other one, and every node warns of the old one."""
    major = _rclpy_major()
    if major is None:
        return FASTRTPS_PROFILE, FASTDDS_PROFILE
    return (FASTDDS_PROFILE,) if major >= KILTED_RCLPY else (FASTRTPS_PROFILE,)


def discovery_setting() -> tuple[str, str]:
    """The variable and the value that keep discovery on this machine: Humble has neither a range nor static peers."""
    major = _rclpy_major()
    return (LOCALHOST_ONLY, '1') if major is not None and major < IRON_RCLPY else (DISCOVERY_RANGE, 'LOCALHOST')


def _rclpy_major() -> int | None:
    try:
        return int(metadata.version('rclpy').partition('.')[0])
    except (metadata.PackageNotFoundError, ValueError):
        return None


def node_environment(fastdds_profile: Path, threads: int) -> dict[str, str]:
    """This process's environment with the defaults that a node needs; what the user has set stays."""
    discovery, here = discovery_setting()
    if discovery == LOCALHOST_ONLY and os.environ.get(LOCALHOST_ONLY, here) == here:
        fastdds_profile = fastdds_profile.with_name('fastdds_localhost.xml')
    defaults = {
        # Spinning OpenMP threads made updates up to fifteen times slower on a loaded machine.
        'OMP_WAIT_POLICY': 'PASSIVE',
        # Some tens of microseconds they may: to sleep and be woken between two short loops took a fifth of an update's
        # time of two threads on idle cores. On busy ones it costs a tenth; one thread, the default, waits for nobody.
        'GOMP_SPINCOUNT': '700',
        'OMP_NUM_THREADS': str(threads),
        # glibc gives large tensors back and faults them in again at every step unless told otherwise.
        'MALLOC_MMAP_THRESHOLD_': str(2**30),
        'MALLOC_TRIM_THRESHOLD_': str(2**31 - 1),
        'MALLOC_TOP_PAD_': str(2**26),
        # Most frames of 640x480 are lost at Fast DDS's own segment size.
        **dict.fromkeys(profile_variables(), str(fastdds_profile)),
        discovery: here,
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
