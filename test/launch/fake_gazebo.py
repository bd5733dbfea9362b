"""A prefix with stand-ins for the packages of ros_gz, and a `gz` that notes where it was told to put things."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

BRIDGE = Path(__file__).with_name('fake_bridge.py')
PACKAGES = ('ros_gz_sim', 'ros_gz_bridge', 'robot_state_publisher', 'controller_manager')
SERVER = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration


def generate_launch_description():
    write = 'env > "$FAKE_GAZEBO/environment"; echo "$0" > "$FAKE_GAZEBO/gz_args"; exec sleep 600'
    return LaunchDescription([
        DeclareLaunchArgument('gz_args'),
        DeclareLaunchArgument('on_exit_shutdown', default_value='false'),
        ExecuteProcess(cmd=['bash', '-c', write, LaunchConfiguration('gz_args')], name='gazebo'),
    ])
"""
GZ = """
import json, os, re, sys
request = sys.argv[-1]
name = re.search(r'name: "(\\w+)"', request).group(1)
at = [float(re.search(r'position: .*?\\b%s: ([-\\de.]+)' % axis, request).group(1)) for axis in 'xyz']
with open(os.path.join(os.environ['FAKE_GAZEBO'], name + '.json'), 'w') as file:
    file.write(json.dumps(at))
print('data: true')
"""
PUBLISHER = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pause()
"""
SPAWNER = """
import os, sys
sys.exit(sys.argv[1] == os.environ.get('FAKE_SPAWNER_FAILS'))
"""


def make_prefix(folder: Path) -> dict[str, str]:
    """The environment that finds it."""
    prefix = folder / 'prefix'
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    for package in PACKAGES:
        (index / package).touch()
        (prefix / 'share' / package).mkdir(parents=True)
    launch = prefix / 'share' / 'ros_gz_sim' / 'launch'
    launch.mkdir()
    (launch / 'gz_sim.launch.py').write_text(SERVER)
    _script(prefix / 'lib' / 'ros_gz_bridge' / 'parameter_bridge', BRIDGE.read_text())
    _script(prefix / 'bin' / 'gz', GZ)
    _script(prefix / 'lib' / 'robot_state_publisher' / 'robot_state_publisher', PUBLISHER)
    _script(prefix / 'lib' / 'controller_manager' / 'spawner', SPAWNER)
    return {
        'AMENT_PREFIX_PATH': str(prefix),
        'PATH': f'{prefix}/bin:{os.environ["PATH"]}',
        'FAKE_GAZEBO': str(folder),
        'FAKE_GAZEBO_BEGAN': str(time.time()),
    }


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!{sys.executable}\n{text}')
    path.chmod(0o755)
