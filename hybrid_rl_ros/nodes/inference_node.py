"""From an observation to an action, on the newest weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import UInt8MultiArray, UInt32

from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.data.step_assembler import noise_names
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.acting import Moment, PolicyActor, WarmUp
from hybrid_rl_ros.learning.episode_start import EpisodeStart
from hybrid_rl_ros.learning.policies.history import History
from hybrid_rl_ros.learning.policies.kinds import shape_of_agent
from hybrid_rl_ros.learning.policies.network import Plan
from hybrid_rl_ros.learning.policies.planner import Planner
from hybrid_rl_ros.ros.messages import NS_PER_S, pick, read_image, read_named_vector, write_named_vector
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.observation_subscriber import ObservationSubscriber
from hybrid_rl_ros.ros.qos import LATCHED, STEP
from hybrid_rl_ros.sim.experts import make_expert, told_of_task

# Of safety_node: nothing but an action of the policy is missing.
WAITS_FOR_POLICY = ('hold: no action', 'hold: no action yet')


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
        self._period = round(self.config.control_period_s * NS_PER_S)
        self._steps_per_plan = self.config.steps_per_plan
        # In lock-step nothing passes while a plan is made.
        ahead = self._steps_per_plan > 1 and not self.lockstep
        self._planner = Planner(self._period, self._steps_per_plan, ahead, self.config.base.blend)
        seen = self.config.states_seen
        self._history = History(seen) if seen > 1 else None
        self._last_action_s: float | None = None
        self._episode = self._planned_in = -1.0
        # What is planned in one stretch follows upon what was planned in it before: an episode, or less.
        self._stretch = 0
        self._start = EpisodeStart(self.lockstep)
        self._act = self._make_source()
        # The task stream is for experts, and says when an episode began; a policy is given the specs' state and images.
        streams = ['task', 'state', *(f'image/{image.camera}' for image in self.specs.observation.images)]
        self._observations = ObservationSubscriber(self, streams, self._on_observation)
        if not self.lockstep:
            # In lock-step observations tell of a new episode; when this does is no part of what is repeated.
            self.create_subscription(DiagnosticArray, 'episode', self._on_episode, LATCHED)
        self.create_subscription(DiagnosticArray, 'safety/state', self._on_safety_state, LATCHED)

    def _make_source(self) -> Callable[[dict[str, Any], np.ndarray, Moment], Plan]:
        """What turns the messages of one observation into a plan."""
        config = self.config
        if self._source == 'expert':
            self._expert = make_expert(
                config.task, self._noise, config.seed, config.action.max_step_m, config.action.gripper
            )
            return self._act_expert
        self._actor = PolicyActor(
            self._policy_specs,
            config.inference,
            config.seed,
            deterministic=self._source == 'file' and not config.evaluates_sampled,
        )
        if self._source == 'file':
            path = self.run_dir / 'policy.safetensors'
            try:
                self._actor.use(path.read_bytes(), str(path))
            except OSError as error:
                raise UserError(f'{path}: no policy to run ({error.strerror}); train first') from None
            self.status.values['weights_sha256'] = self._actor.weights_sha256
        else:
            self._actor.prepare(shape_of_agent(config), config.agent)
            pretrained = self.run_dir / 'pretrained' / 'policy.safetensors'
            noise, sampled = config.train.warm_up_noise, config.starts_pretrained
            self._warm_up = WarmUp(self._policy_specs, pretrained, noise, config.seed, sampled)
            self.create_subscription(UInt8MultiArray, 'policy/weights', self._on_weights, LATCHED)
        self._say_engine()
        return self._act_policy

    def _on_observation(self, stamp: int, messages: dict[str, Any]) -> None:
        begins = self._begins_episode(messages)
        if begins and self.lockstep and self.role == 'train':
            self._explore(not self.config.eval.is_due(round(self._planned_in) - 1))
        state = pick(read_named_vector(messages['state']), self._state_names).astype(np.float32)
        states = self._history.add(state, begins) if self._history else state
        self._stretch += begins
        moment = Moment(self._stretch, round(stamp / self._period))
        action, noise = self._planner.action(
            lambda: self._act(messages, states, moment),
            stamp,
            lambda: self._now(stamp),
            anew=begins and self._steps_per_plan > 1,
        )
        if self._planner.inference_ms is not None:
            self.status.time_ms('inference', self._planner.inference_ms)
            self._planner.inference_ms = None
        self.status.counters['dropped_actions'] = self._planner.chunks.dropped
        self.status.counters['underruns'] = self._planner.chunks.underruns
        if action is None:
            return
        named = dict(zip(self._action_names, action.tolist()))
        if noise is not None:
            # Beside the first action that was made from it.
            named |= dict(zip(noise_names(self._action_names, len(noise)), noise.ravel().tolist()))
        self._action.publish(write_named_vector(named, stamp, self.robot.base_frame))
        self.status.count('actions')
        if not self.lockstep:
            self._time(max(0, self.get_clock().now().nanoseconds - stamp))

    def _now(self, stamp: int) -> int:
        """The time whose action is due at the observation of `stamp`."""
        if self.lockstep:
            return stamp
        # What was seen is not of the future, whatever another machine's clock says.
        now = max(stamp, self.get_clock().now().nanoseconds)
        # Observations do not come on the dot: in the middle of its slot, one that is early finds its own action.
        return now if self._steps_per_plan == 1 else now + self._period // 2

    def _begins_episode(self, messages: dict[str, Any]) -> bool:
        """Whether a simulation was reset since the last plan; on a real arm the topic `episode` says so."""
        before, self._planned_in = self._planned_in, read_named_vector(messages['task']).get('resets', -1.0)
        return before != self._planned_in

    def _on_episode(self, message: DiagnosticArray) -> None:
        self._forget()
        if self.role == 'train':
            self._explore(all(item.key != 'evaluation' for item in message.status[0].values))

    def _explore(self, explore: bool) -> None:
        if self._source == 'learner':
            with self._planner.lock:
                self._actor.deterministic = not explore and not self.config.evaluates_sampled

    def _time(self, age: int) -> None:
        now_s = time.monotonic()
        if self._last_action_s is not None:
            self.status.time_ms('period', (now_s - self._last_action_s) * 1e3)
        self._last_action_s = now_s
        self.status.time_ms('observation_age', age * 1e-6)

    def _act_policy(self, messages: dict[str, Any], states: np.ndarray, moment: Moment) -> Plan:
        images = {
            stream.removeprefix('image/'): read_image(message)
            for stream, message in messages.items()
            if stream.startswith('image/')
        }
        observation = Observation(states, images)
        start = self._start.of(np.atleast_2d(states)[-1], read_named_vector(messages['task']))
        if self._actor.has_policy:
            return self._actor.plan(observation, start, moment)
        return self._warm_up.plan(observation, start, explore=not self._actor.deterministic)

    def _act_expert(self, messages: dict[str, Any], *_: object) -> Plan:
        task = read_named_vector(messages['task'])
        if task['resets'] != self._episode:
            self._episode = task['resets']
            self._expert.reset()
        return Plan(self._expert.act(told_of_task(task, self.config.practice))[None])

    def _on_safety_state(self, message: DiagnosticArray) -> None:
        mode = message.status[0].message
        self._start.arm_acts = mode.startswith(('policy', 'teleop'))
        # Where the arm only waits for the policy it stays, and what is being planned for it holds.
        if not mode.startswith('policy') and mode not in WAITS_FOR_POLICY and not self.lockstep:
            self._forget()

    def _forget(self) -> None:
        """What was planned, and what was seen before: the arm has been elsewhere, or will be."""
        self._planner.forget()
        self._stretch += 1
        self._last_action_s = None
        if self._history:
            self._history.clear()

    def _on_weights(self, message: UInt8MultiArray) -> None:
        # Never in the middle of a plan: callbacks run one at a time, and a plan made in a thread holds the lock.
        try:
            with self._planner.lock:
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
    node_main(InferenceNode)


if __name__ == '__main__':
    main()
