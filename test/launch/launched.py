"""Launch files really run, as a user would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from graph_runs import processes_of
from resolving import FOLDER

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


def end(process: subprocess.Popen[str], run: Path) -> str:
    """What it said; nothing of it may be left."""
    output, _ = process.communicate(timeout=120)
    assert not processes_of(run)
    return output
