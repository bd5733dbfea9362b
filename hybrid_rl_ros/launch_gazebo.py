"""What gazebo.launch.py starts: the server with a world, its bridges, its controllers, and a run beside them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from launch import LaunchContext
from launch.actions import IncludeLaunchDescription, RegisterEventHandler, SetEnvironmentVariable
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.launch_runs import failure, is_true, train, value
from hybrid_rl_ros.launched_graph import Actions
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.gazebo.arm_model import ArmModel
from hybrid_rl_ros.sim.gazebo.worlds import world_text
from hybrid_rl_ros.sim.tasks import make_task

WITH_A_CUBE = ('push', 'lift')


def gazebo(context: LaunchContext) -> Actions:
    """Without train:=true the robot's part of the run alone: gazebo_node, observation and safety gate."""
    configurations = context.launch_configurations
    if not value(context, 'config') and not is_true(context, 'resume'):
        configurations['config'] = f'gazebo_{value(context, "task")}'
    if not value(context, 'run'):
        configurations['run'] = f'runs/gazebo-{value(context, "task")}'
    control = value(context, 'control')
    configurations['set'] = f'{value(context, "set")} sim.control={control}'
    run = Path(value(context, 'run'))
    nodes = train(context, part='all' if is_true(context, 'train') else 'robot')
    config = load_config(run / 'config.yaml')
    if not config.in_gazebo:
        raise UserError(f'{value(context, "config")}: expected a configuration with sim: {{backend: gazebo}}')
    world = _world(config, run)
    return [*_environment(), _server(context, world), *_bridges(config), *_controllers(config, run), *nodes]


def _world(config: Config, run: Path) -> Path:
    """The shipped world, or with ros2_control one whose arm has its plugin, in the run's folder."""
    assert config.sim is not None
    if config.sim.control == 'gz':
        return share_folder('worlds') / f'{config.task}.sdf'
    parameters = share_folder('config') / 'gazebo_controllers.yaml'
    path = run.resolve() / 'world.sdf'
    robot = load_robot(config.robot)
    path.write_text(world_text(config.task, robot, 'ros2_control', str(parameters), config.namespace))
    return path


def _environment() -> Actions:
    """Gazebo's transport stays on this machine unless the user says otherwise."""
    return [] if os.environ.get('GZ_IP') else [SetEnvironmentVariable('GZ_IP', '127.0.0.1')]


def _server(context: LaunchContext, world: Path) -> IncludeLaunchDescription:
    window = '-s --headless-rendering ' if is_true(context, 'headless') else ''
    arguments = {'gz_args': f'-r {window}{value(context, "gz_args")} {world}', 'on_exit_shutdown': 'true'}
    # Looked up when it is run: the file loads, and is tested, where ros_gz is not installed.
    file = PathJoinSubstitution([FindPackageShare('ros_gz_sim'), 'launch', 'gz_sim.launch.py'])
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(file), launch_arguments=arguments.items())


def _bridges(config: Config) -> Actions:
    """One process for each file: images beside the rest make the rest late."""
    assert config.sim is not None
    names = ['gz_bridge']
    names += ['gz_bridge_control'] if config.sim.control == 'gz' else []
    names += ['gz_bridge_images'] if config.observation.cameras else []
    names += ['gz_bridge_cube'] if config.task in WITH_A_CUBE else []
    return [
        Node(
            package='ros_gz_bridge',
            executable='parameter_bridge',
            name=name,
            namespace=config.namespace,
            parameters=[{'config_file': str(share_folder('config') / f'{name}.yaml')}],
            output='both',
            on_exit=partial(_on_bridge_exit, name),
        )
        for name in names
    ]


def _on_bridge_exit(name: str, event: ProcessExited, context: LaunchContext) -> Actions | None:
    return None if context.is_shutdown else [failure(f'{name} ended with status {event.returncode}; the arm holds')]


def _controllers(config: Config, run: Path) -> Actions:
    """robot_state_publisher, which gz_ros2_control reads the arm from, and the spawners, one after the other."""
    assert config.sim is not None
    if config.sim.control == 'gz':
        return []
    robot = load_robot(config.robot)
    description = ArmModel(robot).with_ros2_control(make_task(config.task, robot))
    publisher = Node(
        package='robot_state_publisher',
        executable='robot_state_publisher',
        namespace=config.namespace,
        parameters=[{'robot_description': description, 'use_sim_time': True}],
        output='both',
    )
    names = ['joint_state_broadcaster', 'joint_trajectory_controller', 'gripper_controller']
    spawners = [
        Node(package='controller_manager', executable='spawner', arguments=[name], namespace=config.namespace)
        for name in names
    ]
    chained = [
        RegisterEventHandler(OnProcessExit(target_action=before, on_exit=[after]))
        for before, after in zip(spawners, spawners[1:])
    ]
    return [publisher, *chained, spawners[0]]
