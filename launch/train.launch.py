"""Bring up a whole run and train: `ros2 launch hybrid_rl_ros train.launch.py config:=my_task.yaml`."""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from hybrid_rl_ros.launch_runs import config_argument, train, training_arguments


def generate_launch_description():
    return LaunchDescription([config_argument(''), *training_arguments(), OpaqueFunction(function=train)])
