"""The message types that bags are written with: those that come with ROS, and others from their .msg files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from hybrid_rl_ros.errors import UserError

TYPES = get_typestore(Stores.ROS2_JAZZY)


def learn_type(name: str) -> None:
    """Have the definition of a type such as franka_msgs/msg/Errors, and of all that it is made of, in TYPES.

    Without it nobody could read what a bag holds. Raises UserError.
    """
    if name in TYPES.fielddefs:
        return
    try:
        definition = get_types_from_msg(_message_file(name).read_text(), name)
        for part in _parts(definition[name][1]):
            learn_type(part)
        TYPES.register(definition)
    except (OSError, TypesysError) as error:
        raise UserError(f'the definition of {name} cannot be read: {" ".join(str(error).split())}') from None


def _message_file(name: str) -> Path:
    """Where ROS, or a wheel of it, has installed the definition."""
    package, _, message = name.split('/')
    prefixes = [prefix for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(':') if prefix]
    for prefix in (*prefixes, sys.prefix):
        path = Path(prefix) / 'share' / package / 'msg' / f'{message}.msg'
        if path.exists():
            return path
    raise UserError(f'the definition of {name} is not installed: no share/{package}/msg/{message}.msg')


def _parts(description: Any) -> Iterator[str]:
    """Names of message types in rosbags' description of fields: (kind, name), or (kind, ((kind, name), length))."""
    for item in description:
        if isinstance(item, str) and item.count('/') == 2:
            yield item
        elif isinstance(item, (list, tuple)):
            yield from _parts(item)
