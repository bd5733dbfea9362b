"""Record demonstrations: `ros2 launch hybrid_rl_ros record.launch.py config:=... out:=demos/mine teleop:=gamepad`."""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from hybrid_rl_ros.launch_runs import BOOLEAN, argument, config_argument, record, set_argument


def generate_launch_description():
    return LaunchDescription(
        [
            config_argument(),
            argument('out', 'folder of the recorded episodes', None),
            argument('episodes', 'how many to keep', '20'),
            argument('expert', "name of a task's scripted expert, in simulation"),
            argument('teleop', 'a device of config/teleop/ by its name, or a path'),
            argument('noise', "the expert's noise, a fraction of the action range", '0.0'),
            argument('keep', 'which episodes are kept', 'success', ['success', 'all']),
            argument('label', 'for a success classifier: success ends nothing and is marked', 'false', BOOLEAN),
            set_argument(),
            OpaqueFunction(function=record),
        ]
    )
