"""Subscribing to everything that makes a step, joined by stamp and assembled."""

from __future__ import annotations

from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.step_builder import OnStamp, StepBuilder, step_topics
from hybrid_rl_ros.ros.messages import to_header
from hybrid_rl_ros.ros.node import GraphNode
from hybrid_rl_ros.ros.qos import LATCHED, STEP


class StepSubscriber:
    """Calls `on_stamp(stamp_ns, step or None, reward values)` for every stamp of the graph, in order.

    When that ends the node, and with it the run, `graph/ended` says at which stamp: what a recording has beyond it
    belongs to no run.
    """

    def __init__(self, node: GraphNode, first_episode: int, on_stamp: OnStamp) -> None:
        self._node = node
        self._on_stamp = on_stamp
        self._builder = StepBuilder(node.specs, first_episode, self._on_complete)
        self._ended = node.create_publisher(Header, 'graph/ended', LATCHED)
        for stream, topic in step_topics(node.specs).items():
            message = Image if stream.startswith('image/') else JointState
            node.create_subscription(message, topic, lambda m, s=stream: self._builder.offer(s, m), STEP)

    def _on_complete(self, stamp: int, step: Step | None, reward: dict[str, float]) -> None:
        counters = self._node.status.counters
        counters['dropped_steps'], counters['steps'] = self._builder.dropped_steps, self._builder.steps
        self._on_stamp(stamp, step, reward)
        if self._node.exit_code is not None:
            self._ended.publish(to_header(stamp))
