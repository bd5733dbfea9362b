"""The gate between every action and the robot."""

from __future__ import annotations

import sys
import time
from array import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from hybrid_rl_ros.control.ee_delta import EeDeltaController
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.ros.messages import pick, read_named_vector, stamp_ns, to_header, write_named_vector
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import COMMAND, LATCHED, SENSOR, STEP
from hybrid_rl_ros.ros.stamp_join import StampJoin

HOLD_TIME_S = 0.05


class SafetyNode(GraphNode):
    """Turns the policy's action into a limited robot command while an episode runs, and holds otherwise.

    Subscribes: action/policy, reward, joint_states. Publishes: the robot's command topics, action/executed (the action
    that was let through, with `by/policy` or `by/hold`, and what the limits made of it as `moved/*`), safety/state.

    Lock-step: joins action, reward and joint state of a stamp, so that the choice never depends on arrival order. Real
    time: acts at once on the newest; holds when no action came for action.timeout_s of steady time.
    """

    consumers = {'action/executed': ('sim_node', 'learner_node', 'recorder_node')}

    def __init__(self) -> None:
        super().__init__('safety_node')
        self._direct = self.config.action.space == 'direct'
        if not self._direct:
            self.consumers = {
                **self.consumers,
                self.robot.command.topic: ('sim_node',),
                str(self.robot.gripper.topic): ('sim_node',),
            }
            self._controller = EeDeltaController(
                ArmKinematics(self.robot), self.robot, self.config.action, self.config.control_period_s
            )
            self._arm = self.publisher(JointTrajectory, self.robot.command.topic, COMMAND)
        self._gripper = None
        if not self._direct and self.robot.gripper.topic:
            self._gripper = self.publisher(JointTrajectory, self.robot.gripper.topic, COMMAND)
        self._executed = self.publisher(JointState, 'action/executed', STEP)
        self._state = self.create_publisher(DiagnosticArray, 'safety/state', LATCHED)
        self._joints: dict[str, float] = {}
        self._running = False
        self._synced = False
        self._holding: str | None = None
        self._last_action = time.monotonic()
        streams = ['action', 'reward'] if self._direct else ['action', 'reward', 'joints']
        self._join = StampJoin(streams, self._on_step)
        self.create_subscription(JointState, 'action/policy', lambda m: self._on_message('action', m), STEP)
        self.create_subscription(JointState, 'reward', lambda m: self._on_message('reward', m), STEP)
        if not self._direct:
            qos = STEP if self.lockstep else SENSOR
            self.create_subscription(JointState, 'joint_states', lambda m: self._on_message('joints', m), qos)
        if not self.lockstep:
            self.every(min(0.02, self.config.action.timeout_s / 4), self._watch)
        self._hold('no episode')

    def on_shutdown(self) -> None:
        self._command_hold()

    def _on_message(self, stream: str, message: JointState) -> None:
        stamp = stamp_ns(message.header.stamp)
        try:
            values = read_named_vector(message)
        except ValueError as error:
            self._reject(f'{stream}: {error}')
            return
        if self.lockstep:
            self._join.offer(stream, stamp, values)
        elif stream == 'joints':
            self._joints = values
        elif stream == 'reward':
            self._set_running(values['running'] > 0.5)
        else:
            self._on_action(stamp, values)

    def _on_step(self, stamp: int, values: dict[str, Any]) -> None:
        self._joints = values.get('joints', {})
        self._set_running(values['reward']['running'] > 0.5)
        self._on_action(stamp, values['action'])

    def _set_running(self, running: bool) -> None:
        if running and not self._running:
            self._synced = False
        elif self._running and not running and not self.lockstep:
            self._hold('no episode')
        self._running = running

    def _on_action(self, stamp: int, action: dict[str, float]) -> None:
        self._last_action = time.monotonic()
        names = self.specs.action.names
        if not self._running or not (self._direct or self._joints):
            self._report(stamp, dict.fromkeys(names, 0.0), 'hold')
            return
        try:
            requested = pick(action, names)
            if not np.isfinite(requested).all():
                raise ValueError(f'not finite: {action}')
            executed, moved = self._execute(stamp, requested)
        except (KeyError, ValueError) as error:
            self._reject(f'action/policy: {error}')
            self._report(stamp, dict.fromkeys(names, 0.0), 'hold')
            return
        self._leave_hold()
        self._report(stamp, {**dict(zip(names, executed.tolist())), **moved}, 'policy')

    def _execute(self, stamp: int, requested: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        if self._direct:
            return np.clip(requested, self.specs.action.low, self.specs.action.high), {}
        measured = pick(self._joints, self.robot.arm_joints)
        if not self._synced:
            self._controller.sync(measured)
            self._synced = True
        command = self._controller.step(requested, measured)
        period = self.config.control_period_s
        self._arm.publish(_trajectory(self.robot.arm_joints, command.arm_rad, period, stamp))
        if command.gripper_m is not None and self._gripper is not None:
            fingers = pick(self._joints, self.robot.gripper.joints)
            way = float(np.abs(fingers - command.gripper_m).max())
            duration = max(period, way / self.robot.gripper.speed)
            goal = np.full(len(fingers), command.gripper_m)
            self._gripper.publish(_trajectory(self.robot.gripper.joints, goal, duration, stamp))
        return command.executed, {f'moved/ee.d{axis}': float(d) for axis, d in zip('xyz', command.moved_m)}

    def _report(self, stamp: int, values: dict[str, float], source: str) -> None:
        self._executed.publish(write_named_vector({**values, f'by/{source}': 1.0}, stamp))
        self.status.count(f'executed_{source}')
        if not self.lockstep and source == 'policy':
            self.status.time_ms('loop', (self.get_clock().now().nanoseconds - stamp) * 1e-6)

    def _watch(self) -> None:
        if self._running and time.monotonic() - self._last_action > self.config.action.timeout_s:
            self._hold('no action')

    def _hold(self, cause: str) -> None:
        if self._holding == cause:
            return
        self._holding = cause
        self.status.count('holds')
        self._command_hold()
        self._synced = False
        self._publish_state('hold', cause)

    def _leave_hold(self) -> None:
        if self._holding is not None:
            self._holding = None
            self._publish_state('policy', '')

    def _command_hold(self) -> None:
        if self._direct or not self._joints:
            return
        measured = pick(self._joints, self.robot.arm_joints)
        stamp = 0 if self.lockstep else self.get_clock().now().nanoseconds
        self._arm.publish(_trajectory(self.robot.arm_joints, measured, HOLD_TIME_S, stamp))

    def _reject(self, why: str) -> None:
        self.status.count('rejected_actions')
        self.get_logger().error(f'rejected: {why}', throttle_duration_sec=1.0)

    def _publish_state(self, mode: str, cause: str) -> None:
        status = DiagnosticStatus(name='safety_node: mode', message=mode, hardware_id=self.robot.name)
        status.level = DiagnosticStatus.WARN if cause == 'no action' else DiagnosticStatus.OK
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        if cause:
            status.message = f'{mode}: {cause}'
        self._state.publish(message)


def _trajectory(names: list[str], positions: np.ndarray, duration_s: float, stamp: int) -> JointTrajectory:
    """One point, reached at rest after `duration_s`: what a joint_trajectory_controller interpolates to."""
    seconds = int(duration_s)
    point = JointTrajectoryPoint(time_from_start=Duration(sec=seconds, nanosec=int((duration_s - seconds) * 1e9)))
    point.positions = array('d', positions)
    point.velocities = array('d', [0.0] * len(names))
    return JointTrajectory(header=to_header(stamp), joint_names=names, points=[point])


def main() -> None:
    sys.exit(node_main(SafetyNode))


if __name__ == '__main__':
    main()
