"""numpy to ROS messages and back: stamps, named vectors, images, bytes. Reading is data/message_values.py."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header, UInt8MultiArray

from hybrid_rl_ros.data.message_values import NS_PER_S, is_readable, pick, read_image, read_named_vector, stamp_ns

__all__ = [
    'NS_PER_S',
    'is_readable',
    'pick',
    'read_image',
    'read_named_vector',
    'stamp_ns',
    'to_header',
    'to_stamp',
    'write_bytes',
    'write_image',
    'write_named_vector',
]


def to_stamp(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // NS_PER_S, nanosec=nanoseconds % NS_PER_S)


def to_header(nanoseconds: int, frame_id: str = '') -> Header:
    return Header(stamp=to_stamp(nanoseconds), frame_id=frame_id)


def write_named_vector(values: Mapping[str, float], stamp: int, frame_id: str = '') -> JointState:
    """A stamped name-to-number message; see DESIGN: named vectors travel as JointState."""
    message = JointState(header=to_header(stamp, frame_id))
    message.name = list(values)
    message.position = array('d', values.values())
    return message


def write_image(image: np.ndarray, stamp: int, frame_id: str) -> Image:
    """(H, W, 3) uint8 RGB to an `rgb8` message."""
    height, width, _ = image.shape
    message = Image(header=to_header(stamp, frame_id), height=height, width=width, encoding='rgb8', step=3 * width)
    # Assigning bytes or a list copies element by element; frombytes is fifty times faster.
    message.data.frombytes(np.ascontiguousarray(image).data)
    return message


def write_bytes(data: bytes) -> UInt8MultiArray:
    message = UInt8MultiArray()
    message.data.frombytes(data)
    return message
