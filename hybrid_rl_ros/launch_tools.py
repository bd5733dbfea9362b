"""Windows on a running graph, as launch actions."""

from __future__ import annotations

from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext
from launch.actions import LogInfo
from launch_ros.actions import Node

from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.launch_runs import is_true, ros_environment, value, whole_number
from hybrid_rl_ros.launched_graph import Actions


def tools(context: LaunchContext) -> Actions:
    """What tools.launch.py was asked for; raises UserError for a window whose package is not installed."""
    actions: Actions = []
    if is_true(context, 'foxglove'):
        listen = {'port': whole_number(context, 'port', most=65535), 'address': value(context, 'address')}
        actions.append(_window('foxglove', 'foxglove_bridge', parameters=[listen]))
    if is_true(context, 'rqt'):
        actions.append(_window('rqt', 'rqt_runtime_monitor'))
    if is_true(context, 'plotjuggler'):
        layout = ['--layout', str(share_folder('config') / 'tools' / 'plotjuggler.xml')]
        actions.append(_window('plotjuggler', 'plotjuggler', arguments=layout))
    return actions


def _window(argument: str, package: str, **options: Any) -> Node:
    """The packages are no dependencies: a robot's computer needs no Qt."""
    if not _is_installed(package):
        name = f'ros-$ROS_DISTRO-{package.replace("_", "-")}'
        raise UserError(f'{argument}:=true needs {package}: apt install {name}, or leave it out with {argument}:=false')
    return _program(package, **options)


def tools_beside(context: LaunchContext) -> Actions:
    """Unless headless: what the cameras see. A run does not fail for want of a window."""
    if is_true(context, 'headless'):
        return []
    if not _is_installed('rqt_image_view'):
        return [LogInfo(msg='no window: rqt_image_view is not installed (headless:=true leaves it out)')]
    return [_program('rqt_image_view')]


def _is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def _program(name: str, **given: Any) -> Node:
    return Node(package=name, executable=name, additional_env=ros_environment(), **given)
