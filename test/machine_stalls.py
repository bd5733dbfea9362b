"""Whether the machine itself stood still: a graph in real time then holds, as it should, and a test of going on fails.

Run as a program with the number of a processor it tells of every time that processor gave it nothing for STALL_S.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# With a step of 20 Hz beside it, the gate's watchdog of 0.15 s.
STALL_S = 0.1
TICK_S = 0.005


class MachineStallError(Exception):
    """A test of real time failed while the machine did not give it the time: it says nothing about the graph."""


class StallWatch:
    """One watching process for each processor; each writes a line to a file in `folder` as it begins."""

    def __init__(self, folder: Path) -> None:
        self._files = {cpu: folder / f'stalls-{cpu}' for cpu in os.sched_getaffinity(0)}
        self._processes = []
        for cpu, file in self._files.items():
            with file.open('w') as said:
                command = [sys.executable, __file__, str(cpu), str(os.getpid())]
                self._processes.append(subprocess.Popen(command, stdout=said))

    def longest_since(self, began_s: float) -> float:
        """Seconds; `began_s` by time.monotonic()."""
        stalls = [line.split() for file in self._files.values() for line in file.read_text().splitlines()]
        return max((float(stall) for ended_s, stall in stalls if float(ended_s) > began_s), default=0.0)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def tell_apart(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Make a MachineStallError of what failed by the clock while the machine stood still, so that it is tried again."""
    watch = getattr(item, 'funcargs', {}).get('stall_watch')
    if watch is None or call.when == 'teardown' or call.excinfo is None:
        return
    stall_s = watch.longest_since(time.monotonic() - call.duration)
    if isinstance(call.excinfo.value, AssertionError) and stall_s > STALL_S:
        # Not above: each watcher runs this file.
        from pytest import ExceptionInfo

        told = MachineStallError(f'the machine stood still for {stall_s:.3f} s')
        told.__cause__ = call.excinfo.value
        call.excinfo = ExceptionInfo.from_exc_info((MachineStallError, told, call.excinfo.tb))


def _watch(cpu: int, parent: int) -> None:
    os.sched_setaffinity(0, {cpu})
    before = time.monotonic()
    print(before, 0.0, flush=True)
    while os.getppid() == parent:
        time.sleep(TICK_S)
        now = time.monotonic()
        if now - before > STALL_S:
            print(now, round(now - before, 3), flush=True)
        before = now


if __name__ == '__main__':
    _watch(int(sys.argv[1]), int(sys.argv[2]))
