"""How a node's process ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = """
import os, subprocess, sys
os.environ['HYBRID_RL_PARENT'] = str(os.getpid())
subprocess.run([sys.executable, '-c', sys.argv[1]])
"""
STUCK_NODE = """
import ctypes, os, signal, threading, time
from hybrid_rl_ros.ros.node import die_with_parent

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
die_with_parent()
time.sleep(1.0)
print(os.getpid(), flush=True)
mutex = ctypes.create_string_buffer(64)
ctypes.PyDLL(None).pthread_mutex_lock(mutex)
ctypes.PyDLL(None).pthread_mutex_lock(mutex)  # Never returns, and keeps Python's lock.
"""


@pytest.mark.slow
def test_a_node_that_is_stuck_with_pythons_lock_ends_with_its_command():
    command = subprocess.Popen([sys.executable, '-c', COMMAND, STUCK_NODE], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    cmdline = Path(f'/proc/{int(command.stdout.readline())}/cmdline')
    command.kill()
    command.wait()
    time.sleep(2.0)
    assert cmdline.read_text(), 'otherwise it was not stuck, and this tests nothing'
    ended_by = time.monotonic() + 30.0
    while cmdline.exists() and cmdline.read_text():
        assert time.monotonic() < ended_by
        time.sleep(0.1)
