"""Temperatures of a robot's parts, which come by and by and each by a topic of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from functools import partial

from rclpy.node import Node
from sensor_msgs.msg import Temperature

from hybrid_rl_ros.ros.qos import SENSOR

OLDEST_S = 10.0


class Temperatures:
    """`numbers`: temperature.<name> in degrees Celsius, of those of `topics` that are among `wanted`."""

    def __init__(self, node: Node, topics: Mapping[str, str], wanted: Iterable[str]) -> None:
        names = {name.removeprefix('temperature.') for name in wanted if name.startswith('temperature.')}
        self._topics = {name: topic for name, topic in topics.items() if name in names}
        self._heard_s: dict[str, float] = {}
        self.numbers: dict[str, float] = {}
        for name, topic in self._topics.items():
            node.create_subscription(Temperature, topic, partial(self._on_temperature, name), SENSOR)

    def _on_temperature(self, name: str, message: Temperature) -> None:
        if math.isfinite(message.temperature):
            self.numbers[f'temperature.{name}'] = message.temperature
            self._heard_s[name] = time.monotonic()

    def late(self) -> str:
        """A topic from which nothing came for ten seconds, or ''."""
        now_s = time.monotonic()
        silent = [
            topic for name, topic in self._topics.items() if now_s - self._heard_s.get(name, -math.inf) > OLDEST_S
        ]
        return silent[0] if silent else ''
