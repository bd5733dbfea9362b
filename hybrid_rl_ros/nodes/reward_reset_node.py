"""The owner of the episode: reward, success, time limit, reset."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.client import Client
from rclpy.task import Future
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from hybrid_rl_ros.control.episode import Episode
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.practice_watch import PracticeWatch
from hybrid_rl_ros.control.reach import Reach
from hybrid_rl_ros.control.stuck import StuckWatch
from hybrid_rl_ros.data.stamp_join import StampJoin
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.nodes.episode_numbers import episodes_held
from hybrid_rl_ros.person_caller import PersonCaller
from hybrid_rl_ros.reward_config import STEADY_STEPS
from hybrid_rl_ros.rewards.autonomous_reset import AutonomousReset
from hybrid_rl_ros.rewards.disputes import Disputes
from hybrid_rl_ros.rewards.practised_tasks import PractisedTasks
from hybrid_rl_ros.rewards.reset_source import make_reset_source
from hybrid_rl_ros.rewards.sights import make_sight
from hybrid_rl_ros.rewards.source import Seen
from hybrid_rl_ros.ros.episode_messages import episode_message, reward_values
from hybrid_rl_ros.ros.episode_services import EpisodeServices
from hybrid_rl_ros.ros.messages import read_image, read_named_vector, stamp_ns, write_named_vector
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import LATCHED, LATCHED_MANY, STEP
from hybrid_rl_ros.run_folder import whole_episodes

EPISODE_CONSUMERS = ('recorder_node', 'learner_node', 'bag_node')


class RewardResetNode(GraphNode):
    """Subscribes: observation/task, and the state and the images if the reward looks at them; graph/ready and
    safety/state. Publishes: reward and episode, and with several tasks practice: at each step which is next.

    Judges every step as the configuration says (rewards/judge.py). Calls sim/reset; on a real arm a person resets
    instead (ros/episode_services.py). A person's word goes over everybody's, and where nobody but a person acts, each
    episode waits until they begin it.
    `reward` carries, at every stamp: reward, terminal, truncated and succeeded of the arrival at this step, running
    (whether the action of this stamp belongs to the episode), episode and step, and evaluation where there are any.
    `episode` (latched) carries each change of state with the stamp at which it began, its cause and, where they apply,
    the task, `evaluation` (this episode is one without exploring) and, in a simulation that is not the judge, whether
    it is the simulation's success too (true_success). The first reset waits until every node of the run is ready.
    Parameter label: record what a success classifier learns from: success ends nothing and is 1 wherever it is seen.
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
        self._state = self.publisher(DiagnosticArray, 'episode', LATCHED_MANY)
        self._reset: Client | None = self.create_client(Trigger, 'sim/reset') if self.config.sim else None
        self._autonomous = self._make_autonomous()
        resets_itself = self._reset is not None or self._autonomous is not None or bool(self.config.practice.tasks)
        self._waits_for_person = not resets_itself or 'inference_node' not in self.peers
        self._own_resets = 0
        self._resetting = False
        self._needs_person = ''
        self._caller = PersonCaller(self.config.reset.call, self.config.reset.call_for_fault_after_s)
        self._practice = PracticeWatch(self.config.episode)
        self._person = EpisodeServices(
            self, self._cannot_begin, lambda: self._episode.running, self._discard, self._dispute
        )
        self._begun = 0
        labelling: bool = self.parameter('label', False, 'success ends nothing and is 1 wherever it is seen')
        self._tasks = PractisedTasks(self.config, self.specs, labelling)
        self._judge = self._tasks.judge
        if self._reset is None and (ended := whole_episodes(self.run_dir)):
            # The scene is as that one left it.
            self._tasks.graph.go_on_after(ended[-1].get('task', ''), ended[-1]['outcome'] == 'succeeded')
        if self.config.practice.tasks:
            self.consumers = {**self.consumers, 'practice': ('observation_node',)}
            self._next_task = self.publisher(JointState, 'practice', STEP)
        stuck = self.config.episode.stuck
        self._stuck = StuckWatch(stuck.within_m, round(stuck.for_s * self.config.control_rate_hz)) if stuck else None
        self._true_success: bool | None = None
        self._evaluates = False
        self._disputes = Disputes(self.run_dir, self.specs, self.config.reward.success_reward)
        self._ended = ''
        self._last_seen: deque[Seen] = deque(maxlen=STEADY_STEPS)
        self.create_subscription(String, 'graph/ready', self._on_ready, LATCHED_MANY)
        self._join = StampJoin(self._streams(), self._on_step)
        for stream in self._streams():
            message = Image if stream.startswith('image/') else JointState
            self.create_subscription(message, f'observation/{stream}', lambda m, s=stream: self._on_part(s, m), STEP)
        self.create_subscription(DiagnosticArray, 'safety/state', self._on_safety, LATCHED)
        self.every(0.1, self._watch)

    def _make_autonomous(self) -> AutonomousReset | None:
        config = self.config.reset
        if not config.by_arm:
            return None
        rate_hz, seed = self.config.control_rate_hz, [self.config.seed, self._episode.number + 1]
        reach = Reach.of(self.robot, self.config.action, ArmKinematics(self.robot))
        source = make_reset_source(config, reach, rate_hz, np.random.default_rng(seed))
        verify = make_sight(config.verify, self.specs) if config.verify else None
        self.consumers = {**self.consumers, 'action/reset': ('safety_node',)}
        self._reset_action = self.publisher(JointState, 'action/reset', STEP)
        return AutonomousReset(config, source, verify, rate_hz, self._on_reset_change)

    def close(self) -> None:
        self._disputes.close()

    def start(self) -> None:
        if self._reset is None and not self._episode.running:
            self._begin_routine()

    def _on_ready(self, message: String) -> None:
        self._ready_peers.add(message.data)

    def _on_safety(self, message: DiagnosticArray) -> None:
        """A fault ends the episode without a label, and the next one waits until a person has cleared it."""
        status = message.status[0]
        before, self._fault = self._fault, status.message if status.level == DiagnosticStatus.ERROR else ''
        self._at_rest = any(item.key == 'at_rest' and item.value == 'true' for item in status.values)
        if self._fault and self._episode.running:
            self._abort(self._fault)
        elif self._fault and self._fault != before and self._autonomous and self._autonomous.runs:
            # Whatever was done by then, it begins anew when a person has cleared the fault.
            self._autonomous.begin(self._fault)
        elif self._fault != before and not self._episode.running:
            self._say_resetting(self._fault or 'the fault was cleared')

    def _watch(self) -> None:
        silence_s = time.monotonic() - self._last_observation
        if not self.lockstep and self._episode.running and silence_s > self.config.episode.observation_timeout_s:
            self._abort(f'no observation for {silence_s:.1f} s')
        if self.active and not self._episode.running:
            self._ask_for_reset()
        if self._caller.watch(self._fault, time.monotonic()):
            self.get_logger().error(f'safety_node: {self._fault}; a person was called')
        while complaint := self._caller.complaint():
            self.get_logger().error(complaint)

    def _discard(self) -> None:
        self._abort('discarded by a person')

    def _dispute(self, word: str) -> str:
        """A person's word on the episode that has just ended: what was seen last is kept, to learn from."""
        if self._ended not in ('succeeded', 'timed_out', 'failed'):
            return 'no episode is under way'
        if not self._judge.sees:
            return f'the episode has ended, judged so: {self._ended}; only what a classifier judges is looked at again'
        if (word == 'success') == (self._ended == 'succeeded'):
            return f'the episode that has just ended was judged so: {self._ended}'
        self.status.count('disputed_frames', self._disputes.keep(self._last_seen, word == 'success'))
        self._ended = ''
        return ''

    def _abort(self, cause: str) -> None:
        self._episode.abort()
        self._publish_state(self.get_clock().now().nanoseconds, cause)
        self._begin_routine()

    def _begin_routine(self) -> None:
        if self._autonomous:
            self._autonomous.begin()

    def _on_reset_change(self, cause: str) -> None:
        """The routine began, or begins anew, or has given up."""
        if self._autonomous and self._autonomous.phase == 'called':
            self._call(cause)
        else:
            self._say_resetting(cause)

    def _say_resetting(self, cause: str) -> None:
        self._episode.reset()
        self._publish_state(self.get_clock().now().nanoseconds, cause)

    def _call(self, why: str) -> None:
        """Nothing moves any more until a person says ~/begin."""
        if self._tasks.graph.current:
            why = f'{why}; {self._tasks.graph.current} is next'
        self._needs_person, self._begun = why, self._person.begun
        self._say_resetting(f'needs a person: {why}')
        self.get_logger().error(f'needs a person: {why}')
        self.status.count('calls_for_a_person')
        self._caller.call(why)

    def _cannot_begin(self) -> str:
        """Why a person cannot begin an episode, or ''."""
        if not self._waits_for_person and not self._needs_person:
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
        begun = self._person.begun > self._begun
        if self._needs_person:
            if not begun:
                self.status.warning = f'needs a person: {self._needs_person}; then {self.get_name()}/begin'
                return None
            self._needs_person = ''
            self._say_resetting('begun by a person')
            if self._autonomous and self._autonomous.phase == 'called':
                # The arm could not; a person has put the scene in place.
                self._autonomous.take_as_done()
            elif self._autonomous:
                self._autonomous.begin()
        if self._autonomous and self._autonomous.runs:
            return None
        if self._waits_for_person and not begun:
            self.status.warning = self._hindrance() or f'waiting for a person: {self.get_name()}/begin'
            return None
        if self._reset_asked or self._hindrance() or (self._reset and not self._reset.service_is_ready()):
            return None
        self._reset_asked = True
        self._begun = self._person.begun
        if self._reset is None:
            self._own_resets += 1
            return None
        future = self._reset.call_async(Trigger.Request())
        future.add_done_callback(self._on_reset_answer)
        return future

    def _on_reset_answer(self, future: Future) -> None:
        answer = future.result()
        if answer is None or not answer.success:
            # Asked again at the next watch; until it works no episode begins.
            self._reset_asked = False
            self.get_logger().error(f'sim/reset failed: {answer.message if answer else "no answer"}')

    def _streams(self) -> list[str]:
        """What a verdict is made of."""
        sights = self.config.sights
        learned = self.config.reset.source or any(sight.classifier or sight.source for sight in sights)
        sees = self._tasks.sees or (self._autonomous is not None and self._autonomous.sees)
        images = self.specs.observation.images if sees else ()
        return ['task', *(['state'] if learned else []), *(f'image/{image.camera}' for image in images)]

    def _on_part(self, stream: str, message: Any) -> None:
        self._join.offer(stream, stamp_ns(message.header.stamp), message)
        self.status.counters['dropped_joins'] = self._join.dropped

    def _on_step(self, stamp: int, messages: dict[str, Any]) -> None:
        self._last_observation = time.monotonic()
        task = read_named_vector(messages['task'])
        if self._reset is None:
            task['resets'] = float(self._own_resets)
        action = None
        try:
            if task['resets'] > self._resets_seen and self._tasks.graph.numbers.items() <= task.items():
                self._resets_seen = task['resets']
                self._begin(stamp)
            elif self._episode.running:
                self._arrive(stamp, _seen(task, messages))
            elif self._autonomous and self._autonomous.runs:
                action = self._step_reset(stamp, self._autonomous, _seen(task, messages))
            else:
                self._publish_reward(stamp, 0.0)
        except KeyError as missing:
            raise UserError(f'reward_reset_node: reward or episode names {missing}, which no stream carries') from None
        self._tell_reset(stamp, action)
        if numbers := self._tasks.graph.numbers:
            self._next_task.publish(write_named_vector(numbers, stamp))

    def _step_reset(self, stamp: int, autonomous: AutonomousReset, seen: Seen) -> dict[str, float] | None:
        """The routine's action at this step, or None where the arm is to stand still."""
        if self._hindrance(may_move=True):
            self._publish_reward(stamp, 0.0)
            return None
        if pause := self._practice.pauses(seen.numbers):
            autonomous.take_as_done()
            self._publish_reward(stamp, 0.0)
            self._call(pause)
            return None
        action = autonomous.step(seen)
        self._publish_reward_after(None if autonomous.runs else self._ask_for_reset(), stamp, 0.0)
        return action

    def _tell_reset(self, stamp: int, action: dict[str, float] | None) -> None:
        """What the gate hears of the routine; without numbers it hands back. In lock-step it waits for each stamp's."""
        if self._autonomous and (action or self._resetting or self.lockstep):
            self._resetting = bool(action)
            self._reset_action.publish(write_named_vector(action or {}, stamp, self.robot.base_frame))

    def _begin(self, stamp: int) -> None:
        self._reset_asked = False
        self.status.warning = ''
        self._judge = self._tasks.judge
        self._judge.reset()
        if self._stuck:
            self._stuck.reset()
        self._practice.began()
        self._person.take_verdict()
        self._true_success = None
        self._evaluates = self.role == 'train' and self.config.eval.is_due(round(self._resets_seen) - 1)
        self._ended = ''
        self._last_seen.clear()
        self._episode.start(self._tasks.time_limit_steps)
        self._publish_state(stamp, 'reset done')
        if self._fault:
            self._abort(self._fault)
        self._publish_reward(stamp, 0.0)

    def _arrive(self, stamp: int, seen: Seen) -> None:
        verdict = self._judge.judge(seen, self._person.take_verdict())
        stuck = self._stuck is not None and self._stuck.is_stuck([seen.numbers[f'ee.{axis}'] for axis in 'xyz'])
        if self._tasks.has_second_opinion and 'task.success' in seen.numbers:
            self._true_success = seen.numbers['task.success'] > 0.5
        self._last_seen.append(seen)
        if verdict.disputed and self._judge.sees:
            self.status.count('disputed_frames', self._disputes.keep([seen], verdict.succeeded))
        pause = self._practice.step(seen.numbers)
        by_clock = pause or ('stuck' if stuck else verdict.by if verdict.truncated else '')
        self._episode.arrive(verdict.reward, verdict.succeeded, verdict.failed, bool(by_clock))
        if self._episode.running:
            self._publish_reward(stamp, verdict.reward)
            return
        self._ended = '' if verdict.by == 'a person' else self._episode.state
        self._publish_state(stamp, (by_clock or 'time limit') if self._episode.truncated else verdict.by)
        succeeded = self._episode.state == 'succeeded'
        worry = pause
        task = self._tasks.graph.current
        if succeeded or not pause:
            self._tasks.graph.ended(succeeded)
        if not pause and self.role == 'train' and not self._evaluates:
            worry = self._practice.ended(succeeded, task)
        if not self._autonomous and not worry:
            self._publish_reward_after(self._ask_for_reset(), stamp, verdict.reward)
            return
        self._publish_reward(stamp, verdict.reward)
        if worry:
            self._call(worry)
        else:
            self._begin_routine()

    def _publish_reward_after(self, reset: Future | None, stamp: int, reward: float) -> None:
        if self.lockstep and reset is not None:
            # The next step is then always the next start, however fast the machines are.
            reset.add_done_callback(lambda _: self._publish_reward(stamp, reward))
        else:
            self._publish_reward(stamp, reward)

    def _publish_reward(self, stamp: int, reward: float) -> None:
        evaluates = self._evaluates if self.config.eval.every_episodes else None
        self._reward.publish(write_named_vector(reward_values(self._episode, reward, evaluates), stamp))

    def _publish_state(self, stamp: int, cause: str) -> None:
        values: dict[str, Any] = {'cause': cause}
        if self._tasks.graph.current:
            values['task'] = self._tasks.graph.current
        if self._evaluates:
            values['evaluation'] = 1
        if self._true_success is not None:
            values['true_success'] = int(self._true_success)
        self._state.publish(episode_message(self._episode, stamp, self.robot.name, values))
        self.status.count(self._episode.state)


def _seen(task: dict[str, float], messages: dict[str, Any]) -> Seen:
    """The simulation's numbers are task.<name>; those that were asked for beside them come by their own."""
    numbers = {f'task.{name}': value for name, value in task.items()} | task
    if 'state' in messages:
        numbers |= read_named_vector(messages['state'])
    images = {
        stream.removeprefix('image/'): read_image(message)
        for stream, message in messages.items()
        if stream.startswith('image/')
    }
    return Seen(numbers, images)


def main() -> None:
    node_main(RewardResetNode)


if __name__ == '__main__':
    main()
