"""Windows on a running graph, as launch actions."""

from __future__ import annotations

from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext
from launch.actions import LogInfo
from launch_ros.actions import Node

from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.launch_runs import is_true, ros_environment, value, whole_number
from hybrid_rl_ros.launched_graph import Actions


def tools(context: LaunchContext) -> Actions:
    """What tools.launch.py was asked for."""
    actions: Actions = []
    if is_true(context, 'foxglove'):
        listen = {'port': whole_number(context, 'port', most=65535), 'address': value(context, 'address')}
        actions.append(_program('foxglove_bridge', parameters=[listen]))
    if is_true(context, 'rqt'):
        actions.append(_program('rqt_robot_monitor'))
    if is_true(context, 'plotjuggler'):
        layout = ['--layout', str(share_folder('config') / 'tools' / 'plotjuggler.xml')]
        actions.append(_program('plotjuggler', arguments=layout))
    return actions


def tools_beside(context: LaunchContext) -> Actions:
    """Unless headless: what the cameras see. A run does not fail for want of a window."""
    if is_true(context, 'headless'):
        return []
    try:
        get_package_prefix('rqt_image_view')
    except PackageNotFoundError:
        return [LogInfo(msg='no window: rqt_image_view is not installed (headless:=true leaves it out)')]
    return [_program('rqt_image_view')]


def _program(name: str, **given: Any) -> Node:
    return Node(package=name, executable=name, additional_env=ros_environment(), **given)
