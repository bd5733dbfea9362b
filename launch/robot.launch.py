"""The robot's part of a run (cameras, observation, safety gate), to look at it before anything acts.

Then, with the same `config`, `set` and `run`: `ros2 launch hybrid_rl_ros train.launch.py part:=no_robot ...`.
"""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from hybrid_rl_ros.launch_runs import config_argument, train, training_arguments


def generate_launch_description():
    arguments = [argument for argument in training_arguments() if argument.name != 'part']
    start = OpaqueFunction(function=train, kwargs={'part': 'robot'})
    return LaunchDescription([config_argument(''), *arguments, start])
