"""The package's own facts agree with each other."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_in_every_place():
    setup = re.search(r"version='([\d.]+)'", (ROOT / 'setup.py').read_text()).group(1)
    package = ElementTree.parse(ROOT / 'package.xml').getroot().find('version').text
    changelog = re.search(r'^(\d+\.\d+\.\d+) ', (ROOT / 'CHANGELOG.rst').read_text(), re.M).group(1)
    assert setup == package == changelog


def test_every_node_file_is_an_executable_of_the_package():
    files = {path.stem for path in (ROOT / 'hybrid_rl_ros' / 'nodes').glob('*_node.py')}
    named = set(re.findall(r"'(\w+_node)'", (ROOT / 'setup.py').read_text()))
    assert files == named
    assert all(importlib.util.find_spec(f'hybrid_rl_ros.nodes.{name}') for name in named)


def test_the_folders_of_data_files_are_there():
    """setup.py takes them all; none of them may be empty."""
    for folder in ('config', 'launch', 'urdf', 'worlds'):
        assert any((ROOT / folder).iterdir()), folder


@pytest.mark.slow
def test_a_wheel_holds_launch_config_urdf_and_worlds(tmp_path):
    pytest.importorskip('build.env', reason='build is not installed')
    source, wheels = tmp_path / 'source', tmp_path / 'wheels'
    keep = ('hybrid_rl_ros', 'config', 'launch', 'urdf', 'worlds', 'resource')
    for folder in keep:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns('__pycache__'))
    # As a launch file that was loaded from there leaves it.
    (source / 'launch' / '__pycache__').mkdir()
    (source / 'launch' / '__pycache__' / 'sim.launch.cpython-312.pyc').touch()
    for file in ('setup.py', 'pyproject.toml', 'package.xml', 'rosdep.yaml', 'README.md'):
        shutil.copy(ROOT / file, source)
    # As `python -m build --wheel`, whose environment of its own would need the network.
    build = [sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', str(wheels), str(source)]
    result = subprocess.run(build, capture_output=True, text=True, timeout=170)
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,) = wheels.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        held = {name.partition('.data/data/')[2] for name in archive.namelist() if '.data/data/' in name}
        scripts = archive.read(next(name for name in archive.namelist() if name.endswith('entry_points.txt'))).decode()
    for folder in ('config', 'launch', 'urdf', 'worlds'):
        files = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob('*') if _shipped(path)}
        assert files and {f'share/hybrid_rl_ros/{name}' for name in files} <= held
    assert not any('__pycache__' in name for name in held)
    assert 'share/ament_index/resource_index/packages/hybrid_rl_ros' in held
    assert 'safety_node = hybrid_rl_ros.nodes.safety_node:main' in scripts


def _shipped(path: Path) -> bool:
    return path.is_file() and '__pycache__' not in path.parts


def test_every_dependency_has_a_key_of_rosdep():
    """Every package that is imported, by the keys of package.xml; and every key is known."""
    keys = {element.text for element in ElementTree.parse(ROOT / 'package.xml').getroot() if 'depend' in element.tag}
    ours = set(yaml.safe_load((ROOT / 'rosdep.yaml').read_text()))
    unknown = keys - ours - ROS_PACKAGES - ROSDISTRO_KEYS
    assert not unknown, f'{unknown}: look the key up in rosdistro, or add it to rosdep.yaml'
    imported = _imports()
    missing = {name for name in imported if KEY_OF.get(name, name) not in keys and name not in OPTIONAL}
    assert not missing


# Released into Jazzy, Kilted and Rolling, and those without a condition in package.xml into Humble:
# github.com/ros/rosdistro, <distribution>/distribution.yaml, 2026-08-22.
ROS_PACKAGES = set(
    'rclpy ament_index_python builtin_interfaces diagnostic_msgs geometry_msgs launch launch_ros rcl_interfaces '
    'rosgraph_msgs sensor_msgs std_msgs std_srvs trajectory_msgs pinocchio controller_manager gz_ros2_control '
    'joint_state_broadcaster joint_trajectory_controller robot_state_publisher ros_gz_bridge ros_gz_sim '
    'ament_copyright ament_flake8 ament_pep257'.split()
)
# github.com/ros/rosdistro, rosdep/python.yaml, 2026-08-22.
ROSDISTRO_KEYS = set(
    'python3-numpy python3-onnxruntime-pip python3-opencv python3-pytorch-pip python3-rich '
    'python3-yaml python3-gymnasium-pip python3-mujoco-pip python3-opengl python3-hypothesis python3-pytest '
    'python3-pytest-timeout python3-typing-extensions'.split()
)
KEY_OF = {
    'numpy': 'python3-numpy',
    'onnx': 'python3-onnx-pip',
    'onnxruntime': 'python3-onnxruntime-pip',
    'cv2': 'python3-opencv',
    'pydantic': 'python3-pydantic-2-pip',
    'torch': 'python3-pytorch-pip',
    'rich': 'python3-rich',
    'safetensors': 'python3-safetensors-pip',
    'simpleeval': 'python3-simpleeval-pip',
    'typing_extensions': 'python3-typing-extensions',
    'yaml': 'python3-yaml',
    'gymnasium': 'python3-gymnasium-pip',
    'mujoco': 'python3-mujoco-pip',
    'coal': 'pinocchio',
}
# Of an extra of setup.py, or for benchmarks: whoever lacks them is told so when they are needed.
OPTIONAL = set(
    'pyarrow av h5py rosbags mcap pygame pyspacemouse tensorboard diffusers stable_baselines3 gym jax'.split()
)
OPTIONAL |= set('rlpd lerobot huggingface_hub lifecycle_msgs control_msgs franka_msgs OpenGL flax'.split())


def _imports() -> set[str]:
    """Top-level packages that the package's modules import and that are neither its own nor Python's."""
    found = set()
    for path in (ROOT / 'hybrid_rl_ros').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module.partition('.')[0])
    return found - {'hybrid_rl_ros'} - set(sys.stdlib_module_names)
