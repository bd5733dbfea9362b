"""Windows on a running graph, as launch actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext
from launch.actions import LogInfo
from launch_ros.actions import Node

from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.launch_runs import is_true, ros_environment, value, whole_number
from hybrid_rl_ros.launched_graph import Actions

# What config/tools/rqt.perspective opens; rqt goes on without one that it does not find.
RQT_PLUGINS = ('rqt_runtime_monitor', 'rqt_image_view', 'rqt_plot', 'rqt_service_caller')


def tools(context: LaunchContext) -> Actions:
    """What tools.launch.py was asked for; raises UserError for a window whose package is not installed."""
    actions: Actions = []
    if is_true(context, 'foxglove'):
        listen = {'port': whole_number(context, 'port', most=65535), 'address': value(context, 'address')}
        actions.append(_window('foxglove', 'foxglove_bridge', parameters=[listen]))
    if is_true(context, 'rqt'):
        layout = ['--perspective-file', str(share_folder('config') / 'tools' / 'rqt.perspective')]
        actions.append(_window('rqt', 'rqt_gui', RQT_PLUGINS, arguments=layout))
    if is_true(context, 'plotjuggler'):
        layout = ['--layout', str(share_folder('config') / 'tools' / 'plotjuggler.xml')]
        actions.append(_window('plotjuggler', 'plotjuggler', arguments=layout))
    return actions


def _window(argument: str, package: str, plugins: Sequence[str] = (), **options: Any) -> Node:
    """The packages are no dependencies: a robot's computer needs no Qt."""
    missing = [name for name in (package, *plugins) if not _is_installed(name)]
    if missing:
        names = ' '.join(f'ros-$ROS_DISTRO-{name.replace("_", "-")}' for name in missing)
        needs = ', '.join(missing)
        raise UserError(f'{argument}:=true needs {needs}: apt install {names}, or leave it out with {argument}:=false')
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
