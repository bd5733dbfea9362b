"""What gazebo.launch.py starts: the server with a world, its bridges, its controllers, and a run beside them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from launch import LaunchContext
from launch.actions import GroupAction, IncludeLaunchDescription, RegisterEventHandler, SetEnvironmentVariable
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.launch_runs import is_true, ros_environment, training, value
from hybrid_rl_ros.launched_graph import Actions, LaunchedGraph
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.gazebo.arm_model import ArmModel
from hybrid_rl_ros.sim.gazebo.worlds import world_text
from hybrid_rl_ros.sim.tasks import make_task

WITH_A_CUBE = ('push', 'lift')
CONTROLLERS = ('joint_state_broadcaster', 'joint_trajectory_controller', 'gripper_controller')


def gazebo(context: LaunchContext) -> Actions:
    """Without train:=true the robot's part of the run alone: gazebo_node, observation and safety gate."""
    configurations = context.launch_configurations
    if not value(context, 'config') and not is_true(context, 'resume'):
        configurations['config'] = f'gazebo_{value(context, "task")}'
    if not value(context, 'run'):
        configurations['run'] = f'runs/gazebo-{value(context, "task")}'
    if control := value(context, 'control'):
        configurations['set'] = f'{value(context, "set")} sim.control={control}'
    run = Path(value(context, 'run'))
    graph, nodes = training(context, part='all' if is_true(context, 'train') else 'robot')
    config = load_config(run / 'config.yaml')
    if not config.in_gazebo:
        raise UserError(f'{value(context, "config")}: expected a configuration with sim: {{backend: gazebo}}')
    world = _world(config, run)
    beside = [*_server(context, world, graph), *_bridges(config, graph), *_controllers(config, graph)]
    return [*_environment(), *beside, *nodes]


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


def _server(context: LaunchContext, world: Path, graph: LaunchedGraph) -> Actions:
    window = '-s --headless-rendering ' if is_true(context, 'headless') else ''
    # Its own on_exit_shutdown would end all at once, with status 0 and without a reason.
    arguments = {'gz_args': f'-r {window}{value(context, "gz_args")} {world}', 'on_exit_shutdown': 'false'}
    # Looked up when it is run: the file loads, and is tested, where ros_gz is not installed.
    file = PathJoinSubstitution([FindPackageShare('ros_gz_sim'), 'launch', 'gz_sim.launch.py'])
    server = IncludeLaunchDescription(PythonLaunchDescriptionSource(file), launch_arguments=arguments.items())
    # gz_ros2_control makes it a ROS node, which has to find the others.
    variables = [SetEnvironmentVariable(name, text) for name, text in ros_environment().items()]
    watched = RegisterEventHandler(OnProcessExit(on_exit=partial(_on_any_exit, str(world), graph)))
    return [watched, GroupAction([*variables, server])]


def _on_any_exit(world: str, graph: LaunchedGraph, event: ProcessExited, context: LaunchContext) -> Actions | None:
    """The server is the process that was given the world: ros_gz starts it, by a name that differs with the version."""
    return graph.required('the Gazebo server')(event, context) if world in ' '.join(event.cmd) else None


def _bridges(config: Config, graph: LaunchedGraph) -> Actions:
    """One process for each file: images beside the rest make the rest late."""
    assert config.sim is not None
    names = ['gz_bridge']
    names += ['gz_bridge_control'] if config.sim.control == 'gz' else []
    names += ['gz_bridge_images'] if config.observation.cameras else []
    names += ['gz_bridge_cube'] if config.task in WITH_A_CUBE else []
    bridges = [
        _bridge(config, graph, name, parameters=[{'config_file': str(share_folder('config') / f'{name}.yaml')}])
        for name in names
    ]
    if config.sim.set_pose == 'ros':
        # Services are named on the command line alone.
        service = f'/world/{config.task}/set_pose@ros_gz_interfaces/srv/SetEntityPose'
        bridges.append(_bridge(config, graph, 'gz_bridge_set_pose', arguments=[service]))
    return bridges


def _bridge(config: Config, graph: LaunchedGraph, name: str, **given: Any) -> Node:
    return Node(
        package='ros_gz_bridge',
        executable='parameter_bridge',
        name=name,
        namespace=config.namespace,
        output='both',
        additional_env=ros_environment(),
        on_exit=graph.required(name),
        **given,
    )


def _controllers(config: Config, graph: LaunchedGraph) -> Actions:
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
        additional_env=ros_environment(),
        on_exit=graph.required('robot_state_publisher'),
    )
    return [publisher, _spawner(config, graph, CONTROLLERS)]


def _spawner(config: Config, graph: LaunchedGraph, controllers: Sequence[str]) -> Node:
    """That of the first one; the others follow when it has done its work."""
    name, *rest = controllers

    def on_exit(event: ProcessExited, context: LaunchContext) -> Actions | None:
        if event.returncode:
            return graph.required(f'the spawner of {name}')(event, context)
        return [_spawner(config, graph, rest)] if rest and not context.is_shutdown else None

    return Node(
        package='controller_manager',
        executable='spawner',
        arguments=[name],
        namespace=config.namespace,
        output='both',
        additional_env=ros_environment(),
        on_exit=on_exit,
    )
