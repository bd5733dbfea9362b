"""The owner of the episode: reward, success, time limit, reset."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.client import Client
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from hybrid_rl_ros.control.episode import Episode
from hybrid_rl_ros.nodes.episode_numbers import episodes_held
from hybrid_rl_ros.rewards.scripted import judge
from hybrid_rl_ros.ros.episode_services import EpisodeServices
from hybrid_rl_ros.ros.messages import read_named_vector, stamp_ns, to_header, write_named_vector
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import LATCHED, LATCHED_MANY, STEP

EPISODE_CONSUMERS = ('recorder_node', 'learner_node', 'bag_node')


class RewardResetNode(GraphNode):
    """Subscribes: observation/task, graph/ready, safety/state. Publishes: reward and episode.

    Calls sim/reset; on a real arm a person resets and judges instead (ros/episode_services.py). A person's word goes
    over the simulation's, and where nobody but a person acts, each episode waits until they begin it.
    `reward` carries, at every stamp: reward, terminal and truncated of the arrival at this step, running (whether
    the action of this stamp belongs to the episode), episode and step. `episode` (latched) carries each change of
    state with the stamp at which it began. The first reset waits until every node of the run is ready.
    """

    consumers = {'reward': ('safety_node', *EPISODE_CONSUMERS), 'episode': ('recorder_node', 'bag_node')}

    def __init__(self) -> None:
        super().__init__('reward_reset_node')

    def set_up(self) -> None:
        self._episode = Episode(self.config.episode.time_limit_steps, number=episodes_held(self.run_dir / 'replay') - 1)
        self._resets_seen = 0.0
        self._reset_asked = False
        self._ready_peers: set[str] = set()
        self._fault = ''
        self._at_rest = True
        self._last_observation = time.monotonic()
        self._reward = self.publisher(JointState, 'reward', STEP)
        self._state = self.publisher(DiagnosticArray, 'episode', LATCHED)
        self._reset: Client | None = self.create_client(Trigger, 'sim/reset') if self.config.sim else None
        self._waits_for_person = self._reset is None or 'inference_node' not in self.peers
        self._person = EpisodeServices(self, self._cannot_begin, lambda: self._episode.running, self._discard)
        self._begun = 0
        self.create_subscription(String, 'graph/ready', self._on_ready, LATCHED_MANY)
        self.create_subscription(JointState, 'observation/task', self._on_task, STEP)
        self.create_subscription(DiagnosticArray, 'safety/state', self._on_safety, LATCHED)
        self.every(0.1, self._watch)

    def _on_ready(self, message: String) -> None:
        self._ready_peers.add(message.data)

    def _on_safety(self, message: DiagnosticArray) -> None:
        """A fault ends the episode without a label, and the next one waits until a person has cleared it."""
        status = message.status[0]
        self._fault = status.message if status.level == DiagnosticStatus.ERROR else ''
        self._at_rest = any(item.key == 'at_rest' and item.value == 'true' for item in status.values)
        if self._fault and self._episode.running:
            self._episode.abort()
            self._publish_state(self.get_clock().now().nanoseconds, self._fault)

    def _watch(self) -> None:
        silence_s = time.monotonic() - self._last_observation
        if not self.lockstep and self._episode.running and silence_s > self.config.episode.observation_timeout_s:
            self._episode.abort()
            self._publish_state(self.get_clock().now().nanoseconds, f'no observation for {silence_s:.1f} s')
        if self.active and not self._episode.running:
            self._ask_for_reset()

    def _discard(self) -> None:
        self._episode.abort()
        self._publish_state(self.get_clock().now().nanoseconds, 'discarded by a person')

    def _cannot_begin(self) -> str:
        """Why a person cannot begin an episode, or ''."""
        if not self._waits_for_person:
            return 'episodes begin by themselves here'
        # A simulation's reset waits until the arm is at rest.
        return self._hindrance(may_move=self._reset is not None)

    def _hindrance(self, may_move: bool = False) -> str:
        """Why no episode can begin, or ''."""
        absent = sorted(set(self.peers) - self._ready_peers)
        if absent:
            return f'{absent[0]} is not ready'
        if self._fault:
            return f'safety_node: {self._fault}'
        # In real time a braking arm finishes before the scene is touched; in lock-step nothing moves in between.
        return '' if may_move or self.lockstep or self._at_rest else 'the arm is still moving'

    def _ask_for_reset(self) -> Future | None:
        if self._waits_for_person and self._person.begun == self._begun:
            self.status.warning = self._hindrance() or f'waiting for a person: {self.get_name()}/begin'
            return None
        if self._reset is None or self._reset_asked or self._hindrance() or not self._reset.service_is_ready():
            return None
        self._reset_asked = True
        self._begun = self._person.begun
        future = self._reset.call_async(Trigger.Request())
        future.add_done_callback(self._on_reset_answer)
        return future

    def _on_reset_answer(self, future: Future) -> None:
        answer = future.result()
        if answer is None or not answer.success:
            # Asked again at the next watch; until it works no episode begins.
            self._reset_asked = False
            self.get_logger().error(f'sim/reset failed: {answer.message if answer else "no answer"}')

    def _on_task(self, message: JointState) -> None:
        self._last_observation = time.monotonic()
        stamp = stamp_ns(message.header.stamp)
        nobody_judged = {'success': 0.0, 'failure': 0.0}
        task = nobody_judged | read_named_vector(message) | self._person.take_verdict()
        if self._reset is None:
            task['resets'] = float(self._person.begun)
        if task['resets'] > self._resets_seen:
            self._resets_seen = task['resets']
            self._reset_asked = False
            self.status.warning = ''
            self._episode.start()
            self._publish_state(stamp, 'reset done')
            if self._fault:
                self._episode.abort()
                self._publish_state(stamp, self._fault)
            self._publish_reward(stamp, 0.0)
        elif self._episode.running:
            self._arrive(stamp, task)
        else:
            self._publish_reward(stamp, 0.0)

    def _arrive(self, stamp: int, task: dict[str, float]) -> None:
        verdict = judge(task, self.config.reward)
        self._episode.arrive(verdict.reward, verdict.succeeded, verdict.failed, verdict.truncated)
        if self._episode.running:
            self._publish_reward(stamp, verdict.reward)
            return
        self._publish_state(stamp, 'task')
        future = self._ask_for_reset()
        if self.lockstep and future is not None:
            # The step after the last is then always the next start, however fast the machines are.
            future.add_done_callback(lambda _: self._publish_reward(stamp, verdict.reward))
        else:
            self._publish_reward(stamp, verdict.reward)

    def _publish_reward(self, stamp: int, reward: float) -> None:
        episode = self._episode
        arrived = episode.steps > 0 or episode.running
        values: dict[str, Any] = {
            'reward': reward,
            'terminal': float(episode.terminal and arrived),
            'truncated': float(episode.truncated and arrived),
            'running': float(episode.running),
            'episode': float(episode.number),
            'step': float(episode.steps),
        }
        self._reward.publish(write_named_vector(values, stamp))

    def _publish_state(self, stamp: int, cause: str) -> None:
        episode = self._episode
        status = DiagnosticStatus(name='reward_reset_node: episode', message=episode.state, hardware_id=self.robot.name)
        status.level = DiagnosticStatus.WARN if episode.state == 'aborted' else DiagnosticStatus.OK
        values = {'episode': episode.number, 'steps': episode.steps, 'return': episode.return_, 'cause': cause}
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self._state.publish(DiagnosticArray(header=to_header(stamp), status=[status]))
        self.status.count(episode.state)


def main() -> None:
    node_main(RewardResetNode)


if __name__ == '__main__':
    main()
