"""Whom a node waits for, and how its process ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from graph_runs import REACH, prepare
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from hybrid_rl_ros.bringup import node_status

GAZEBO = str(Path(REACH).with_name('gazebo_lift.yaml'))
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


SPEAKER = """
from std_msgs.msg import String
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import STEP

class Speaker(GraphNode):
    consumers = {'said': ('theirs', 'of_another_run')}

    def set_up(self):
        self.said = self.publisher(String, 'said', STEP)

node_main(lambda: Speaker('speaker'))
"""


def test_who_only_listens_does_not_stand_for_who_is_awaited(nodes, tmp_path):
    """A bag's recorder, or `ros2 topic echo`: the first step would be missed by whom it is for."""
    prepare(tmp_path)
    parameters = ['--ros-args', '-p', f'run_dir:={tmp_path}', '-p', 'peers:=[theirs]']
    speaker = subprocess.Popen([sys.executable, '-c', SPEAKER, *parameters])
    try:
        nodes.ours.create_subscription(String, 'said', print, 10)
        nodes.spin_until(lambda: nodes.ours.count_publishers('said') == 1)
        nodes.spin_until(lambda: 'active_after_s' in node_status(tmp_path, 'speaker'))
        until_s = time.monotonic() + 1.0
        nodes.spin_until(lambda: time.monotonic() > until_s)
        assert 'ready' not in node_status(tmp_path, 'speaker')
        nodes.theirs.create_subscription(String, 'said', print, 10)
        nodes.spin_until(lambda: 'ready' in node_status(tmp_path, 'speaker'))
    finally:
        speaker.kill()
        speaker.wait()


def test_with_controllers_the_gate_waits_for_whoever_hears_its_commands(nodes, tmp_path):
    """They bear the user's names; gazebo_node, one of the run's, does not move the arm then."""
    prepare(tmp_path, path=GAZEBO)
    arm, gripper = 'joint_trajectory_controller/joint_trajectory', 'gripper_controller/joint_trajectory'
    command = [sys.executable, '-m', 'hybrid_rl_ros.nodes.safety_node', '--ros-args', '-p', f'run_dir:={tmp_path}']
    gate = subprocess.Popen([*command, '-p', 'peers:=[gazebo_node]'])
    try:
        nodes.theirs.create_subscription(JointTrajectory, arm, print, 10)
        nodes.spin_until(lambda: nodes.theirs.count_publishers(gripper) == 1)
        nodes.spin_until(lambda: 'active_after_s' in node_status(tmp_path, 'safety_node'))
        until_s = time.monotonic() + 1.0
        nodes.spin_until(lambda: time.monotonic() > until_s)
        assert 'ready' not in node_status(tmp_path, 'safety_node')
        nodes.theirs.create_subscription(JointTrajectory, gripper, print, 10)
        nodes.spin_until(lambda: 'ready' in node_status(tmp_path, 'safety_node'))
    finally:
        gate.kill()
        gate.wait()
