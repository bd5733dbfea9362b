"""Look at a running graph: Foxglove, rqt or PlotJuggler, with the layouts of config/tools/."""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from hybrid_rl_ros.launch_runs import BOOLEAN, argument
from hybrid_rl_ros.launch_tools import tools


def generate_launch_description():
    return LaunchDescription(
        [
            argument('foxglove', 'foxglove_bridge; open Foxglove with config/tools/foxglove.json', 'true', BOOLEAN),
            argument('port', 'of foxglove_bridge', '8765'),
            argument('address', 'that foxglove_bridge listens on; 0.0.0.0 lets the whole network in', '127.0.0.1'),
            argument('rqt', 'rqt with config/tools/rqt.perspective', 'false', BOOLEAN),
            argument('plotjuggler', 'PlotJuggler with config/tools/plotjuggler.xml', 'false', BOOLEAN),
            OpaqueFunction(function=tools),
        ]
    )
