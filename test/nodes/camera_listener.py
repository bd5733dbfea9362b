"""Listens to one camera and to /diagnostics, and prints a JSON object for each message, a line each.

Arguments: the camera; how many stamps must have come with both image and camera_info before it ends; and what a
diagnosis must have begun with before it ends, or nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image

from hybrid_rl_ros.ros.messages import read_image, stamp_ns
from hybrid_rl_ros.ros.qos import CAMERA, STEP


def main() -> None:
    camera, wanted, state = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    rclpy.init()
    node = rclpy.create_node('camera_listener')
    images: set[int] = set()
    infos: set[int] = set()
    seen = [not state]

    def on_image(message: Image) -> None:
        images.add(stamp_ns(message.header.stamp))
        image = read_image(message)
        say(image=stamp_ns(message.header.stamp), shape=image.shape, pixel=image[0, 0].tolist(), **of(message))

    def on_info(message: CameraInfo) -> None:
        infos.add(stamp_ns(message.header.stamp))
        say(
            info=stamp_ns(message.header.stamp), shape=[message.height, message.width], k=list(message.k), **of(message)
        )

    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            values = {value.key: value.value for value in status.values}
            say(node=status.name, level=status.level[0], message=status.message, values=values)
            seen[0] = seen[0] or status.message.startswith(state)

    subscribe: Callable[..., object] = node.create_subscription
    subscribe(Image, f'{camera}/image_raw', on_image, CAMERA)
    subscribe(CameraInfo, f'{camera}/camera_info', on_info, CAMERA)
    subscribe(DiagnosticArray, '/diagnostics', on_diagnostics, STEP)
    while len(images & infos) < wanted or not seen[0]:
        rclpy.spin_once(node, timeout_sec=0.1)
    rclpy.try_shutdown()


def of(message: Image | CameraInfo) -> dict[str, str]:
    return {'frame': message.header.frame_id}


def say(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + '\n')


if __name__ == '__main__':
    main()
