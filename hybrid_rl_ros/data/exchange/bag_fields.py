"""One number, or one picture, of a message of any type."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from hybrid_rl_ros.data.exchange.bag_specs import nearest
from hybrid_rl_ros.data.message_values import read_image
from hybrid_rl_ros.errors import UserError

JOINT_NUMBERS = ('position', 'velocity', 'effort')
MOST_LISTED = 64


@dataclass(frozen=True)
class Field:
    """`topic:field`, such as `/joint_states:elbow.position`, `/servo:twist.linear.x` or `/command:data.0`."""

    topic: str
    path: str

    def read(self, message: Any, where: str) -> float:
        """The number, of a flag 0 or 1. Raises UserError."""
        return float(self._value(message, where))

    def read_episode(self, message: Any, where: str) -> float | None:
        """The number of the episode, of a flag 1; None while there is none: a negative number, or false."""
        value = self._value(message, where)
        return None if value < 0 or value is False else float(value)

    def _value(self, message: Any, where: str) -> float | bool:
        numbers = dict(_numbers(message))
        if self.path not in numbers:
            raise UserError(f'{where}: no number {self.path!r} in a message{nearest(self.path, numbers)}')
        value = numbers[self.path]
        if not math.isfinite(value):
            raise UserError(f'{where}: {self.path!r} is {value}, expected a finite number')
        return value


def parse_field(text: str, key: str) -> Field:
    """Raises UserError for what is not `topic:field`."""
    topic, separator, path = text.partition(':')
    if not (topic.startswith('/') and separator and path):
        raise UserError(f'mapping: {key}: {text!r}: expected /topic:field, such as /joint_states:elbow.position')
    return Field(topic, path)


def read_picture(type_name: str, message: Any, where: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an Image or a CompressedImage. Raises UserError."""
    if type_name == 'sensor_msgs/msg/Image':
        try:
            return read_image(message)
        except (ValueError, AttributeError) as error:  # the bag's own definition may lack a field
            raise UserError(f'{where}: {error}') from None
    if type_name != 'sensor_msgs/msg/CompressedImage':
        raise UserError(f'{where} is a {type_name}, expected sensor_msgs/msg/Image or CompressedImage')
    picture = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR) if len(message.data) else None
    if picture is None:
        raise UserError(f'{where}: a picture of format {message.format!r} cannot be decoded')
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _numbers(message: Any, prefix: str = '') -> Iterator[tuple[str, float | bool]]:
    """Every number of a message by its path; those of a JointState or JointTrajectory also by their joints' names."""
    fields = [name for name in vars(message) if not name.startswith('_')]
    if not prefix and {'name', *JOINT_NUMBERS} <= set(fields):
        for kind in JOINT_NUMBERS:
            yield from ((f'{joint}.{kind}', float(v)) for joint, v in zip(message.name, getattr(message, kind)))
    if not prefix and {'joint_names', 'points'} <= set(fields) and len(message.points):
        target = message.points[-1]
        for joint, position in zip(message.joint_names, target.positions):
            yield f'{joint}.position', float(position)
    for name in fields:
        yield from _numbers_of(getattr(message, name), prefix + name)


def _numbers_of(value: Any, path: str) -> Iterator[tuple[str, float | bool]]:
    if isinstance(value, (bool, np.bool_)):
        yield path, bool(value)
    elif isinstance(value, (int, float, np.number)):
        yield path, float(value)
    elif isinstance(value, (list, tuple, np.ndarray)):
        for index, item in enumerate(value[:MOST_LISTED]):
            yield from _numbers_of(item, f'{path}.{index}')
    elif hasattr(value, '__msgtype__'):
        yield from _numbers(value, f'{path}.')
