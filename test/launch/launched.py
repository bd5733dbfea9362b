"""Launch files really run, as a user would run them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from resolving import FOLDER

from hybrid_rl_ros.bringup import node_status

STARTED: list[subprocess.Popen[str]] = []


def end_what_was_left() -> None:
    """A launch that a failed test left behind would speak on the domain of the tests after it."""
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.communicate()
    STARTED.clear()


def launch(name: str, environment: dict[str, str] | None = None, **arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name('launch_it.py')), str(FOLDER / f'{name}.launch.py')]
    command += [f'{key}:={value}' for key, value in arguments.items()]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**without_display(), **(environment or {})},
        start_new_session=True,
    )
    STARTED.append(process)
    return process


def without_display() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ('DISPLAY', 'WAYLAND_DISPLAY')}


def wait_for(condition: Callable[[], bool], within_s: float = 90.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, 'the condition did not come true in time'
        time.sleep(0.05)


def pids(run: Path, name: str = '') -> list[int]:
    found = []
    for entry in Path('/proc').iterdir():
        try:
            command = (entry / 'cmdline').read_bytes() if entry.name.isdigit() else b''
        except OSError:
            continue
        if f'hybrid_rl_ros.nodes.{name}'.encode() in command and str(run).encode() in command:
            found.append(int(entry.name))
    return found


def executed(run: Path) -> int:
    return node_status(run, 'safety_node').get('counters', {}).get('executed_policy', 0)


def end(process: subprocess.Popen[str], run: Path) -> str:
    """What it said; nothing of it may be left."""
    output, _ = process.communicate(timeout=120)
    assert not pids(run)
    return output
