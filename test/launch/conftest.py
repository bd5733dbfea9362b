"""`launch` and `launch_ros` come with a sourced ROS 2 or, in no wheel, of their branches on PYTHONPATH."""

from __future__ import annotations

import importlib.util
import os

import pytest

# Modules, because a folder of the name `launch` on the path passes for a package.
WANTED = ('launch.actions', 'launch_ros.actions', 'ament_index_python.packages', 'osrf_pycommon.process_utils')


def _missing() -> list[str]:
    absent = []
    for name in WANTED:
        try:
            found = importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            absent.append(name.partition('.')[0])
    return absent


MISSING = _missing()
collect_ignore = ['test_arguments.py', 'test_sim_launch.py', 'test_gazebo_launch.py'] if MISSING else []


@pytest.fixture
def what_launch_lacks() -> list[str]:
    return MISSING


@pytest.fixture(autouse=True, scope='session')
def a_prefix_for_launch() -> None:
    """launch_ros looks its plugins up in the index, which must name one folder at least."""
    os.environ.setdefault('AMENT_PREFIX_PATH', os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..')))
