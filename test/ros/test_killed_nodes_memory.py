"""Fast DDS' own segments: a node's while it lives, and nobody's once it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from hybrid_rl_ros.shared_memory import NEW_S, SEGMENT, abandoned, free_abandoned

NODE = """
import time, rclpy
rclpy.init()
node = rclpy.create_node('killed')
print('up', flush=True)
time.sleep(600)
"""


def test_a_killed_nodes_segments_are_abandoned_and_a_living_ones_are_not():
    with subprocess.Popen([sys.executable, '-c', NODE], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == 'up\n'
            maps = Path(f'/proc/{process.pid}/maps').read_text().split()
            own = sorted({Path(word) for word in maps if SEGMENT.fullmatch(Path(word).name)})
            assert own
            for segment in own:
                made_at = time.time() - 2.0 * NEW_S
                os.utime(f'{segment}_el', (made_at, made_at))
            assert not set(own) & set(abandoned())
        finally:
            process.kill()
    assert set(own) <= set(abandoned())
    assert free_abandoned() > 0
    assert not [file for segment in own for file in (segment, Path(f'{segment}_el')) if file.exists()]
