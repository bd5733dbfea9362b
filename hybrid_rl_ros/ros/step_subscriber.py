"""Subscribing to everything that makes a step, joined by stamp and assembled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sensor_msgs.msg import Image, JointState

from hybrid_rl_ros.data.stamp_join import StampJoin
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.step_assembler import StepAssembler, StreamValues
from hybrid_rl_ros.ros.messages import read_image, read_named_vector, stamp_ns
from hybrid_rl_ros.ros.node import GraphNode
from hybrid_rl_ros.ros.qos import STEP

OnStamp = Callable[[int, 'Step | None', dict[str, float]], None]


class StepSubscriber:
    """Calls `on_stamp(stamp_ns, step or None, reward values)` for every stamp of the graph, in order."""

    def __init__(self, node: GraphNode, first_episode: int, on_stamp: OnStamp) -> None:
        self._node = node
        self._on_stamp = on_stamp
        self._assembler = StepAssembler(node.specs, first_episode)
        images = [f'image/{image.camera}' for image in node.specs.observation.images]
        topics = {'state': 'observation/state', 'executed': 'action/executed', 'reward': 'reward'}
        topics |= {stream: f'observation/{stream}' for stream in images}
        self._join = StampJoin(topics, self._on_complete)
        self._dropped_in_episode = 0
        for stream, topic in topics.items():
            message = Image if stream.startswith('image/') else JointState
            node.create_subscription(message, topic, lambda m, s=stream: self._offer(s, m), STEP)

    def _offer(self, stream: str, message: Any) -> None:
        value = read_image(message) if stream.startswith('image/') else read_named_vector(message)
        self._join.offer(stream, stamp_ns(message.header.stamp), value)

    def _on_complete(self, stamp: int, values: dict[str, Any]) -> None:
        if self._join.dropped > self._dropped_in_episode:
            # Stamps given up before the first episode are start-up, not loss.
            if self._node.status.counters['steps']:
                self._node.status.count('dropped_steps', self._join.dropped - self._dropped_in_episode)
            self._dropped_in_episode = self._join.dropped
            self._assembler.break_segment()
        images = {name.removeprefix('image/'): image for name, image in values.items() if name.startswith('image/')}
        streams = StreamValues(values['state'], values['executed'], values['reward'], images)
        step = self._assembler.assemble(stamp, streams)
        if step is not None:
            self._node.status.count('steps')
        self._on_stamp(stamp, step, values['reward'])
