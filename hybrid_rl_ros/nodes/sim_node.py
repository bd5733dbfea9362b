"""The simulation as a robot driver and its cameras."""

from __future__ import annotations

import time
from array import array

import numpy as np
from geometry_msgs.msg import WrenchStamped
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, Header
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.nodes.episode_numbers import first_reset
from hybrid_rl_ros.ros.messages import (
    NS_PER_S,
    pick,
    read_named_vector,
    stamp_ns,
    to_header,
    to_stamp,
    write_image,
    write_named_vector,
)
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import COMMAND, STEP
from hybrid_rl_ros.sim.factory import make_simulation

STATE_RATE_HZ = 100.0
IDLE_PERIOD_S = 0.2
LONGEST_CATCH_UP_S = 0.1


class SimNode(GraphNode):
    """Publishes what an arm and its cameras publish and takes what ros2_control's controllers take.

    Publishes: joint_states, wrench, task_state, <camera>/image_raw, <camera>/camera_info and, in lock-step, /clock.
    Subscribes: the robot's command topics and, in lock-step, action/executed and learner/step.
    Serves: sim/reset (Trigger): a new start, drawn from the seed and the number of the reset.

    Lock-step: the clock stands still until the first reset, and then each step until `action/executed` of its stamp,
    the commands that belong to it, and in training `learner/step` have come.
    """

    consumers = {'task_state': ('observation_node',)}

    def __init__(self) -> None:
        super().__init__('sim_node')

    def set_up(self) -> None:
        self._sim = make_simulation(self.config, self.robot, self.config.seed)
        self._direct = self.config.action.space == 'direct'
        self._period_ns = round(self.config.control_period_s * NS_PER_S)
        self._resets = 0
        self._first_reset = first_reset(self.run_dir, self.role)
        self._stamp = self._period_ns if self.lockstep else 0
        self._commands_after = 0
        self._seen: dict[str, int] = {}
        self._step_commands: dict[int, list[str]] = {}
        cameras = self._sim.cameras
        self.consumers = {**self.consumers, **{f'{camera}/image_raw': ('observation_node',) for camera in cameras}}
        if not self._direct:
            self.consumers['joint_states'] = ('observation_node', 'safety_node')
        self._joints = self.publisher(JointState, 'joint_states', STEP)
        self._wrench = self.publisher(WrenchStamped, 'wrench', STEP)
        self._task = self.publisher(JointState, 'task_state', STEP)
        self._images = {camera: self.publisher(Image, f'{camera}/image_raw', STEP) for camera in cameras}
        self._infos = {camera: self.publisher(CameraInfo, f'{camera}/camera_info', STEP) for camera in cameras}
        self._velocity: np.ndarray | None = None
        if not self._direct:
            self._subscribe_to_commands()
        self.create_subscription(JointState, 'action/executed', self._on_executed, STEP)
        self.create_service(Trigger, 'sim/reset', self._on_reset)
        if self.lockstep:
            self._clock_publisher = self.create_publisher(Clock, '/clock', STEP)
            self.create_subscription(Header, 'learner/step', self._on_learner, STEP)
            self.every(IDLE_PERIOD_S, self._on_idle)
            self._step_began = time.monotonic()
        else:
            self._advanced_to = time.monotonic()
            self._next_frame = 0.0
            self.every(1.0 / STATE_RATE_HZ, self._on_real_time)

    def close(self) -> None:
        self._sim.close()

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._resets and self.config.sim is not None and self.config.sim.reset == 'none':
            # The scene is as the arm left it; what follows is another episode all the same.
            self._resets += 1
            response.success = True
            return response
        self._sim.reset(self._first_reset + self._resets)
        self._resets += 1
        self._velocity = None
        # Commands computed before the reset would pull the arm back to where it was.
        self._commands_after = self._stamp if self.lockstep else self._now_ns()
        if self.lockstep and self._resets == 1:
            self._publish_next_step()
        response.success = True
        return response

    def _subscribe_to_commands(self) -> None:
        command, gripper = self.robot.command, self.robot.gripper
        array = {'position_array': self._on_positions, 'velocity_array': self._on_velocities}
        taken = ('joint_trajectory',) if self.lockstep else ('joint_trajectory', *array)
        if command.type not in taken or gripper.type not in ('joint_trajectory', 'none'):
            raise UserError(
                f'robot {self.robot.name}: the simulated arm takes commands of type {" or ".join(taken)} with clock: '
                f'{self.config.clock}, not {command.type}, and a gripper of type joint_trajectory, not {gripper.type}'
            )
        if command.type in array:
            self.create_subscription(Float64MultiArray, command.topic, array[command.type], COMMAND)
        else:
            self.create_subscription(JointTrajectory, command.topic, self._on_trajectory, COMMAND)
        if gripper.topic:
            self.create_subscription(JointTrajectory, gripper.topic, self._on_trajectory, COMMAND)

    def _on_positions(self, message: Float64MultiArray) -> None:
        self._command(self.robot.arm_joints, np.array(message.data), 1.0 / self.robot.command.rate_hz)

    def _on_velocities(self, message: Float64MultiArray) -> None:
        """Kept until the next, as by a real one."""
        velocity = np.array(message.data)
        joints = self._sim.joint_state()
        if joints is None or velocity.shape != (len(self.robot.arm_joints),) or not np.isfinite(velocity).all():
            self.status.count('rejected_commands')
            return
        if self._velocity is None:
            self._velocity_goal = pick(dict(zip(joints.names, joints.position)), self.robot.arm_joints)
        self._velocity = velocity

    def _follow_velocity(self, duration_s: float) -> None:
        if self._velocity is not None:
            self._velocity_goal = self._velocity_goal + self._velocity * duration_s
            self._command(self.robot.arm_joints, self._velocity_goal, duration_s)

    def _command(self, names: list[str], positions: np.ndarray, duration_s: float) -> None:
        try:
            self._sim.command_joints(names, positions, duration_s)
        except ValueError as error:
            self.status.count('rejected_commands')
            self.get_logger().error(f'command rejected: {error}')

    def _on_trajectory(self, message: JointTrajectory) -> None:
        # As for a joint_trajectory_controller, no stamp means from now on.
        stamp = stamp_ns(message.header.stamp) or self._now_ns()
        if stamp > self._commands_after and message.points:
            point = message.points[-1]
            duration = point.time_from_start.sec + point.time_from_start.nanosec * 1e-9
            self._command(list(message.joint_names), np.array(point.positions), duration)
        self._saw('gripper' if set(message.joint_names) & set(self.robot.gripper.joints) else 'arm', stamp)

    def _on_executed(self, message: JointState) -> None:
        stamp = stamp_ns(message.header.stamp)
        values = read_named_vector(message)
        acted = values.get('by/hold', 0.0) < 0.5
        if self._direct and acted and stamp > self._commands_after:
            self._sim.command_action(pick(values, self.specs.action.names))
            if not self.lockstep:
                self._sim.advance(self.config.control_period_s)
        if self.lockstep:
            self._step_commands[stamp] = self._commands_of(values) if acted and not self._direct else []
            self._saw('executed', stamp)

    def _commands_of(self, executed: dict[str, float]) -> list[str]:
        """Which commands a step's executed action comes with; a discrete gripper that was never told stays untold."""
        moves = self.config.action.gripper and self.robot.gripper.joints and 'moved/gripper' not in executed
        return ['arm', 'gripper'] if moves else ['arm']

    def _on_learner(self, message: Header) -> None:
        self._saw('learner', stamp_ns(message.stamp))

    def _saw(self, source: str, stamp: int) -> None:
        self._seen[source] = max(stamp, self._seen.get(source, 0))
        if self.lockstep:
            self._advance_if_released()

    def _advance_if_released(self) -> None:
        awaited = ['executed', *self._step_commands.get(self._stamp, [])]
        if 'learner_node' in self.peers:
            awaited.append('learner')
        if not self._resets or any(self._seen.get(source, 0) < self._stamp for source in awaited):
            return
        self._step_commands = {stamp: awaited for stamp, awaited in self._step_commands.items() if stamp > self._stamp}
        self._sim.advance(self.config.control_period_s)
        now = time.monotonic()
        self.status.time_ms('cycle', (now - self._step_began) * 1e3)
        self._step_began = now
        self._publish_next_step()

    def _publish_next_step(self) -> None:
        self._stamp += self._period_ns
        self.status.count('steps')
        self._publish(self._stamp)

    def _publish(self, stamp: int) -> None:
        self._clock_publisher.publish(Clock(clock=to_stamp(stamp)))
        self._publish_state(stamp)
        self._publish_images(stamp)

    def _on_idle(self) -> None:
        if not self._resets:
            self._publish(self._stamp)

    def _on_real_time(self) -> None:
        now = time.monotonic()
        if not self._direct:
            passed_s = min(now - self._advanced_to, LONGEST_CATCH_UP_S)
            self._follow_velocity(passed_s)
            self._sim.advance(passed_s)
        self._advanced_to = now
        stamp = self._now_ns()
        self._publish_state(stamp)
        if now >= self._next_frame:
            self._next_frame = max(self._next_frame + self.config.control_period_s, now)
            self._publish_images(stamp)

    def _publish_state(self, stamp: int) -> None:
        joints = self._sim.joint_state()
        if joints is not None:
            message = JointState(header=to_header(stamp, 'base_link'), name=list(joints.names))
            message.position = array('d', joints.position)
            message.velocity = array('d', joints.velocity)
            message.effort = array('d', joints.effort)
            self._joints.publish(message)
        wrench = self._sim.wrench()
        if wrench is not None:
            message = WrenchStamped(header=to_header(stamp, 'flange'))
            force, torque = message.wrench.force, message.wrench.torque
            force.x, force.y, force.z, torque.x, torque.y, torque.z = (float(value) for value in wrench)
            self._wrench.publish(message)
        task = {**self._sim.task_state(), 'resets': float(self._resets)}
        self._task.publish(write_named_vector(task, stamp, 'base_link'))

    def _publish_images(self, stamp: int) -> None:
        for camera, publisher in self._images.items():
            image = self._sim.render(camera)
            frame = f'{camera}_optical_frame'
            publisher.publish(write_image(image, stamp, frame))
            if self._infos[camera].get_subscription_count():
                self._infos[camera].publish(self._camera_info(camera, image.shape, stamp, frame))

    def _camera_info(self, camera: str, shape: tuple[int, ...], stamp: int, frame: str) -> CameraInfo:
        matrix = self._sim.camera_matrix(camera)
        info = CameraInfo(header=to_header(stamp, frame), height=shape[0], width=shape[1], distortion_model='plumb_bob')
        info.d = [0.0] * 5
        info.k = matrix.ravel()
        info.r = np.eye(3).ravel()
        info.p = np.hstack([matrix, np.zeros((3, 1))]).ravel()
        return info

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def main() -> None:
    node_main(SimNode)


if __name__ == '__main__':
    main()
