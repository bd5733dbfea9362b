"""The gate between every action and the robot."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import WrenchStamped
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from hybrid_rl_ros.control.action_check import EXTRA, ActionCheck
from hybrid_rl_ros.control.action_space import joint_action_names
from hybrid_rl_ros.control.arm_motion import ArmMotion
from hybrid_rl_ros.control.gate import SOURCES, Gate
from hybrid_rl_ros.control.motion_filter import Push
from hybrid_rl_ros.control.setpoint import SetPoint
from hybrid_rl_ros.control.wrench_watch import WrenchWatch
from hybrid_rl_ros.data.stamp_join import StampJoin
from hybrid_rl_ros.ros.arm_commands import make_arm_commander
from hybrid_rl_ros.ros.driver_states import DriverStates
from hybrid_rl_ros.ros.gripper_commands import make_gripper_commander
from hybrid_rl_ros.ros.messages import pick, read_named_vector, stamp_ns, write_named_vector
from hybrid_rl_ros.ros.node import ANYBODY, GraphNode, node_main
from hybrid_rl_ros.ros.polling import PolledSubscriptions
from hybrid_rl_ros.ros.qos import BURST, LATCHED, SENSOR, STEP

CHECK_PERIOD_S = 0.1
# A set-point is replaced before it is reached, so that a late one does not make the arm stop in between.
OVERLAP = 2.0


class SafetyNode(GraphNode):
    """Decides who may move the arm (control/gate.py) and how it may move (control/motion_filter.py).

    Subscribes: action/policy, action/teleop, action/reset, reward, the robot's joint states, wrench and driver states,
    estop (Bool). Publishes: the robot's command topics; action/executed, with `by/<source>`, what the action space made
    of it as `moved/*` and the limits that changed it since the last one as `limited/*`; safety/state (latched).
    Serves: ~/estop and ~/clear_fault (Trigger). Parameter speed_scale can be set while running.

    Lock-step: joins action, reward and joint state of a stamp, so that the choice never depends on arrival order, and
    commands whole control steps. Real time: wakes at robot.command.rate_hz alone, reads what has come, and commands.
    """

    consumers = {'action/executed': ('sim_node', 'learner_node', 'recorder_node', 'bag_node')}

    def __init__(self) -> None:
        super().__init__('safety_node')

    def set_up(self) -> None:
        robot, safety = self.robot, self.config.safety
        self._direct = self.config.action.space == 'direct'
        self._gate = Gate(safety, time.monotonic(), needs_joints=not self._direct, timed=not self.lockstep)
        self._joints: dict[str, float] = {}
        self._started = False
        self._stated: tuple[str, str, bool] | None = None
        self._motion: ArmMotion | None = None
        if not self._direct:
            topics = [robot.command.topic, robot.gripper.topic]
            sim = self.config.sim
            # A controller's name is the user's.
            controllers = 'gazebo_node' in self.peers and sim is not None and sim.control == 'ros2_control'
            moved_by = (ANYBODY,) if controllers else ('sim_node', 'gazebo_node')
            self.consumers = {**self.consumers, **{topic: moved_by for topic in topics if topic}}
            self._motion = ArmMotion(self.config, robot)
            self._arm = make_arm_commander(self, robot)
            self._gripper = make_gripper_commander(self, robot, self.config.control_period_s)
        self._executed = self.publisher(JointState, 'action/executed', STEP)
        self._state = self.create_publisher(DiagnosticArray, 'safety/state', LATCHED)
        self._driver = DriverStates(self, robot)
        self._driver_was_ready = False
        lead_s = self.config.max_lead_s
        names = self.specs.action.names
        self._joint_names = [] if self._direct else joint_action_names(robot.arm_joints, names)
        self._check = ActionCheck(names, robot.base_frame, safety.max_action_age_s, lead_s, self._joint_names)
        self._wrench = WrenchWatch(robot, safety.wrench_timeout_s)
        # One voice each: who may act, what the episode is, and what the robot is told.
        self._watched = [f'action/{source}' for source in SOURCES] + ['reward', 'estop']
        self._watched += [] if self._direct else [t for t in (robot.command.topic, robot.gripper.topic) if t]
        joined = ['policy', 'reward', *([] if self._direct else ['joints'])]
        joined += ['teleop'] if 'teleop_node' in self.peers else []
        joined += ['reset'] if self.config.reset.by_arm else []
        self._join = StampJoin(joined, self._on_step)
        self._reported = 0
        self._passed_over: tuple[int, dict[str, float]] | None = None
        self._declare_speed_scale()
        self._subscribe()
        self._check_surroundings()
        self.create_service(Trigger, '~/clear_fault', self._on_clear)
        self.create_service(Trigger, '~/estop', self._on_estop_service)
        self.every(CHECK_PERIOD_S, self._check_surroundings)
        if not self.lockstep:
            self.tick_s = 1.0 / self.robot.command.rate_hz
        self._publish_state()

    def start(self) -> None:
        self._check_surroundings()

    def stop(self) -> None:
        """Brake and hold: the arm's controller may keep the last command for ever."""
        if self._motion is None or not self._started:
            return
        while not self._motion.at_rest:
            self._send(self._motion.brake())
            time.sleep(self._motion.period_s)
        self._send(self._motion.brake())
        self._started = False

    def _subscribe(self) -> None:
        self._polled = PolledSubscriptions(self)
        subscribe = self.create_subscription if self.lockstep else self._polled.subscribe
        # A switch may latch its state or repeat it, and either must stop the arm: only the latched subscription hears
        # what was said before it began, and only the other one hears every publisher, whatever it offers.
        subscribe(Bool, 'estop', self._on_estop, LATCHED)
        subscribe(Bool, 'estop', self._on_estop, SENSOR)
        streams = {} if self._direct else {'joints': self.robot.joint_state_topic}
        streams |= {'reward': 'reward'} | {source: f'action/{source}' for source in SOURCES}
        for stream, topic in streams.items():
            qos = BURST if stream == 'joints' and not self.lockstep else STEP
            subscribe(JointState, topic, partial(self._on_message, stream), qos)
        if self._wrench.wanted and self.robot.wrench_topic:
            subscribe(WrenchStamped, self.robot.wrench_topic, self._on_wrench, BURST)

    def _on_message(self, stream: str, message: JointState) -> None:
        stamp = stamp_ns(message.header.stamp)
        try:
            values = read_named_vector(message)
            released = stream in ('teleop', 'reset') and not values
            if stream in SOURCES and not released:
                now = None if self.lockstep else self.get_clock().now().nanoseconds
                self._check.require_fit(stream, values, stamp, message.header.frame_id, now)
        except ValueError as error:
            self._reject(f'{stream}: {error}')
            return
        if self.lockstep:
            if stream in self._join.streams:
                self._join.offer(stream, stamp, values)
            else:
                self._reject(f'{stream}: lock-step does not wait for it; use clock: realtime')
        elif stream == 'joints':
            self._on_joints(values)
        elif stream == 'reward':
            self._on_running(values['running'] > 0.5)
        elif released:
            self._on_release(stream, stamp)
        else:
            self._on_action(stream, stamp, values)

    def _on_step(self, stamp: int, values: dict[str, Any]) -> None:
        if not self._direct:
            self._on_joints(values['joints'])
        running = values['reward']['running'] > 0.5
        self._on_running(running, bool(values.get('reset')))
        speaking = 'teleop' if running else 'reset'
        for source in ('teleop', 'reset'):
            if source != speaking or not values.get(source):
                self._gate.release(source)
        source = speaking if values.get(speaking) else 'policy'
        self._on_action(source, stamp, values[source])

    def _on_joints(self, values: dict[str, float]) -> None:
        arm = [values.get(name, np.nan) for name in self.robot.arm_joints]
        if np.isfinite(arm).all():
            self._joints |= values
            self._gate.on_joints(time.monotonic())
        elif not any(name in values for name in self.robot.arm_joints):
            # The gripper, in a message of its own.
            self._joints |= values

    def _on_running(self, running: bool, resetting: bool = False) -> None:
        self._gate.on_running(running, time.monotonic())
        if resetting:
            return
        if not running and self._motion is not None:
            # Between episodes the arm is moved by something else.
            self._motion.forget()
        if self.lockstep and not running:
            # The next episode starts wherever the reset puts the arm. In real time braking ends this one first.
            self._started = False

    def _on_wrench(self, message: WrenchStamped) -> None:
        force, torque = message.wrench.force, message.wrench.torque
        values = np.array([force.x, force.y, force.z, torque.x, torque.y, torque.z])
        frame = self.robot.wrench_frame or message.header.frame_id or self.robot.tool_frame
        if self._motion is not None and not self._motion.has_frame(frame):
            self._reject(f'wrench: frame {frame!r} is not in the URDF; set wrench_frame in the robot file')
            return
        self._wrench.measured(values, frame, time.monotonic())

    def _on_action(self, source: str, stamp: int, action: dict[str, float]) -> None:
        admitted = self._gate.admits(source, time.monotonic()) and (self._direct or bool(self._joints))
        if stamp == self._reported:
            # The step is taken already: when a person closes the clutch late in it, theirs is the next.
            return
        if admitted:
            # What the policy made its action from belongs to what was executed.
            noise = {name: value for name, value in action.items() if name.startswith(EXTRA)}
            self._report(stamp, self._execute(stamp, action) | noise, source)
        elif self._gate.mode in SOURCES:
            # Somebody else steers. Should they hand back at this very stamp, this is what is done.
            self._passed_over = (stamp, action)
        else:
            self._report_hold(stamp)
        self._publish_state()

    def _on_release(self, source: str, stamp: int) -> None:
        """A person, or a reset, does not steer at this stamp: hand back, at once if the policy has spoken already."""
        self._gate.release(source)
        if self._passed_over is not None and self._passed_over[0] == stamp:
            self._on_action('policy', *self._passed_over)
        elif 'inference_node' not in self.peers:
            self._report_hold(stamp)
        self._passed_over = None

    def _execute(self, stamp: int, action: dict[str, float]) -> dict[str, float]:
        names = self.specs.action.names
        if self._motion is None:
            clipped = np.clip(pick(action, names), self.specs.action.low, self.specs.action.high)
            return dict(zip(names, clipped.tolist()))
        measured = pick(self._joints, self.robot.arm_joints)
        if not self._started:
            # The first command is where the arm is: taking over never jumps.
            first = self._motion.start_at(measured)
            if not self.lockstep:
                self._send(first)
            self._started = True
        self._motion.push = self._push(measured)
        by_joints = names[0] not in action
        told = self._joint_names if by_joints else names
        target = self._motion.act(pick(action, told), measured, by_joints)
        if self.lockstep:
            self._arm.send(self._motion.whole_step(), stamp)
        if target.gripper is not None:
            # Some drivers leave the fingers out, or say NaN; then the gripper is taken to be where it should go.
            read = [self._joints.get(name, np.nan) for name in self.robot.gripper.joints]
            fingers = np.nan_to_num(np.array(read), nan=target.gripper, posinf=target.gripper, neginf=target.gripper)
            self._gripper.send(target.gripper, fingers, self._command_stamp(stamp))
        moved = {f'moved/ee.d{axis}': float(way) for axis, way in zip('xyz', target.moved_m)}
        if target.gripper is None and 'gripper' in names:
            # In lock-step the simulation must know that no command for the fingers will come.
            moved['moved/gripper'] = 0.0
        limited = {f'limited/{name}': 1.0 for name in sorted(self._motion.limited_by)}
        self._motion.limited_by.clear()
        executed = dict(zip(told, target.executed.tolist()))
        # By joints is only ever a reset, whose steps nobody learns from: what a step has goes by the same names always.
        return {**{name: executed.get(name, 0.0) for name in names}, **moved, **limited}

    def tick(self) -> None:
        self._polled.take()
        mode = self._gate.update(time.monotonic())
        if self._motion is not None and self._joints:
            measured = pick(self._joints, self.robot.arm_joints)
            if self._started and mode in SOURCES:
                self._motion.push = self._push(measured)
                self._send(self._motion.tick(measured))
            elif self._started:
                self._send(self._motion.brake())
                # At rest the last command stands; the next motion starts from where the arm then is.
                self._started = not self._motion.at_rest
            elif self.robot.command.is_velocity:
                # Such a controller may still have a velocity from before this process began.
                self._send(self._motion.stand(measured))
        self._publish_state()

    def _push(self, measured: np.ndarray) -> Push | None:
        motion = self._motion
        if not self._wrench.wanted or motion is None:
            return None
        return self._wrench.push(lambda frame: motion.rotation(frame, measured))

    def _send(self, setpoint: SetPoint) -> None:
        self._arm.send(replace(setpoint, duration_s=OVERLAP * setpoint.duration_s), self._command_stamp(0))

    def _command_stamp(self, step_stamp: int) -> int:
        """See ArmCommander.send: a simulation drops commands from before its reset, a real arm takes them at once."""
        if self.lockstep:
            return step_stamp
        return self.get_clock().now().nanoseconds if self.config.sim and not self.config.in_gazebo else 0

    def _check_surroundings(self) -> None:
        for topic in self._watched:
            name = self.resolve_topic_name(topic)
            if self.count_publishers(name) > 1:
                sentence = f'{self.count_publishers(name)} publishers on {name}; stop all but one'
                persists = lambda n=name: self.count_publishers(n) > 1  # noqa: E731
                self._gate.latch('two_publishers', sentence, persists, cause=name)
        why = self._driver.blocked()
        if why is not None and self._driver_was_ready:
            self._gate.latch('driver', why, lambda: self._driver.blocked() is not None)
        # Until the driver has been ready once nothing has gone wrong: hold, and go on by itself.
        self._driver_was_ready = self._driver_was_ready or why is None
        waiting = [] if self.active else ['the node is not active']
        waiting += [] if self._driver_was_ready else [str(why)]
        if self._wrench.wanted and not self._wrench.heard:
            waiting.append(f'waiting for {self.robot.wrench_topic}')
        self._gate.blocked = '; '.join(waiting)
        # Whoever spoke while this process stood still was not silent.
        self._polled.take()
        now = time.monotonic()
        if not self.lockstep and self._wrench.lost(now):
            sentence = f'nothing on {self.robot.wrench_topic}; look at the force sensor'
            self._gate.latch('wrench_lost', sentence, lambda: self._wrench.lost(time.monotonic()))
        self._gate.update(now)
        self._publish_state()

    def _on_estop(self, message: Bool) -> None:
        self._gate.on_estop(message.data, time.monotonic())
        self._gate.update(time.monotonic())
        self._publish_state()

    def _on_estop_service(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._gate.latch('estop', 'stopped by the service; clear the fault to go on')
        self._gate.update(time.monotonic())
        self._publish_state()
        response.success = True
        return response

    def _on_clear(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = self._gate.clear(time.monotonic())
        response.success, response.message = refusal is None, refusal or ''
        self._publish_state()
        return response

    def _declare_speed_scale(self) -> None:
        span = FloatingPointRange(from_value=0.05, to_value=1.0)
        descriptor = ParameterDescriptor(description='share of every speed limit', floating_point_range=[span])
        if not self.has_parameter('speed_scale'):
            self.declare_parameter('speed_scale', 1.0, descriptor)
        if self._motion is not None:
            self._motion.speed_scale = float(self.get_parameter('speed_scale').value)
        self.when_set(self._on_parameters)

    def _on_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == 'speed_scale' and self._motion is not None:
                self._motion.speed_scale = float(parameter.value)
        return SetParametersResult(successful=True)

    def _report_hold(self, stamp: int) -> None:
        self._report(stamp, dict.fromkeys(self.specs.action.names, 0.0), 'hold')

    def _report(self, stamp: int, values: dict[str, float], source: str) -> None:
        self._reported = stamp
        self._executed.publish(write_named_vector({**values, f'by/{source}': 1.0}, stamp))
        self.status.count(f'executed_{source}')
        if not self.lockstep and source != 'hold':
            self.status.time_ms('loop', (self.get_clock().now().nanoseconds - stamp) * 1e-6)

    def _reject(self, why: str) -> None:
        self.status.count('rejected_actions')
        self.get_logger().error(f'rejected: {why}', throttle_duration_sec=1.0)

    def _publish_state(self) -> None:
        """Say so when the mode or its cause has changed, or the arm has come to rest."""
        at_rest = self._motion is None or not self._started
        stated = (self._gate.mode, self._gate.cause, at_rest)
        if stated == self._stated:
            return
        changed = self._stated is None or stated[:2] != self._stated[:2]
        self._stated = stated
        mode, cause = stated[:2]
        faults = self._gate.faults.faults
        status = DiagnosticStatus(name='safety_node: mode', hardware_id=self.robot.name)
        status.message = f'{mode}: {cause}' if cause else mode
        status.level = DiagnosticStatus.ERROR if faults else DiagnosticStatus.OK
        if cause == 'no action':
            status.level = DiagnosticStatus.WARN
        status.values = [KeyValue(key='mode', value=mode), KeyValue(key='at_rest', value=str(at_rest).lower())]
        status.values += [KeyValue(key=f'fault/{fault.code}', value=fault.sentence) for fault in faults]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._state.publish(message)
        self.status.values.update(mode=mode, faults=[fault.code for fault in faults])
        mend = '; then call safety_node/clear_fault'
        self.status.warning = '; '.join(fault.sentence for fault in faults) + mend if faults else ''
        if mode == 'hold' and changed:
            self.status.count('holds')
        if changed:
            for fault in faults:
                self.get_logger().error(f'{fault.code}: {fault.sentence}')


def main() -> None:
    node_main(SafetyNode)


if __name__ == '__main__':
    main()
