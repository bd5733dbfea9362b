"""Every test session has its own ROS domain, on this machine only."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine_stalls import StallWatch, tell_apart
from nodes_of_failures import show_nodes

from hybrid_rl_ros.process_environment import discovery_setting, node_environment, profile_variables

discovery, here = discovery_setting()
os.environ[discovery] = here
# What the nodes have, for the nodes that tests make in their own process.
PROFILE = Path(__file__).parents[1] / 'config' / 'fastdds.xml'
for name in profile_variables():
    os.environ.pop(name, None)
    os.environ[name] = node_environment(PROFILE, 1)[name]
# One for each of the workers that run side by side (pytest -n), which have an id in common.
FIRST_DOMAIN = random.Random(os.environ.get('PYTEST_XDIST_TESTRUNUID')).randrange(59)
WORKER = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])
os.environ['ROS_DOMAIN_ID'] = str((FIRST_DOMAIN + WORKER) % 59 + 1)
os.environ.setdefault('OMP_NUM_THREADS', '1')
# A shell that starts this in the background has it ignored, and so would every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Compiling takes longer than a test's whole run; test_compiled_updates.py has what it is for.
os.environ['TORCHDYNAMO_DISABLE'] = '1'


@pytest.fixture(scope='session', autouse=True)
def no_shared_memory_of_dead_processes() -> None:
    """Fast DDS leaves its segments and ports behind when a process is killed, as tests do; a new one finds them."""
    used = set()
    for maps in Path('/proc').glob('[0-9]*/maps'):
        try:
            used |= {line.rpartition('/')[2] for line in maps.read_text().splitlines() if '/dev/shm/' in line}
        except OSError:
            continue
    for file in Path('/dev/shm').glob('*fast*_*'):
        try:
            # A minute, for those that are being made.
            if file.name.removesuffix('_el') not in used and time.time() - file.stat().st_mtime > 60.0:
                file.unlink()
        except OSError:
            continue


@pytest.fixture(scope='session')
def stall_watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StallWatch]:
    watch = StallWatch(tmp_path_factory.mktemp('stalls'))
    yield watch
    watch.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker('real_time'):
            # A list of its own: the other parameters of a test have the same one.
            item.fixturenames = ['stall_watch', *item.fixturenames]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    tell_apart(item, call)
    show_nodes(item, call)


@pytest.fixture(autouse=True)
def no_run_outlives_its_test() -> Iterator[None]:
    """A command that a failed test left behind, or its nodes, would speak on the domain of the tests after it."""
    yield
    left = _commands()
    for pid in left:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20.0
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = _commands()
    for pid in left + _orphans():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _commands() -> list[int]:
    """The `hybrid-rl` processes that this one started and that still run."""
    return [pid for pid in _running(b'hybrid_rl_ros.cli') if _parent(pid) == os.getpid()]


def _orphans() -> list[int]:
    """Nodes on this session's domain whose command is gone."""
    found = []
    for pid in _running(b'hybrid_rl_ros.nodes'):
        try:
            environment = dict(v.partition(b'=')[::2] for v in Path(f'/proc/{pid}/environ').read_bytes().split(b'\0'))
        except OSError:
            continue
        started_by = environment.get(b'HYBRID_RL_PARENT')
        same_domain = environment.get(b'ROS_DOMAIN_ID') == os.environ['ROS_DOMAIN_ID'].encode()
        if same_domain and started_by is not None and int(started_by) != _parent(pid):
            found.append(pid)
    return found


def _running(module: bytes) -> list[int]:
    found = []
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            found += [int(entry.name)] if module in (entry / 'cmdline').read_bytes() else []
        except OSError:
            continue
    return found


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])
    except OSError:
        return None
