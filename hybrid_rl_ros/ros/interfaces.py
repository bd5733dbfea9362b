"""Message and action types that are not in common_interfaces: imported when a robot's file asks for them."""

from __future__ import annotations

import importlib
from typing import Any

from hybrid_rl_ros.errors import UserError


def import_interface(name: str, wanted_by: str) -> Any:
    """The class of an interface such as `std_msgs/msg/Bool`. Raises UserError naming the package to install."""
    parts = name.split('/')
    if len(parts) != 3 or parts[1] not in ('msg', 'srv', 'action'):
        raise UserError(f'{wanted_by}: type {name!r} is not of the form package/msg/Name')
    package, kind, class_name = parts
    try:
        module = importlib.import_module(f'{package}.{kind}')
    except ModuleNotFoundError:
        # The user's own ROS distribution names the package; hence the variable and not its value.
        install = f'apt install ros-$ROS_DISTRO-{package.replace("_", "-")}'
        raise UserError(f'{wanted_by} needs the ROS package {package}: {install}, then source ROS again') from None
    if not hasattr(module, class_name):
        raise UserError(f'{wanted_by}: the ROS package {package} has no {kind} {class_name!r}')
    return getattr(module, class_name)
