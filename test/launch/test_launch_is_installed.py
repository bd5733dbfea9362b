"""Says in the summary whether the launch files were tested at all."""

from __future__ import annotations

import pytest


def test_launch_is_installed(what_launch_lacks):
    if what_launch_lacks:
        names = ', '.join(what_launch_lacks)
        pytest.skip(f'the launch files are NOT tested: no {names}; source ROS 2, or put their branches on PYTHONPATH')
