"""From an observation to an action, on the newest weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import UInt8MultiArray, UInt32

from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.acting import PolicyActor, WarmUp
from hybrid_rl_ros.learning.episode_start import EpisodeStart
from hybrid_rl_ros.learning.policies.chunk_executor import ChunkExecutor
from hybrid_rl_ros.learning.policies.shape import shape_of
from hybrid_rl_ros.ros.messages import NS_PER_S, pick, read_image, read_named_vector, write_named_vector
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.observation_subscriber import ObservationSubscriber
from hybrid_rl_ros.ros.qos import LATCHED, STEP
from hybrid_rl_ros.sim.experts import make_expert


class InferenceNode(GraphNode):
    """Subscribes: observation/*, policy/weights (latched), episode, safety/state. Publishes: action/policy,
    policy/version: the version that acts, whenever weights were offered.

    Real time: acts on the newest observation alone, and says nothing once the time of its action has passed; the
    safety node then holds. Lock-step: acts on every one.

    Parameters: source, who acts: `learner` (the weights it publishes; the warm-up before the first),
    `file` (run_dir/policy.safetensors, its mode) or `expert` (the task's scripted expert); expert_noise.
    """

    consumers = {'action/policy': ('safety_node', 'bag_node'), 'policy/version': ('learner_node',)}

    def __init__(self) -> None:
        super().__init__('inference_node')

    def set_up(self) -> None:
        self._source: str = self.parameter('source', 'learner', 'learner, file or expert')
        self._noise: float = self.parameter('expert_noise', 0.0, "the expert's noise, fraction of the range")
        self._action = self.publisher(JointState, 'action/policy', STEP)
        self._version = self.create_publisher(UInt32, 'policy/version', LATCHED)
        # A policy is picked its own numbers: of those that only the critics see, it knows nothing.
        self._policy_specs = self.specs.without_state(self.config.observation.critic_only)
        self._action_names = self.specs.action.names
        self._state_names = self._policy_specs.observation.state.names
        self._chunks = ChunkExecutor(round(self.config.control_period_s * NS_PER_S))
        self._last_action_s: float | None = None
        self._episode = -1.0
        self._start = EpisodeStart(self.lockstep)
        self._act = self._make_source()
        # The task stream is for experts, and says when an episode began; a policy is given the specs' state and images.
        streams = ['task', 'state', *(f'image/{image.camera}' for image in self.specs.observation.images)]
        self._observations = ObservationSubscriber(self, streams, self._on_observation)
        self.create_subscription(DiagnosticArray, 'episode', lambda _: self._chunks.clear(), LATCHED)
        self.create_subscription(DiagnosticArray, 'safety/state', self._on_safety_state, LATCHED)

    def _make_source(self) -> Callable[[dict[str, Any]], np.ndarray]:
        """What turns the messages of one observation into a chunk of actions (h, A)."""
        config = self.config
        if self._source == 'expert':
            self._expert = make_expert(
                config.task, self._noise, config.seed, config.action.max_step_m, config.action.gripper
            )
            return self._act_expert
        self._actor = PolicyActor(
            self._policy_specs, config.inference, config.seed, deterministic=self._source == 'file'
        )
        if self._source == 'file':
            path = self.run_dir / 'policy.safetensors'
            try:
                self._actor.use(path.read_bytes(), str(path))
            except OSError as error:
                raise UserError(f'{path}: no policy to run ({error.strerror}); train first') from None
            self.status.values['weights_sha256'] = self._actor.weights_sha256
        else:
            self._actor.prepare(shape_of(config, config.agent))
            pretrained = self.run_dir / 'pretrained' / 'policy.safetensors'
            noise, sampled = config.train.warm_up_noise, config.starts_pretrained
            self._warm_up = WarmUp(self._policy_specs, pretrained, noise, config.seed, sampled)
            self.create_subscription(UInt8MultiArray, 'policy/weights', self._on_weights, LATCHED)
        self._say_engine()
        return self._act_policy

    def _on_observation(self, stamp: int, messages: dict[str, Any]) -> None:
        began = time.monotonic()
        chunk = self._act(messages)
        self.status.time_ms('inference', (time.monotonic() - began) * 1e3)
        self._chunks.offer(chunk, stamp)
        # What was seen is not of the future, whatever another machine's clock says.
        now = stamp if self.lockstep else max(stamp, self.get_clock().now().nanoseconds)
        action = self._chunks.action(now)
        self.status.counters['dropped_actions'] = self._chunks.dropped
        self.status.counters['underruns'] = self._chunks.underruns
        if action is None:
            return
        named = dict(zip(self._action_names, action.tolist()))
        self._action.publish(write_named_vector(named, stamp, self.robot.base_frame))
        self.status.count('actions')
        if not self.lockstep:
            self._time(now - stamp)

    def _time(self, age: int) -> None:
        now_s = time.monotonic()
        if self._last_action_s is not None:
            self.status.time_ms('period', (now_s - self._last_action_s) * 1e3)
        self._last_action_s = now_s
        self.status.time_ms('observation_age', age * 1e-6)

    def _act_policy(self, messages: dict[str, Any]) -> np.ndarray:
        state = pick(read_named_vector(messages['state']), self._state_names).astype(np.float32)
        images = {
            stream.removeprefix('image/'): read_image(message)
            for stream, message in messages.items()
            if stream.startswith('image/')
        }
        observation = Observation(state, images)
        start = self._start.of(state, read_named_vector(messages['task']))
        if self._actor.has_policy:
            return self._actor.act(observation, start)
        return self._warm_up.act(observation, start)[None]

    def _act_expert(self, messages: dict[str, Any]) -> np.ndarray:
        task = read_named_vector(messages['task'])
        if task['resets'] != self._episode:
            self._episode = task['resets']
            self._expert.reset()
        return self._expert.act(task)[None]

    def _on_safety_state(self, message: DiagnosticArray) -> None:
        mode = message.status[0].message
        self._start.arm_acts = mode.startswith(('policy', 'teleop'))
        if not mode.startswith('policy'):
            self._chunks.clear()

    def _on_weights(self, message: UInt8MultiArray) -> None:
        # Callbacks run one at a time, so weights are only ever swapped between two ticks.
        try:
            self._actor.use(bytes(message.data), 'policy/weights')
        except UserError as error:
            self.status.count('rejected_weights')
            self.get_logger().warning(f'keeping the previous weights: {error}')
        else:
            self.status.values['policy_version'] = self._actor.version
            self.status.values['weights_sha256'] = self._actor.weights_sha256
            self._say_engine()
        # Also after a refusal: in lock-step the learner waits for this answer.
        self._version.publish(UInt32(data=self._actor.version))

    def _say_engine(self) -> None:
        """Once, and again only if weights of another architecture brought another engine."""
        assert self._actor.engine is not None
        if self.status.values.get('inference_engine') != self._actor.engine.name:
            self.status.values['inference_engine'] = self._actor.engine.name
            self.get_logger().info(f'the policy runs by {self._actor.engine.name}')


def main() -> None:
    sys.exit(node_main(InferenceNode))


if __name__ == '__main__':
    main()
