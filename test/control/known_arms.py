"""Arms whose URDF is at hand: the simulated one, and those of the package example-robot-data where it is installed."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from hybrid_rl_ros.robot_config import RobotConfig, load_robot

PANDA: dict[str, Any] = {
    'arm_joints': [f'panda_joint{number}' for number in range(1, 8)],
    'base_frame': 'panda_link0',
    'tool_frame': 'panda_hand_tcp',
}
# A robot file of ours, the URDF that it is tried with, and the names that differ in that one.
ARMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    'so101': ('so101', 'so_arm_description/urdf/so101.urdf', {}),
    'xarm7': ('xarm7', 'xarm_description/urdf/xarm7.urdf', {'tool_frame': 'link_eef'}),
    'panda': ('fr3', 'panda_description/urdf/panda.urdf', PANDA),
    'ur5': ('ur5e', 'ur_description/urdf/ur5_joint_limited_robot.urdf', {}),
}
NAMES = ['sim_arm', *ARMS]


def known_arm(name: str) -> RobotConfig:
    """The robot `name`; skips the test where its URDF is not installed."""
    if name == 'sim_arm':
        return load_robot(name)
    try:
        files = importlib.metadata.files('example-robot-data') or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('needs: pip install example-robot-data')
    robot, urdf, changes = ARMS[name]
    path = next(Path(str(file.locate())) for file in files if str(file).endswith(f'robots/{urdf}'))
    return load_robot(robot).model_copy(update={'urdf': str(path), **changes})
