"""`hybrid-rl bench replay`: how fast batches of pixels come out of a replay store, measured in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hybrid_rl_ros.bench_result import write_result
from hybrid_rl_ros.errors import UserError

STEPS = 8000
FRAME_BYTES = 2 * 128 * 128 * 3  # of one step
PEER_COPIES = 2  # an observation, and it again as a next observation
OTHER_BYTES = 500e6


def bench_replay(as_json: bool, steps: int | None) -> None:
    """Raises UserError where it cannot be done here."""
    steps = steps or STEPS
    if importlib.util.find_spec('stable_baselines3') is None:
        raise UserError('bench replay: it is timed against Stable-Baselines3: pip install stable-baselines3')
    with tempfile.TemporaryDirectory(prefix='hybrid_rl_bench_') as folder:
        _require_room(Path(folder), steps)
        command = [sys.executable, '-m', 'hybrid_rl_ros.learning.bench_replay', folder, str(steps)]
        # Spinning threads would wait for those that another process keeps from running.
        environment = {'OMP_WAIT_POLICY': 'PASSIVE', **os.environ}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError(f'bench replay: the measuring process ended with status {done.returncode}; see above')
    write_result(json.loads(done.stdout), as_json)


def _require_room(folder: Path, steps: int) -> None:
    on_disk = steps * FRAME_BYTES + OTHER_BYTES
    if (free := shutil.disk_usage(folder).free) < on_disk:
        raise UserError(
            f'bench replay: {steps} steps take {on_disk / 1e9:.1f} GB in {folder.parent}, {free / 1e9:.1f} GB are free;'
            ' set TMPDIR, or name fewer with --steps'
        )
    # Both must lie in memory, ours as the system's cache of its files, or the disk would be timed.
    in_memory = steps * FRAME_BYTES * (1 + PEER_COPIES) + OTHER_BYTES
    if (free := _available_memory()) < in_memory:
        raise UserError(
            f'bench replay: {steps} steps take {in_memory / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free; '
            'name fewer with --steps'
        )


def _available_memory() -> int:
    lines = dict(line.split(':', 1) for line in Path('/proc/meminfo').read_text().splitlines())
    return int(lines['MemAvailable'].split()[0]) * 1024
