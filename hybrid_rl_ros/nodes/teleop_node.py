"""From a person's device to action/teleop."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pinocchio
from geometry_msgs.msg import PoseStamped
from rclpy.client import Client
from rclpy.task import Future
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import Trigger

from hybrid_rl_ros.control.teleop import JointTeleop, PoseTeleop, Teleop, make_teleop
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.ros.messages import read_named_vector, write_named_vector
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.observation_subscriber import ObservationSubscriber
from hybrid_rl_ros.ros.qos import BURST, SENSOR, STEP
from hybrid_rl_ros.sim.experts import make_expert
from hybrid_rl_ros.sim.overseer import Overseer
from hybrid_rl_ros.teleop.device import Device, DeviceLostError, open_device
from hybrid_rl_ros.teleop_config import load_teleop

OVER_ROS = ('joy', 'pose', 'joints')
READ_PERIOD_S = 0.02
# What each button calls; `discard` outside an episode takes back the last one recorded.
SERVICES = {
    'start': 'reward_reset_node/begin',
    'success': 'reward_reset_node/success',
    'failure': 'reward_reset_node/failure',
    'discard': 'reward_reset_node/discard',
    'discard_last': 'recorder_node/discard_last',
    'estop': 'safety_node/estop',
    'clear_fault': 'safety_node/clear_fault',
}


class TeleopNode(GraphNode):
    """Publishes action/teleop once for every observation, under its stamp: the person's action, or, while the clutch is
    open, a message without any number, which hands the arm back. A device that is lost is silence: the gate holds.
    Where nobody else acts (recording), an open clutch in the middle of an episode is the action of standing still: a
    pause is part of the demonstration, and the button for success may be pressed in it.

    Subscribes: observation/state, observation/task (for the scripted overseer of a simulation); joy, the pose of a hand
    or a leader's joints, where the device is one of these. Calls the services that buttons stand for.
    Parameter terminal: where the keys of device keyboard are typed.
    """

    consumers = {'action/teleop': ('safety_node', 'bag_node')}

    def __init__(self) -> None:
        super().__init__('teleop_node')

    def set_up(self) -> None:
        terminal: str = self.parameter('terminal', '', 'device keyboard: the terminal to read keys from')
        assert self.config.teleop.device is not None
        self._mapping = load_teleop(self.config.teleop.device)
        self._action = self.publisher(JointState, 'action/teleop', STEP)
        self._device: Device | None = None
        self._teleop: Teleop | None = None
        self._inputs: dict[str, float] = {}
        self._complete = False
        self._lost = 'the device was not heard yet'
        # Two things a device may consist of: its buttons, and the hand or arm that is followed.
        self._heard_s: dict[str, float] = {}
        if self._mapping.device == 'expert':
            self._overseer = self._make_overseer()
        else:
            self._teleop = make_teleop(self._mapping, self.specs.action, self.config.action)
            self._listen(terminal)
            self._called: dict[str, Client] = {n: self.create_client(Trigger, s) for n, s in SERVICES.items()}
            self.create_subscription(JointState, 'action/executed', self._on_executed, STEP)
            self._episode_begun = self._acted_in_episode = False
            self._episode = -1.0
            if 'inference_node' not in self.peers:
                self.create_subscription(JointState, 'reward', self._on_reward, STEP)
            self.every(READ_PERIOD_S, self._on_read)
        self._observations = ObservationSubscriber(self, ['state', 'task'], self._on_observation)

    def close(self) -> None:
        if self._device is not None:
            self._device.close()

    def _make_overseer(self) -> Overseer:
        config = self.config
        if config.sim is None:
            raise UserError('teleop device expert: the scripted experts know a simulation only, and sim is null')
        expert = make_expert(config.task, 0.0, config.seed, config.action.max_step_m, config.action.gripper)
        return Overseer(expert, self._mapping.takes_over_after_steps, config.practice)

    def _listen(self, terminal: str) -> None:
        mapping = self._mapping
        if mapping.device not in OVER_ROS:
            self._device = open_device(mapping.device, terminal)
            return
        self._heard_s = dict.fromkeys(['joy'] if mapping.device == 'joy' else ['joy', 'hand'], -np.inf)
        self.create_subscription(Joy, mapping.joy_topic, self._on_joy, BURST)
        if isinstance(self._teleop, PoseTeleop):
            self.create_subscription(PoseStamped, mapping.topic, self._on_pose, SENSOR)
        elif isinstance(self._teleop, JointTeleop):
            self.create_subscription(JointState, mapping.topic, self._on_leader, SENSOR)
            self.create_subscription(JointState, self.robot.joint_state_topic, self._on_measured, BURST)

    def _on_joy(self, message: Joy) -> None:
        self._heard_s['joy'] = time.monotonic()
        inputs = {f'axis{i}': float(value) for i, value in enumerate(message.axes)}
        inputs |= {f'button{i}': float(value) for i, value in enumerate(message.buttons)}
        self._require_inputs(inputs)
        # What is not a number is no input.
        self._inputs = {name: value for name, value in inputs.items() if np.isfinite(value)}
        # Here and not at the next reading: of several messages at once, each may be all there is of a tap.
        self._call_pressed()

    def _on_pose(self, message: PoseStamped) -> None:
        position, turn = message.pose.position, message.pose.orientation
        numbers = np.array([position.x, position.y, position.z, turn.x, turn.y, turn.z, turn.w])
        if np.isfinite(numbers).all() and abs(np.linalg.norm(numbers[3:]) - 1.0) < 0.01:
            self._heard_s['hand'] = time.monotonic()
            assert isinstance(self._teleop, PoseTeleop)
            rotation = pinocchio.Quaternion(*numbers[[6, 3, 4, 5]]).normalized().matrix()
            self._teleop.pose = pinocchio.SE3(rotation, numbers[:3])

    def _on_leader(self, message: JointState) -> None:
        joints = _finite(message)
        if joints:
            self._heard_s['hand'] = time.monotonic()
            assert isinstance(self._teleop, JointTeleop)
            self._teleop.leader = joints

    def _on_reward(self, message: JointState) -> None:
        values = read_named_vector(message)
        self._episode_begun = values['running'] > 0.5
        self._acted_in_episode = self._acted_in_episode and self._episode_begun
        if values['episode'] != self._episode and self._teleop is not None:
            self._episode = values['episode']
            self._teleop.gripper_told(None)

    def _on_executed(self, message: JointState) -> None:
        values = read_named_vector(message)
        assert self._teleop is not None
        if 'gripper' in values and 'by/hold' not in values:
            self._teleop.gripper_told(values['gripper'])

    def _on_measured(self, message: JointState) -> None:
        assert isinstance(self._teleop, JointTeleop)
        self._teleop.measured = {**self._teleop.measured, **_finite(message)}

    def _on_read(self) -> None:
        """Whether the device is there; one that is read here, what it says."""
        lost = self._read()
        if lost != self._lost:
            self.get_logger().warning(lost) if lost else self.get_logger().info('the device is there')
        self._lost = lost
        self.status.warning = lost or getattr(self._teleop, 'hindrance', '')
        if self._device is not None and not lost:
            self._call_pressed()

    def _call_pressed(self) -> None:
        assert self._teleop is not None
        for event in self._teleop.pressed_now(self._inputs):
            self._call(event)

    def _read(self) -> str:
        """Bring the inputs up to date; why they are not, or ''."""
        if self._device is not None:
            try:
                self._inputs = self._device.read()
            except DeviceLostError as error:
                return str(error)
            self._require_inputs(self._inputs)
            return ''
        now, limit = time.monotonic(), self._mapping.silent_after_s
        topics = {'joy': self._mapping.joy_topic, 'hand': self._mapping.topic}
        silent = [topics[part] for part, heard in self._heard_s.items() if now - heard > limit]
        return f'nothing on {silent[0]} for {limit:g} s' if silent else ''

    def _on_observation(self, stamp: int, messages: dict[str, Any]) -> None:
        action = self._next_action(messages)
        if action is None:
            return
        self.status.values['engaged'] = bool(action)
        self.status.count('actions' if action else 'released')
        self._action.publish(write_named_vector(action, stamp, self.robot.base_frame))

    def _next_action(self, messages: dict[str, Any]) -> dict[str, float] | None:
        """None while the device is lost, nothing in it while the clutch is open."""
        if self._teleop is None:
            given = self._overseer.action(read_named_vector(messages['task']))
            return {} if given is None else dict(zip(self.specs.action.names, given))
        if self._lost:
            # Lost while nobody steered, it changes nothing; lost in the middle, nobody takes over.
            return None if self._teleop.engaged else {}
        state = read_named_vector(messages['state'])
        self._teleop.gripper_opening = state.get('gripper.opening', 1.0)
        action = self._teleop.action(self._inputs, time.monotonic())
        if action is None and self._acted_in_episode:
            return self._teleop.stand_still()
        self._acted_in_episode = self._episode_begun and action is not None
        return action or {}

    def _require_inputs(self, inputs: dict[str, float]) -> None:
        """Raises UserError for an input in the mapping that the device does not have."""
        if self._mapping.device == 'keyboard' or self._complete:
            return
        for where, name in self._mapping.inputs():
            if name not in inputs:
                has = f'{sum(i.startswith("axis") for i in inputs)} axes'
                has += f' and {sum(i.startswith("button") for i in inputs)} buttons, numbered from 0'
                raise UserError(f'teleop {self.config.teleop.device}: {where}: the device has no {name}; it has {has}')
        self._complete = True

    def _call(self, event: str) -> None:
        client = self._called[event]
        self.status.count(f'pressed_{event}')
        if not client.service_is_ready():
            self.get_logger().warning(f'{event}: nobody serves {client.srv_name}')
            return
        client.call_async(Trigger.Request()).add_done_callback(lambda future: self._on_answer(event, future))

    def _on_answer(self, event: str, future: Future) -> None:
        answer = future.result()
        refused = '' if answer is None or answer.success else answer.message
        if refused and event == 'discard':
            self._call('discard_last')
            return
        self.status.values['button'] = f'{event}: {refused or "done"}'
        (self.get_logger().warning if refused else self.get_logger().info)(self.status.values['button'])


def _finite(message: JointState) -> dict[str, float]:
    """Joint positions by name; nothing of a message that cannot be read."""
    try:
        joints = read_named_vector(message)
    except ValueError:
        return {}
    return joints if np.isfinite(list(joints.values())).all() else {}


def main() -> None:
    node_main(TeleopNode)


if __name__ == '__main__':
    main()
