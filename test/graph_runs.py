"""What the tests of whole graphs share: runs that are started, watched and looked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import rclpy
from std_srvs.srv import Trigger

from hybrid_rl_ros.bringup import node_status, prepare_run, resolve_specs
from hybrid_rl_ros.config import Config, load_config

CONFIG = Path(__file__).parents[1] / 'config'
REACH = str(CONFIG / 'sim_reach_state.yaml')
CAMERA = 'observation.cameras={front: {width: 32, height: 32}}'
SMALL = [
    'train.env_steps=80',
    'train.warm_up_steps=20',
    'train.checkpoint_every_steps=25',
    'eval.episodes=0',
    'episode.time_limit_steps=20',
    'sac.hidden=[32, 32]',
]


def call(service: str) -> Trigger.Response:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('person', context=context)
    try:
        client = node.create_client(Trigger, service)
        assert client.wait_for_service(timeout_sec=20.0)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        future = client.call_async(Trigger.Request())
        executor.add_node(node)
        executor.spin_until_future_complete(future, timeout_sec=20.0)
        return future.result()
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def executed(run: Path) -> int:
    return node_status(run, 'safety_node').get('counters', {}).get('executed_policy', 0)


def clear_faults(run: Path) -> None:
    """As a person does: where the machine stood still for a second, the gate has latched that nobody acted."""
    if node_status(run, 'safety_node').get('faults'):
        call('safety_node/clear_fault')


def hybrid_rl(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, '-m', 'hybrid_rl_ros.cli', *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def overrides(*settings: str) -> list[str]:
    return [part for setting in settings for part in ('--set', setting)]


def prepare(run: Path, *settings: str, path: str = REACH) -> Config:
    config = load_config(path, list(settings))
    prepare_run(run, config, resolve_specs(config))
    return config


def processes_of(run: Path, node: str = '') -> list[int]:
    """Every process of `node`, or of any node, whose command line names the run folder."""
    found = []
    for entry in Path('/proc').iterdir():
        try:
            command = (entry / 'cmdline').read_bytes() if entry.name.isdigit() else b''
        except OSError:
            continue
        if f'hybrid_rl_ros.nodes.{node}'.encode() in command and str(run).encode() in command:
            found.append(int(entry.name))
    return found
