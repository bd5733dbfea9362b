"""Windows on a running graph, as launch actions."""

from __future__ import annotations

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext
from launch.actions import LogInfo
from launch_ros.actions import Node

from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.launch_runs import is_true, value, whole_number
from hybrid_rl_ros.launched_graph import Actions


def tools(context: LaunchContext) -> Actions:
    """What tools.launch.py was asked for."""
    actions: Actions = []
    if is_true(context, 'foxglove'):
        listen = {'port': whole_number(context, 'port', most=65535), 'address': value(context, 'address')}
        actions.append(Node(package='foxglove_bridge', executable='foxglove_bridge', parameters=[listen]))
    if is_true(context, 'rqt'):
        actions.append(Node(package='rqt_robot_monitor', executable='rqt_robot_monitor'))
    if is_true(context, 'plotjuggler'):
        layout = ['--layout', str(share_folder('config') / 'tools' / 'plotjuggler.xml')]
        actions.append(Node(package='plotjuggler', executable='plotjuggler', arguments=layout))
    return actions


def tools_beside(context: LaunchContext) -> Actions:
    """Unless headless: what the cameras see. A run does not fail for want of a window."""
    if is_true(context, 'headless'):
        return []
    try:
        get_package_prefix('rqt_image_view')
    except PackageNotFoundError:
        return [LogInfo(msg='no window: rqt_image_view is not installed (headless:=true leaves it out)')]
    return [Node(package='rqt_image_view', executable='rqt_image_view')]
