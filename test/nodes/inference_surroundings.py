"""The rest of the graph, in place of which a test process talks to inference_node."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import UInt8MultiArray, UInt32

from hybrid_rl_ros.bringup import node_status
from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.ros.messages import pick, read_named_vector, stamp_ns, write_bytes, write_image, write_named_vector
from hybrid_rl_ros.ros.qos import LATCHED, STEP


class Surroundings:
    """Publishes observations and weights, hears actions and versions. ROS must be up."""

    def __init__(self, run: Path, specs: Specs) -> None:
        self.run, self.specs = run, specs
        self._node = rclpy.create_node('surroundings')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self.actions: list[tuple[int, np.ndarray]] = []
        self.noises: dict[int, np.ndarray] = {}
        self.versions: list[int] = []
        self._publishers = {
            stream: self._node.create_publisher(
                Image if stream.startswith('image/') else JointState, f'observation/{stream}', STEP
            )
            for stream in ('task', 'state', *(f'image/{image.camera}' for image in specs.observation.images))
        }
        self._weights = self._node.create_publisher(UInt8MultiArray, 'policy/weights', LATCHED)
        self._safety = self._node.create_publisher(DiagnosticArray, 'safety/state', LATCHED)
        self._node.create_subscription(JointState, 'action/policy', self._on_action, STEP)
        self._node.create_subscription(UInt32, 'policy/version', lambda m: self.versions.append(m.data), STEP)

    def _on_action(self, message: JointState) -> None:
        stamp, named = stamp_ns(message.header.stamp), read_named_vector(message)
        self.actions.append((stamp, pick(named, self.specs.action.names)))
        noise = [value for name, value in named.items() if name.startswith('latent/')]
        if noise:
            self.noises[stamp] = np.array(noise, np.float32)

    def wait(self, condition: Callable[[], bool], within_s: float = 30.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, 'the condition did not come true in time'
            self._executor.spin_once(timeout_sec=0.02)

    def spin(self, for_s: float) -> None:
        until = time.monotonic() + for_s
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def wait_for_matches(self) -> None:
        publishers = [*self._publishers.values(), self._weights, self._safety]
        self.wait(lambda: all(publisher.get_subscription_count() for publisher in publishers))
        self.wait(lambda: self._node.count_publishers('action/policy') > 0)
        self.wait(lambda: bool(self._node.count_publishers('policy/version')))

    def now(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def observe(self, stamp: int, seed: int = 0, resets: float = 1.0) -> Observation:
        """Publish one observation; what it was."""
        rng = np.random.default_rng(seed)
        state = dict(zip(self.specs.observation.state.names, rng.uniform(-0.5, 0.5, 100).astype(np.float32).tolist()))
        images = {i.camera: rng.integers(0, 256, i.shape, dtype=np.uint8) for i in self.specs.observation.images}
        for camera, image in images.items():
            self._publishers[f'image/{camera}'].publish(write_image(image, stamp, camera))
        self._publishers['state'].publish(write_named_vector(state, stamp))
        self._publishers['task'].publish(write_named_vector({'resets': resets}, stamp))
        return Observation(np.array(list(state.values()), np.float32), images)

    def say_safety(self, message: str) -> None:
        self._safety.publish(DiagnosticArray(status=[DiagnosticStatus(message=message)]))

    def action_for(self, stamp: int) -> np.ndarray:
        self.wait(lambda: any(at == stamp for at, _ in self.actions))
        return next(action for at, action in self.actions if at == stamp)

    def publish_weights(self, data: bytes) -> int:
        """The version that acts once inference_node has answered."""
        answered = len(self.versions)
        self._weights.publish(write_bytes(data))
        self.wait(lambda: len(self.versions) > answered)
        return self.versions[-1]

    def require_acts(self, policy: Policy, data: bytes, version: int, stamp: int) -> None:
        """Publish `data`; then `version` is in force and the action is that of `policy`."""
        assert self.publish_weights(data) == version
        observation = self.observe(stamp)
        np.testing.assert_allclose(self.action_for(stamp), policy.act(observation)[0], atol=1e-4)

    def count(self, name: str) -> int:
        return node_status(self.run, 'inference_node').get('counters', {}).get(name, 0)

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
