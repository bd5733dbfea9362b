"""One side of `hybrid-rl bench learner`, in a process of its own: `serve.py MODULE:FUNCTION CASE`.

It runs by its path under a peer's interpreter, so nothing here or in the peers' files imports hybrid_rl_ros.
FUNCTION(case) sets the side up and returns what does a number of updates. Then lines of JSON on stdin and stdout:

    > {"ready": {"torch": "2.13.0"}}          versions, when it is set up
    < {"updates": 40}
    > {"wall_s": 0.51, "cpu_s": 0.98, "resident_mb": 310.2}
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TypedDict

PR_SET_PDEATHSIG = 1


class Case(TypedDict):
    """What both sides are measured on. `updates` are the critics'; an actor's comes with every `utd` of them."""

    observation: str  # 'state', 'frozen' encoder, 'trained' encoder; the last two with `cameras` of `size`
    precision: str  # 'fp32' or 'bf16', ours alone
    critics: int
    utd: int
    batch: int
    hidden: list[int]
    layer_norm: bool  # in the critics
    states: int
    actions: int
    cameras: list[str]
    size: int
    steps: int
    sparse: bool  # the stored frames are holes in a file
    threads: int
    cores: list[int]
    packages: list[str]
    checkout: str
    folder: str


def main() -> None:
    # A side that waits for its turn is stopped and could not see that nobody is left to ask it.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    where, case = sys.argv[1], json.loads(sys.argv[2])
    os.sched_setaffinity(0, case['cores'])  # before a library counts them
    module, function = where.split(':')
    update = getattr(importlib.import_module(module), function)(case)
    answers.write(json.dumps({'ready': {name: importlib.metadata.version(name) for name in case['packages']}}) + '\n')
    for line in sys.stdin:
        count = json.loads(line)['updates']
        began, cpu_began = time.perf_counter(), time.process_time()
        update(count)
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
        answers.write(json.dumps({'wall_s': wall_s, 'cpu_s': cpu_s, 'resident_mb': resident_mb()}) + '\n')


def resident_mb() -> float:
    """What this process holds that is not a mapped file."""
    lines = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
    return int(lines['RssAnon'].split()[0]) / 1024


if __name__ == '__main__':
    main()
