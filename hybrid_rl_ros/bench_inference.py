"""`hybrid-rl bench inference`: how long the policy's network takes, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

from hybrid_rl_ros.bench_result import write_result
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.process_environment import node_environment


def bench_inference(as_json: bool) -> None:
    """In the environment of a node: one thread, for us and for the peer."""
    command = [sys.executable, '-m', 'hybrid_rl_ros.learning.bench_inference']
    environment = node_environment(share_folder('config') / 'fastdds.xml', threads=1)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    write_result(json.loads(done.stdout), as_json)
