"""The learner: the replay store, the update loop, the checkpoints and the weights."""

from __future__ import annotations

import os
import queue
import time
from pathlib import Path

from rclpy.publisher import Publisher
from std_msgs.msg import Header, UInt8MultiArray, UInt32

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import require_same_specs
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.learning.best_policy import BestPolicy
from hybrid_rl_ros.learning.metrics_log import MetricsLog
from hybrid_rl_ros.learning.update_loop import Done, UpdateLoop
from hybrid_rl_ros.ros.messages import to_header, write_bytes
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import LATCHED, STEP
from hybrid_rl_ros.ros.step_subscriber import StepSubscriber
from hybrid_rl_ros.run_folder import read_json_lines

YIELDING = 10
# Without a step for so long the arm waits for a person.
WAITS_S = 10.0


class LearnerNode(GraphNode):
    """Stores every step, learns in the update loop's thread, publishes policy/weights (latched) and checkpoints.

    Lock-step: publishes learner/step for a stamp once the updates of the step before are done and inference_node has
    taken the weights that they published, so that the simulation never runs more than one step ahead of the learner.
    Ends the run, with exit status 0, at the first episode's end after train.env_steps or train.hours, or with the last
    of train.episodes. Keeps the policy that did best (learning/best_policy.py).
    """

    consumers = {'policy/weights': ('inference_node',), 'learner/step': ('sim_node',)}

    def __init__(self) -> None:
        super().__init__('learner_node')

    def set_up(self) -> None:
        if not self.lockstep:
            # Beside a real arm the loop goes first; before any thread is made, for they inherit it.
            os.nice(YIELDING)
        self._demos = self._open_demos()
        folder = self.run_dir / 'replay'
        if (folder / 'specs.json').exists():
            self._store = ReplayStore.open(folder)
            require_same_specs(self._store.specs, self.specs, str(folder))
        else:
            self._store = ReplayStore.create(folder, self.specs, self.config.train.replay_capacity)
        self._done: queue.Queue[Done] = queue.Queue()
        self._wake = self.create_guard_condition(self._on_updates_done)
        self._loop = UpdateLoop(self.config, self.specs, self.run_dir, self._demos, self._store, self._push_done)
        self._weights: Publisher = self.publisher(UInt8MultiArray, 'policy/weights', LATCHED)
        # In real time nobody waits for the learner.
        make_publisher = self.publisher if self.lockstep else self.create_publisher
        self._stepped = make_publisher(Header, 'learner/step', STEP)
        self.create_subscription(UInt32, 'policy/version', self._on_version, LATCHED)
        self._published_version = self._used_version = 0
        self._done_sequence = self._store.sequence
        self._owed_before = self._store.sequence
        self._stamp = 0
        self._answered = 0
        earlier = read_json_lines(self.run_dir / 'episodes.jsonl')
        self._began_s = time.monotonic() - (earlier[-1]['wall_s'] if earlier else 0.0)
        self._best = BestPolicy(self.run_dir)
        self._newest_policy: bytes | None = None
        self._helped_in = -1  # the episode
        self._metrics: dict[str, float] = {}
        self._log = MetricsLog(self.run_dir, self.config.train.tensorboard, self._loop.env_steps)
        self._subscriber = StepSubscriber(self, self._store.last_episode + 1, self._on_stamp)

        self._last_step_s = time.monotonic()
        self.every(1.0, self._end_in_time)

    def start(self) -> None:
        self._loop.start()

    def _end_in_time(self) -> None:
        """An arm that waits for a person ends no episode; the hours of the run are over all the same."""
        waits = time.monotonic() - self._last_step_s > WAITS_S
        if waits and self.config.train.hours and time.monotonic() - self._began_s > 3600.0 * self.config.train.hours:
            self.finish()

    def close(self) -> None:
        self._loop.stop()
        self._on_updates_done()
        self._write_metrics()
        self._store.flush()
        self._store.close()
        self._log.close()

    def _open_demos(self) -> ReplayStore | None:
        if self.config.demos is None or (self.config.agent == 'sac' and self.config.demo_ratio == 0):
            return None
        demos = ReplayStore.open(Path(self.config.demos), read_only=True)
        require_same_specs(demos.specs, self.specs, self.config.demos)
        return demos

    def _on_stamp(self, stamp: int, step: Step | None, reward: dict[str, float]) -> None:
        # The updates owed to earlier steps must be done before this stamp is answered; its own may still run.
        self._owed_before = self._store.sequence
        self._stamp = stamp
        if step is not None:
            self._last_step_s = time.monotonic()
            self._store.append(step)
            self._loop.schedule()
            env_steps, episodes = self._loop.env_steps, step.episode + step.ends_episode
            hours = (time.monotonic() - self._began_s) / 3600.0
            transitions = self._store.transitions
            self.status.values.update(env_steps=env_steps, episodes=episodes, transitions=transitions, hours=hours)
            if step.intervention:
                self._helped_in = step.episode
            if step.ends_episode:
                alone = reward['succeeded'] > 0.5 and self._helped_in != step.episode
                if not reward.get('evaluation'):
                    self._best.episode_ended(alone, self._newest_policy, env_steps)
                if self.config.is_trained(env_steps, episodes, hours):
                    self.finish()
                    return
        self._answer()

    def _push_done(self, done: Done) -> None:
        self._done.put(done)
        self._wake.trigger()

    def _on_updates_done(self) -> None:
        self._loop.raise_if_failed()
        while not self._done.empty():
            done = self._done.get()
            self._done_sequence = max(self._done_sequence, done.job.before_sequence)
            self._metrics |= done.metrics
            self.status.counters['rollbacks'], self.status.warning = done.rollbacks, done.complaint
            if done.policy is not None:
                self._published_version += 1
                self._weights.publish(write_bytes(done.policy))
                self._newest_policy = done.policy
            self.status.values.update(updates=done.total_updates, **self._metrics)
            if done.job.measure:
                self._write_metrics()
        self._answer()

    def _on_version(self, _: UInt32) -> None:
        self._used_version += 1
        self._answer()

    def _answer(self) -> None:
        waiting = self._done_sequence < self._owed_before or self._used_version < self._published_version
        if self.lockstep and self._stamp > self._answered and not waiting:
            self._answered = self._stamp
            self._stepped.publish(to_header(self._stamp))

    def _write_metrics(self) -> None:
        metrics = {**self._metrics, 'rollbacks': self.status.counters['rollbacks']}
        per_s = self._log.write(self._loop.env_steps, self._loop.updates, metrics)
        if per_s is not None:
            self.status.values['updates_per_s'] = per_s


def main() -> None:
    node_main(LearnerNode)


if __name__ == '__main__':
    main()
