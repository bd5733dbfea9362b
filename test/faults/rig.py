"""A simulated arm and its gate as real processes, with the test in the place of everything upstream."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from hybrid_rl_ros.bringup import Bringup, NodeProcess, node_status, prepare_run, resolve_specs
from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.config_file import save_config
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.robot_config import RobotConfig, load_robot
from hybrid_rl_ros.ros.messages import stamp_ns, write_named_vector
from hybrid_rl_ros.ros.qos import LATCHED, SENSOR, STEP

CONFIG = Path(__file__).parents[2] / 'config'
RATE_HZ = 20.0
GATE_AND_ARM = (NodeProcess('sim_node'), NodeProcess('safety_node'))
AT_REST_RAD_S = 0.02
# Joint states come at 100 Hz and the arm lags its set-point by a few time steps of the simulation.
SENSING_S = 0.06
MARGIN_RAD_S = 0.1
SWAY = {'ee.dx': 0.0, 'ee.dy': 0.012, 'ee.dz': 0.0}


def overridden(robot: RobotConfig, folder: Path, **sections: Any) -> str:
    """A robot file with other values in some of its sections (`limits={...}`) or keys; its path."""
    data = robot.model_dump(mode='json')
    for name, value in sections.items():
        data[name] = {**data[name], **value} if isinstance(value, dict) else value
    path = folder / 'robot.yaml'
    save_config(RobotConfig.model_validate(data), path)
    return str(path)


@dataclass
class Seen:
    """What came out of the graph, with the steady time of each."""

    joints: list[tuple[float, np.ndarray, np.ndarray]] = field(default_factory=list)
    executed: list[tuple[float, int, dict[str, float]]] = field(default_factory=list)
    states: list[tuple[float, str]] = field(default_factory=list)


class Rig:
    """Start with `with Rig(tmp_path, *settings) as rig`; `rig.drive(seconds)` sways the arm sideways at 20 Hz."""

    role = 'eval'

    def __init__(self, folder: Path, *settings: str, nodes: tuple[NodeProcess, ...] = GATE_AND_ARM) -> None:
        base = ['clock=realtime', f'control_rate_hz={RATE_HZ:g}', 'eval.episodes=0', *settings]
        self.config: Config = load_config(CONFIG / 'sim_reach_state.yaml', base)
        self.robot = load_robot(self.config.robot)
        self._kinematics = ArmKinematics(self.robot)
        self.run = folder / 'run'
        self.run.mkdir(parents=True, exist_ok=True)
        prepare_run(self.run, self.config, resolve_specs(self.config))
        self._nodes = nodes
        self.bringup = Bringup(self.config, self.run, self.role, self.nodes())
        self.seen = Seen()
        self.running = True
        self.source = 'policy'
        self.action: Callable[[int], dict[str, float]] = lambda _: dict(SWAY)
        self.frame = self.robot.base_frame
        self.age_s = 0.0
        self._tick = 0

    def nodes(self) -> list[NodeProcess]:
        return list(self._nodes)

    def __enter__(self) -> Rig:
        rclpy.init()
        self.node = Node('rig')
        try:
            self.bringup.start()
            self._listen()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _listen(self) -> None:
        node, seen = self.node, self.seen
        self._join_graph()
        arm = len(self.robot.arm_joints)

        def on_joints(m: JointState) -> None:
            seen.joints.append((time.monotonic(), np.array(m.position[:arm]), np.array(m.velocity[:arm])))

        def on_executed(m: JointState) -> None:
            seen.executed.append((time.monotonic(), stamp_ns(m.header.stamp), dict(zip(m.name, m.position))))

        def on_state(m: DiagnosticArray) -> None:
            seen.states.append((time.monotonic(), m.status[0].message))

        node.create_subscription(JointState, 'joint_states', on_joints, SENSOR)
        node.create_subscription(JointState, 'action/executed', on_executed, STEP)
        node.create_subscription(DiagnosticArray, 'safety/state', on_state, LATCHED)
        self.wait_for(lambda: self.bringup.check() or bool(seen.joints and seen.states) and self._matched())

    def __exit__(self, *_: object) -> None:
        self.node.destroy_node()
        rclpy.try_shutdown()
        self.bringup.stop()

    def _join_graph(self) -> None:
        """Take the place of inference_node, teleop_node and reward_reset_node."""
        node = self.node
        self._actions = {s: node.create_publisher(JointState, f'action/{s}', STEP) for s in ('policy', 'teleop')}
        self._reward = node.create_publisher(JointState, 'reward', STEP)

    def _matched(self) -> bool:
        return self._reward.get_subscription_count() > 0 and self._actions['policy'].get_subscription_count() > 0

    @property
    def state(self) -> str:
        return self.seen.states[-1][1]

    @property
    def mode(self) -> str:
        return self.state.partition(':')[0]

    @property
    def speed(self) -> float:
        """Of the fastest joint, rad/s."""
        return float(np.abs(self.seen.joints[-1][2]).max())

    def tool(self) -> np.ndarray:
        """Where the tool is, m."""
        return self._kinematics.tool_pose(self.seen.joints[-1][1]).translation

    def count(self, name: str, node: str = 'safety_node') -> int:
        return node_status(self.run, node).get('counters', {}).get(name, 0)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            rclpy.spin_once(self.node, timeout_sec=left)

    def wait_for(self, condition: Callable[[], bool], within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, (
                f'the condition did not come true in time; state {self.seen.states[-1:]}'
            )
            rclpy.spin_once(self.node, timeout_sec=0.02)

    def drive(self, seconds: float) -> None:
        """Publish an action at every control step, on absolute deadlines."""
        began = time.monotonic()
        for step in range(round(seconds * RATE_HZ)):
            self.act()
            self.spin(began + (step + 1) / RATE_HZ - time.monotonic())

    def act(self) -> None:
        now = self.node.get_clock().now().nanoseconds
        self._reward.publish(write_named_vector({'reward': 0.0, 'running': float(self.running)}, now))
        values = self.action(self._tick)
        self._actions[self.source].publish(write_named_vector(values, now - round(self.age_s * 1e9), self.frame))
        self._tick += 1

    def hear_commands(self) -> list[np.ndarray]:
        """The set-points (J,) of the arm from here on, in the order in which the gate made them."""
        topic, commands = self.robot.command.topic, []
        self.node.create_subscription(
            JointTrajectory, topic, lambda message: commands.append(np.array(message.points[0].positions)), STEP
        )
        self.wait_for(lambda: self.node.count_publishers(topic) == 1)
        self.spin(1.0)
        return commands

    def commanded_speed(self, commands: list[np.ndarray]) -> float:
        """Of the fastest joint, rad/s. Where they come late, on a busy machine, the arm itself may be faster."""
        return float(np.abs(np.diff(commands, axis=0)).max() * self.robot.command.rate_hz)

    def drive_until(self, condition: Callable[[], bool]) -> None:
        self.wait_for(lambda: (self.act(), self.spin(1 / RATE_HZ), condition())[-1])  # type: ignore[func-returns-value]

    def move(self) -> None:
        """Get the arm moving sideways, and make sure that it does."""
        self.action = lambda _: dict(SWAY)
        self.drive_until(lambda: self.speed > 0.15)

    def call(self, service: str) -> Trigger.Response:
        client = self.node.create_client(Trigger, service)
        assert client.wait_for_service(timeout_sec=10.0)
        future = client.call_async(Trigger.Request())
        rclpy.spin_until_future_complete(self.node, future, timeout_sec=5.0)
        return future.result()

    def pid(self, name: str) -> int:
        return self.bringup.process(name).pid

    def kill(self, name: str, number: int) -> None:
        os.kill(self.pid(name), number)

    def log(self, name: str) -> str:
        return (self.run / 'logs' / f'{name}.log').read_text()

    def require_stop(self, since: float, silence_s: float = 0.0, within_s: float = 1.8) -> float:
        """The arm comes to rest no further than its limits allow; s from `since` until it rests.

        The way allowed: for `silence_s` (what the gate waits for), the control step under way and the sensing at the
        speed that it had or was getting to, and then braking.
        """
        self.spin(within_s)
        before = max((entry for entry in self.seen.joints if entry[0] <= since), key=lambda entry: entry[0])
        after = [entry for entry in self.seen.joints if entry[0] > since]
        step_s = 1 / RATE_HZ + SENSING_S
        around = [np.abs(v) for at, _, v in self.seen.joints if since - 0.2 <= at <= since + step_s]
        # A joint that hardly moved yet may be getting up to speed within the step.
        speed = np.max(around, axis=0) + MARGIN_RAD_S
        braking = np.array(self.robot.joint_accelerations_rad_s2)
        allowed = speed * (silence_s + step_s) + speed**2 / (2 * braking)
        moved = np.abs(np.array([position for _, position, _ in after]) - before[1]).max(0)
        assert (moved <= allowed).all(), f'moved {moved.round(4)} rad, allowed {allowed.round(4)}'
        moving = [at for at, _, velocity in after if np.abs(velocity).max() > AT_REST_RAD_S]
        assert not moving or moving[-1] < since + within_s - 0.3, 'the arm did not come to rest'
        return (moving[-1] - since) if moving else 0.0

    def require_refused(self, since: float) -> None:
        """Nothing of what came after `since` was executed, and it was counted."""
        self.wait_for(lambda: self.count('rejected_actions') >= 5)
        assert all('by/policy' not in values for at, _, values in self.seen.executed if at > since + 0.1)
