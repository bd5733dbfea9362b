"""A test of real time that fails is tried again only if the machine stood still under it."""

from __future__ import annotations

import os
import signal
import time

from machine_stalls import StallWatch


def test_a_processor_that_gave_nothing_is_told_of_with_how_long(tmp_path):
    watch = StallWatch(tmp_path)
    try:
        time.sleep(1.0)
        began_s = time.monotonic()
        for process in watch._processes:
            os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.3)
        for process in watch._processes:
            os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.2)
        assert 0.3 <= watch.longest_since(began_s) < 1.0
        assert watch.longest_since(time.monotonic()) == 0.0
    finally:
        watch.close()
    assert all(process.returncode is not None for process in watch._processes)
