"""From an observation to an action, on the newest weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import UInt8MultiArray, UInt32

from hybrid_rl_ros.data.specs import Observation, require_same_specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.acting import PolicyActor, WarmUp
from hybrid_rl_ros.ros.messages import pick, read_image, read_named_vector, stamp_ns, write_named_vector
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import LATCHED, STEP
from hybrid_rl_ros.ros.stamp_join import StampJoin
from hybrid_rl_ros.sim.experts import make_expert


class InferenceNode(GraphNode):
    """Subscribes: observation/*, policy/weights (latched). Publishes: action/policy, policy/version.

    Parameters: source, who acts: `learner` (the weights it publishes; the warm-up before the first),
    `file` (run_dir/policy.safetensors, its mode) or `expert` (the task's scripted expert); expert_noise.
    """

    consumers = {'action/policy': ('safety_node',), 'policy/version': ('learner_node',)}

    def __init__(self) -> None:
        super().__init__('inference_node')
        self._source: str = self.parameter('source', 'learner', 'learner, file or expert')
        noise = self.parameter('expert_noise', 0.0, 'standard deviation of the expert noise, fraction of the range')
        self._action = self.publisher(JointState, 'action/policy', STEP)
        self._version = self.publisher(UInt32, 'policy/version', LATCHED)
        self._actor = PolicyActor(self.config.seed, deterministic=self._source == 'file')
        self._episode = -1.0
        # The task stream is for experts alone; a policy is given the state and the images of the specs.
        streams = ['task', 'state', *(f'image/{image.camera}' for image in self.specs.observation.images)]
        act: Callable[[dict[str, Any]], np.ndarray] = self._act_policy
        if self._source == 'expert':
            act = self._act_expert
            self._expert = make_expert(
                self.config.task, noise, self.config.seed, self.config.action.max_step_m, self.config.action.gripper
            )
        elif self._source == 'file':
            self._load(self.run_dir / 'policy.safetensors')
        else:
            cloned = self.run_dir / 'pretrained' / 'policy.safetensors'
            self._warm_up = WarmUp(self.specs, cloned, self.config.train.warm_up_noise, self.config.seed)
            self.create_subscription(UInt8MultiArray, 'policy/weights', self._on_weights, LATCHED)
        self._act = act
        self._join = StampJoin(streams, self._on_observation)
        for stream in streams:
            message = Image if stream.startswith('image/') else JointState
            self.create_subscription(message, f'observation/{stream}', lambda m, s=stream: self._offer(s, m), STEP)

    def _offer(self, stream: str, message: Any) -> None:
        self._join.offer(stream, stamp_ns(message.header.stamp), message)
        self.status.counters['dropped_joins'] = self._join.dropped

    def _on_observation(self, stamp: int, messages: dict[str, Any]) -> None:
        began = time.monotonic()
        action = self._act(messages)
        self.status.time_ms('inference', (time.monotonic() - began) * 1e3)
        self._action.publish(write_named_vector(dict(zip(self.specs.action.names, action.tolist())), stamp))
        self.status.count('actions')

    def _act_policy(self, messages: dict[str, Any]) -> np.ndarray:
        state = pick(read_named_vector(messages['state']), self.specs.observation.state.names)
        images = {
            stream.removeprefix('image/'): read_image(message)
            for stream, message in messages.items()
            if stream.startswith('image/')
        }
        actor = self._actor if self._actor.has_policy else self._warm_up
        return actor.act(Observation(state.astype(np.float32), images))

    def _act_expert(self, messages: dict[str, Any]) -> np.ndarray:
        task = read_named_vector(messages['task'])
        if task['resets'] != self._episode:
            self._episode = task['resets']
            self._expert.reset()
        return self._expert.act(task)

    def _on_weights(self, message: UInt8MultiArray) -> None:
        # Callbacks run one at a time, so weights are only ever swapped between two ticks.
        try:
            version = self._actor.use(bytes(message.data), 'policy/weights')
        except UserError as error:
            self.status.count('rejected_weights')
            self.get_logger().warning(f'keeping the previous weights: {error}')
            return
        self.status.values['policy_version'] = version
        self._version.publish(UInt32(data=version))

    def _load(self, path: Any) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f'{path}: no policy to run ({error.strerror}); train first') from None
        self._actor.use(data, str(path))
        require_same_specs(self._actor.specs, self.specs, str(path))
        self.status.values['weights_sha256'] = self._actor.weights_sha256


def main() -> None:
    sys.exit(node_main(InferenceNode))


if __name__ == '__main__':
    main()
