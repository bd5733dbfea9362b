"""sim_node under one ROS distribution, the rest under another: every step is stored.

HYBRID_RL_OTHER_PYTHON names the interpreter of an environment with another rclpy (and what sim_node needs).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from graph_runs import SMALL, executed, prepare

from hybrid_rl_ros.bringup import Bringup, NodeProcess, node_status, nodes_of_run, running
from hybrid_rl_ros.data.replay_store import ReplayStore

OTHER = os.environ.get('HYBRID_RL_OTHER_PYTHON', '')
VERSION = "from importlib.metadata import version; print(version('rclpy'))"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not OTHER, reason='HYBRID_RL_OTHER_PYTHON names no interpreter with another rclpy'),
]


@dataclass(frozen=True)
class Elsewhere(NodeProcess):
    """A node under another interpreter."""

    def command(self, run: Path, role: str, peers: list[str], namespace: str) -> list[str]:
        # Each environment of wheels finds its own libraries, unless it inherits where another's are.
        theirs = ('LD_LIBRARY_PATH', 'AMENT_PREFIX_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE')
        clean = ['env', *(part for name in theirs for part in ('-u', name))]
        return [*clean, OTHER, *super().command(run, role, peers, namespace)[1:]]


def rclpy_of(python: str) -> str:
    return subprocess.run([python, '-c', VERSION], capture_output=True, text=True, check=True).stdout.strip()


def test_the_two_are_not_the_same():
    assert rclpy_of(OTHER) != rclpy_of(sys.executable)


# Every step counts here, so a machine that stands still for a quarter of a second, as some do, must not cost one.
PATIENT = [
    'control_rate_hz=2',
    'sac.updates_per_step=1',
    'safety.action_timeout_s=1.0',
    'safety.joint_state_timeout_s=1.0',
    'safety.max_action_age_s=1.0',
    'safety.latch_after_s=3.0',
]


@pytest.mark.parametrize(
    ('clock', 'elsewhere'),
    [
        ('lockstep', ['sim_node']),
        pytest.param('realtime', ['safety_node', 'observation_node'], marks=pytest.mark.real_time),
    ],
)
def test_every_step_is_stored(tmp_path, clock, elsewhere):
    config = prepare(tmp_path, *SMALL, f'clock={clock}', 'train.env_steps=50', *PATIENT)
    nodes = nodes_of_run(config, 'train')
    there = [Elsewhere(**vars(node)) if node.name in elsewhere else replace(node) for node in nodes]
    with running(Bringup(config, tmp_path, 'train', there)) as bringup:
        while not bringup.check():
            time.sleep(0.05)
    learner = node_status(tmp_path, 'learner_node')
    assert learner['env_steps'] >= 50
    assert learner.get('counters', {}).get('dropped_steps', 0) == 0
    with ReplayStore.open(tmp_path / 'replay', read_only=True) as store:
        assert store.transitions == learner['env_steps']
        if clock == 'lockstep':
            assert store.transitions == executed(tmp_path)
