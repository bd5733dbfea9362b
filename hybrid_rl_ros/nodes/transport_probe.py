"""One side of `hybrid-rl bench transport`: sends camera images, or hears them and says how old they were.

    python -m hybrid_rl_ros.nodes.transport_probe send TOPIC WIDTH HEIGHT RATE_HZ FRAMES
    python -m hybrid_rl_ros.nodes.transport_probe hear TOPIC

The sender begins once it is heard. The hearer ends when the sender has left, and prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image

from hybrid_rl_ros.ros.messages import read_image, stamp_ns, write_image
from hybrid_rl_ros.ros.node import die_with_parent
from hybrid_rl_ros.ros.qos import CAMERA, SENSOR

MATCHED_WITHIN_S = 30.0
# The last frames are still on their way when they have been published.
LINGER_S = 0.5


def main() -> None:
    die_with_parent()
    what, topic, *numbers = sys.argv[1:]
    rclpy.init()
    node = rclpy.create_node(f'transport_probe_{what}')
    try:
        if what == 'send':
            width, height, rate_hz, frames = map(int, numbers)
            send(node, topic, width, height, rate_hz, frames)
        else:
            ages_ms = hear(node, topic)
            sys.stdout.write(json.dumps({'ages_ms': ages_ms}) + '\n')
    finally:
        rclpy.try_shutdown()


def send(node: Node, topic: str, width: int, height: int, rate_hz: int, frames: int) -> None:
    """As camera_node does: reliable, stamped when the image is there."""
    publisher = node.create_publisher(Image, topic, CAMERA)
    _until(node, lambda: publisher.get_subscription_count() > 0)
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    began = time.monotonic()
    for number in range(frames):
        time.sleep(max(0.0, began + number / rate_hz - time.monotonic()))
        publisher.publish(write_image(image, time.time_ns(), 'camera'))
    time.sleep(LINGER_S)


def hear(node: Node, topic: str) -> list[float]:
    """As observation_node does: best effort, the newest. How old each image was, in ms, once it was an array."""
    ages_ms: list[float] = []

    def take(message: Image) -> None:
        read_image(message)
        ages_ms.append((time.time_ns() - stamp_ns(message.header.stamp)) / 1e6)

    node.create_subscription(Image, topic, take, SENSOR)
    _until(node, lambda: node.count_publishers(topic) > 0)
    while node.count_publishers(topic):
        rclpy.spin_once(node, timeout_sec=0.1)
    return ages_ms


def _until(node: Node, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MATCHED_WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f'{node.get_name()}: the other side was not found within {MATCHED_WITHIN_S:g} s')
        rclpy.spin_once(node, timeout_sec=0.05)


if __name__ == '__main__':
    main()
