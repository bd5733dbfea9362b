"""A test of real time that fails is tried again only if the machine stood still under it."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import pytest
from machine_stalls import STALL_S, MachineStallError, StallWatch, tell_apart
from waiting import wait_for


def test_a_processor_that_gave_nothing_is_told_of_with_how_long(tmp_path):
    watch = StallWatch(tmp_path)
    try:
        wait_for(lambda: all(file.read_text() for file in tmp_path.iterdir()))
        began_s = time.monotonic()
        for process in watch._processes:
            os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.3)
        for process in watch._processes:
            os.kill(process.pid, signal.SIGCONT)
        wait_for(lambda: watch.longest_since(began_s) >= 0.3)
    finally:
        watch.close()
    assert all(process.returncode is not None for process in watch._processes)


@pytest.mark.parametrize(
    ('watched', 'stall_s', 'failure', 'told'),
    [
        (True, 2 * STALL_S, AssertionError('late'), MachineStallError),
        (True, STALL_S / 2, AssertionError('wrong'), AssertionError),
        (False, 2 * STALL_S, AssertionError('wrong'), AssertionError),
        (True, 2 * STALL_S, KeyError('a bug'), KeyError),
    ],
)
def test_only_an_assertion_of_a_watched_test_is_forgiven_and_only_for_a_stall(watched, stall_s, failure, told):
    watch = SimpleNamespace(longest_since=lambda began_s: stall_s)
    item = SimpleNamespace(funcargs={'stall_watch': watch} if watched else {})

    def fail() -> None:
        raise failure

    call = pytest.CallInfo.from_call(fail, when='call')
    tell_apart(item, call)
    assert call.excinfo.type is told and failure in (call.excinfo.value, call.excinfo.value.__cause__)
