"""The environment that every node's process starts with. Plain data: no torch, no rclpy."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

FASTRTPS_PROFILE, FASTDDS_PROFILE = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
DISCOVERY_RANGE, LOCALHOST_ONLY = 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY'
STATIC_PEERS = 'ROS_STATIC_PEERS'
IRON_RCLPY, KILTED_RCLPY = 4, 9
FAST_DDS = 'rmw_fastrtps_cpp'


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


def _transport(profile: Path, users: dict[str, str], shared_memory: bool) -> dict[str, str]:
    """How far a node is heard and by which profile of Fast DDS, where the user's environment does not say it."""
    name, here = discovery_setting()
    discovery = users.get(name, here)
    local = discovery == here
    if name == LOCALHOST_ONLY:
        # Its rmw_fastrtps has shared memory of its own in any case.
        profile = profile.with_name('fastdds_localhost.xml') if local else profile
    elif not shared_memory:
        profile = profile.with_name('fastdds_udp_localhost.xml' if local else 'fastdds_udp.xml')
        if local and users.get('RMW_IMPLEMENTATION', FAST_DDS) == FAST_DDS and not {*profile_variables()} & {*users}:
            discovery = 'SYSTEM_DEFAULT'
    return {name: discovery, **{variable: users.get(variable, str(profile)) for variable in profile_variables()}}


def node_environment(fastdds_profile: Path, threads: int, shared_memory: bool = True) -> dict[str, str]:
    """This process's environment with the defaults that a node needs; what the user has set stays.

    `shared_memory`: whether images go through the node; see fastdds_udp.xml. A profile of our own that this process
    itself runs with is not taken for the user's.
    """
    own = [name for name in profile_variables() if Path(os.environ.get(name, '')).parent == fastdds_profile.parent]
    users = {name: value for name, value in os.environ.items() if name not in own}
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
        'RMW_IMPLEMENTATION': FAST_DDS,
        'PYTHONUNBUFFERED': '1',
    }
    package_root = str(Path(__file__).resolve().parents[1])
    search = os.environ.get('PYTHONPATH')
    return {
        **defaults,
        **users,
        **_transport(fastdds_profile, users, shared_memory),
        'HYBRID_RL_PARENT': str(os.getpid()),
        'PYTHONPATH': f'{package_root}:{search}' if search else package_root,
    }
