"""Evaluate a run: `ros2 launch hybrid_rl_ros eval.launch.py run:=runs/lift-sac-seed1 episodes:=50`."""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from hybrid_rl_ros.launch_runs import BOOLEAN, argument, evaluate, part_argument, set_argument


def generate_launch_description():
    return LaunchDescription(
        [
            argument('run', 'run folder', None),
            argument('episodes', 'how many', '50'),
            argument('best', 'the policy that did best over 20 training episodes', 'false', BOOLEAN),
            set_argument(),
            part_argument(choices=['all', 'robot', 'no_robot']),
            OpaqueFunction(function=evaluate),
        ]
    )
