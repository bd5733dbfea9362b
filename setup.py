"""ament_python package: `pip install .` and `colcon build` both work."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'hybrid_rl_ros'
NODES = (
    'sim_node',
    'gazebo_node',
    'teleop_node',
    'camera_node',
    'observation_node',
    'inference_node',
    'safety_node',
    'reward_reset_node',
    'learner_node',
    'recorder_node',
    'bag_node',
)
ROS_MESSAGES = ('std', 'sensor', 'geometry', 'diagnostic', 'trajectory')


def ros_wheels(rclpy: str, messages: str) -> list[str]:
    """One distribution's rclpy and messages, for a machine without ROS 2."""
    return [
        f'ros-rclpy[fastrtps]=={rclpy}',
        f'ros-std-srvs=={messages}',
        *(f'ros-{kind}-msgs=={messages}' for kind in ROS_MESSAGES),
    ]


def share(folder: str) -> list[tuple[str, list[str]]]:
    """Every file below `folder`, as data files under share/hybrid_rl_ros."""
    folders: dict[str, list[str]] = {}
    for path in sorted(Path(folder).rglob('*')):
        # Launch files leave it behind once they were loaded from here.
        if path.is_file() and '__pycache__' not in path.parts:
            folders.setdefault(f'share/{PACKAGE}/{path.parent}', []).append(str(path))
    return list(folders.items())


setup(
    name=PACKAGE,
    version='0.1.0',
    description='Robot learning on real arms over ROS 2: SAC with demonstrations and diffusion steering',
    license='Apache-2.0',
    author='hybrid_rl_ros maintainers',
    author_email='maintainers@example.com',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml', 'rosdep.yaml']),
        *share('config'),
        *share('launch'),
        *share('urdf'),
        *share('worlds'),
    ],
    python_requires='>=3.10',
    install_requires=[
        'torch>=2.4',
        'numpy',
        'opencv-python-headless',
        'pyyaml',
        'pydantic>=2',
        'simpleeval>=1.0',
        'safetensors',
        'rich',
        'pin',
        'onnxruntime',
        'onnx',
    ],
    extras_require={
        'ros': ros_wheels('7.1.6', '5.3.6'),  # Jazzy
        'ros-kilted': ros_wheels('9.1.2', '5.5.1'),
        'sim': ['mujoco>=3.2', 'gymnasium[classic-control]', 'PyOpenGL'],
        'data': ['pyarrow', 'av', 'h5py', 'rosbags', 'mcap'],
        'teleop': ['pygame', 'pyspacemouse'],
        'tensorboard': ['tensorboard'],
        'dev': [
            'pytest-timeout',
            'pytest-rerunfailures',
            'pytest-xdist',
            'hypothesis',
            'matplotlib',
            'tensorboard',
            'ruff',
            'mypy',
            'import-linter',
            'types-PyYAML',
            'colcon-common-extensions',
            'build',
        ],
        # The last one: URDFs of arms that the kinematics are tried with.
        'test': ['pytest', 'example-robot-data'],
    },
    entry_points={
        'console_scripts': [
            'hybrid-rl = hybrid_rl_ros.cli:main',
            *(f'{node} = hybrid_rl_ros.nodes.{node}:main' for node in NODES),
        ],
    },
    # Where `ros2 run` looks; pip goes by the entry points alone.
    options={
        'install': {'install_scripts': f'$base/lib/{PACKAGE}'},
        'develop': {'script_dir': f'$base/lib/{PACKAGE}'},
    },
    zip_safe=True,
)
