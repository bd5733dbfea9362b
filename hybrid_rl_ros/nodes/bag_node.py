"""The recorder of bags."""

from __future__ import annotations

import os
from pathlib import Path

from hybrid_rl_ros.data.exchange.bag_recording import BagRecording
from hybrid_rl_ros.ros.bag_subscriptions import BagSubscriptions
from hybrid_rl_ros.ros.node import GraphNode, node_main

POLL_S = 0.02
LOOK_PERIOD_S = 0.5
YIELDING = 10
CAMERA_TOPICS = ('image_raw', 'camera_info')


class BagNode(GraphNode):
    """Writes everything that the graph says, and hears, into a rosbag2 folder run_dir/bag/<n>, of which each start of
    the run makes one; see `bag` in the configuration.

    Nobody waits for it: what the disk is too slow for is dropped and counted as `dropped_messages`, and a full disk
    ends the recording, not the run.
    """

    def __init__(self) -> None:
        super().__init__('bag_node')

    def set_up(self) -> None:
        if not self.lockstep:
            os.nice(YIELDING)
        bag = self.config.bag
        cameras = [image.camera for image in self.specs.observation.images] if bag.images else []
        self._subscriptions_of_bag = BagSubscriptions(self, cameras, self._others())
        attachments = {name: (self.run_dir / name).read_bytes() for name in ('specs.json', 'config.yaml')}
        queue_bytes, split_bytes = round(bag.queue_mb * 1e6), round(bag.split_mb * 1e6)
        self._recording = BagRecording(_next_folder(self.run_dir / 'bag'), attachments, queue_bytes, split_bytes)
        self.tick_s = POLL_S
        self.every(LOOK_PERIOD_S, self._subscriptions_of_bag.look_for_others)
        self._complaint = self.every(self.config.observation.topic_timeout_s, self._complain)

    def close(self) -> None:
        self.tick()
        self._recording.close()
        self._report()

    def tick(self) -> None:
        for received in self._subscriptions_of_bag.take():
            kept = self._recording.offer(received.topic, received.received_ns, received.sent_ns, received.data)
            self.status.count('messages' if kept else 'dropped_messages')
        self._report()

    def _report(self) -> None:
        self.status.counters['dropped_in_transport'] = self._subscriptions_of_bag.lost
        if self._recording.problem and not self.status.warning:
            self.status.warning = self._recording.problem
            self.get_logger().error(self._recording.problem)

    def _complain(self) -> None:
        """Once, of what the configuration asks for by name; a driver may come later."""
        self._complaint.cancel()
        for topic in map(self.resolve_topic_name, self.config.bag.topics):
            if topic in self._subscriptions_of_bag.awaited:
                self.get_logger().warning(f'bag.topics: nobody publishes {topic}; it is recorded when somebody does')

    def _others(self) -> list[str]:
        """What the drivers say and hear."""
        robot, bag = self.robot, self.config.bag
        topics = [
            '/diagnostics',
            robot.joint_state_topic,
            robot.command.topic,
            *bag.topics,
            *(s.topic for s in robot.driver_states),
        ]
        topics += [topic for topic in (robot.wrench_topic, robot.gripper.topic) if topic]
        topics += ['task_state'] if self.config.sim else []
        if bag.images:
            topics += [f'{camera}/{kind}' for camera in self.config.observation.cameras for kind in CAMERA_TOPICS]
        return topics


def _next_folder(parent: Path) -> Path:
    numbers = [int(child.name) for child in parent.glob('*') if child.name.isdigit()]
    return parent / str(max(numbers, default=0) + 1)


def main() -> None:
    node_main(BagNode)


if __name__ == '__main__':
    main()
