"""The arm in Gazebo: `ros2 launch hybrid_rl_ros gazebo.launch.py task:=reach headless:=true train:=true`."""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from hybrid_rl_ros.launch_gazebo import gazebo
from hybrid_rl_ros.launch_runs import (
    BOOLEAN,
    TASKS,
    argument,
    config_argument,
    headless_argument,
    training_arguments,
)


def generate_launch_description():
    return LaunchDescription(
        [
            argument('task', 'which world, and what to learn where no `config` is given', 'reach', TASKS),
            argument('control', 'who moves the joints; empty: as configured', '', ['', 'ros2_control', 'gz']),
            argument('train', 'also train; else the robot alone: its topics, observations and gate', 'false', BOOLEAN),
            argument('gz_args', 'more arguments for the server, such as "-v 4"'),
            headless_argument(),
            config_argument(''),
            *[each for each in training_arguments() if each.name != 'part'],
            OpaqueFunction(function=gazebo),
        ]
    )
