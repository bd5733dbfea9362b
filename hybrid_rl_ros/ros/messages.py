"""numpy to ROS messages and back: stamps, named vectors, images, bytes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header, UInt8MultiArray

NS_PER_S = 1_000_000_000


def stamp_ns(stamp: Time) -> int:
    return stamp.sec * NS_PER_S + stamp.nanosec


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


def read_named_vector(message: JointState) -> dict[str, float]:
    """Raises ValueError when names and numbers differ in count, or a name comes twice."""
    if len(message.name) != len(message.position):
        raise ValueError(f'{len(message.name)} names for {len(message.position)} numbers')
    if len(set(message.name)) != len(message.name):
        raise ValueError(f'a name comes twice: {list(message.name)}')
    return dict(zip(message.name, message.position))


def pick(values: Mapping[str, float], names: Iterable[str]) -> np.ndarray:
    """(len(names),) float64 in the order of `names`. Raises KeyError with the missing name."""
    return np.array([values[name] for name in names])


def write_image(image: np.ndarray, stamp: int, frame_id: str) -> Image:
    """(H, W, 3) uint8 RGB to an `rgb8` message."""
    height, width, _ = image.shape
    message = Image(header=to_header(stamp, frame_id), height=height, width=width, encoding='rgb8', step=3 * width)
    # Assigning bytes or a list copies element by element; frombytes is fifty times faster.
    message.data.frombytes(np.ascontiguousarray(image).data)
    return message


# Encoding to channels and to which of them are red, green and blue.
_ENCODINGS: dict[str, tuple[int, slice | list[int]]] = {
    'rgb8': (3, slice(0, 3)),
    'bgr8': (3, slice(None, None, -1)),
    'rgba8': (4, slice(0, 3)),
    'bgra8': (4, [2, 1, 0]),
    'mono8': (1, [0, 0, 0]),
}


def is_readable(encoding: str) -> bool:
    return encoding in _ENCODINGS


def read_image(message: Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB, a view of the message where possible. Raises ValueError for other encodings."""
    if message.encoding not in _ENCODINGS:
        raise ValueError(f'encoding {message.encoding!r}; expected one of {", ".join(_ENCODINGS)}')
    channels, colours = _ENCODINGS[message.encoding]
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    image = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
    return image[:, :, colours]


def write_bytes(data: bytes) -> UInt8MultiArray:
    message = UInt8MultiArray()
    message.data.frombytes(data)
    return message
