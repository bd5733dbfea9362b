"""Train in MuJoCo: `ros2 launch hybrid_rl_ros sim.launch.py task:=reach headless:=true`."""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from hybrid_rl_ros.launch_runs import TASKS, argument, config_argument, headless_argument, simulate, training_arguments
from hybrid_rl_ros.launch_tools import tools_beside


def generate_launch_description():
    return LaunchDescription(
        [
            argument('task', 'what to learn, where no `config` is given', 'reach', TASKS),
            config_argument(''),
            headless_argument(),
            *training_arguments(),
            OpaqueFunction(function=simulate),
            OpaqueFunction(function=tools_beside),
        ]
    )
