"""What a Gazebo server lacks to be the robot of a run: its controllers' topics, its task's state, its resets."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from hybrid_rl_ros.control.homing import homing_action
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.proprioception import GRIPPER, Proprioception
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.nodes.episode_numbers import first_reset
from hybrid_rl_ros.ros.gazebo_set_pose import make_set_pose
from hybrid_rl_ros.ros.messages import read_named_vector, stamp_ns, write_named_vector
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.polling import PolledSubscriptions
from hybrid_rl_ros.ros.qos import COMMAND, SENSOR, STEP
from hybrid_rl_ros.sim.gazebo.arm_model import LOOP_RAD_S
from hybrid_rl_ros.sim.gazebo.topics import (
    ROS_CLOCK,
    ROS_JOINT_STATES,
    ros_command_topic,
    ros_pose_topic,
)
from hybrid_rl_ros.sim.setpoints import SetPoints
from hybrid_rl_ros.sim.tasks import Placement, make_task

TICK_S = 0.01
# The bridge brings the clock within this, and after that a reading is one of an arm that stands still.
SILENT_AFTER_S = 2.0
STILL_RAD_S = 0.05
RESET_SLOW_AFTER_S = 10.0
PLACED_WITHIN_M = 0.01
PLACED_WITHIN_S = 3.0
# The position loop's damping makes a joint lag behind by this while it moves.
LEAD_S = 2.0 / LOOP_RAD_S


class GazeboNode(GraphNode):
    """Beside a Gazebo server with one of worlds/*.sdf and its bridge (config/gz_bridge*.yaml).

    Publishes /clock and task_state at 100 Hz from gazebo/clock, joint states and gazebo/cube/pose. With sim.control: gz
    it also is what the controllers of a real arm are: it takes the robot's command topics, interpolates, and tells
    gz-sim's joint controllers; and it passes their joint states on at 100 Hz. (A server may publish clock and joint
    states at every step of its physics, and a wait of rclpy costs nearly a millisecond: here the newest are read.)

    Serves sim/reset (Trigger): at once, and then the arm goes to its next start by actions on action/reset, through the
    gate like all others, and the objects are put where that start has them; task_state's `resets` says when it is done.
    The starts are those of the MuJoCo simulation with the same seed.
    """

    consumers = {'task_state': ('observation_node',), 'action/reset': ('safety_node',)}
    tick_s = TICK_S

    def __init__(self) -> None:
        super().__init__('gazebo_node')

    def set_up(self) -> None:
        config, robot = self.config, self.robot
        if not config.in_gazebo or config.sim is None:
            raise UserError('gazebo_node: the configuration has no sim: {backend: gazebo}')
        if config.action.space != 'ee_delta' or config.action.frame != 'base':
            raise UserError('sim.backend: gazebo resets the arm by action.space: ee_delta in action.frame: base')
        self._task_rules = make_task(config.task, robot, config.sim.placed if config.sim else None)
        self._kinematics = ArmKinematics(robot)
        self._arm = Proprioception(robot, self._kinematics, [GRIPPER])
        self._home = self._kinematics.tool_pose(np.array(robot.home_rad)).translation
        limits = robot.limits
        self._workspace = np.array(limits.workspace_low_m), np.array(limits.workspace_high_m)
        self._set_pose = make_set_pose(self, config.sim.set_pose, config.task)
        self._polled = PolledSubscriptions(self)
        self.status.values['up'] = False
        self._now = 0
        self._heard_s = time.monotonic()
        self._resets = 0
        self._first_reset = first_reset(self.run_dir, self.role)
        self._start: np.ndarray | None = None
        self._to_place: dict[str, Placement] = {}
        self._placing: threading.Thread | None = None
        self._where: dict[str, Placement] = dict(self._task_rules.start(np.random.default_rng(0)))
        self._polled.subscribe(Clock, ROS_CLOCK, self._on_clock, SENSOR)
        if 'cube' in self._where:
            self._polled.subscribe(PoseStamped, ros_pose_topic('cube'), partial(self._on_pose, 'cube'), SENSOR)
        self._clock_publisher = self.create_publisher(Clock, '/clock', STEP)
        self._task = self.publisher(JointState, 'task_state', STEP)
        self._action = self.publisher(JointState, 'action/reset', STEP)
        self.create_subscription(JointState, 'observation/task', self._on_observation, STEP)
        self.create_service(Trigger, 'sim/reset', self._on_reset)
        self._controls = config.sim.control == 'gz'
        if self._controls:
            self._take_the_controllers_place()
        else:
            self._polled.subscribe(JointState, robot.joint_state_topic, self._on_joints, SENSOR)
        self.every(0.5, self._check_server)

    def _take_the_controllers_place(self) -> None:
        robot = self.robot
        if robot.command.type != 'joint_trajectory' or robot.gripper.type not in ('joint_trajectory', 'none'):
            raise UserError(
                f'robot {robot.name}: sim.control: gz takes commands of type joint_trajectory, not '
                f'{robot.command.type}, and a gripper of type joint_trajectory, not {robot.gripper.type}'
            )
        self.consumers = {**self.consumers, 'joint_states': ('observation_node', 'safety_node')}
        self._names = [*robot.arm_joints, *robot.gripper.joints]
        fingers = sorted((robot.gripper.closed, robot.gripper.open))
        lower = np.append(self._kinematics.lower_rad, [fingers[0]] * len(robot.gripper.joints))
        upper = np.append(self._kinematics.upper_rad, [fingers[1]] * len(robot.gripper.joints))
        self._setpoints = SetPoints(lower, upper, TICK_S)
        self._commanded = False
        self._joints = self.publisher(JointState, robot.joint_state_topic, STEP)
        self._to_gazebo: dict[str, Publisher] = {
            name: self.publisher(Float64, ros_command_topic(name), COMMAND) for name in self._names
        }
        self._polled.subscribe(JointState, ROS_JOINT_STATES, self._on_joints, SENSOR)
        for topic in (robot.command.topic, robot.gripper.topic):
            if topic:
                self._polled.subscribe(JointTrajectory, topic, self._on_trajectory, COMMAND)

    def tick(self) -> None:
        self._polled.take()
        if self._controls and self._commanded and self._setpoints.moving:
            position, velocity = self._setpoints.step()
            self._tell(position + LEAD_S * velocity)
            if not self._setpoints.moving:
                self._tell(position)

    def _tell(self, positions: np.ndarray) -> None:
        for name, position in zip(self._names, positions.tolist()):
            self._to_gazebo[name].publish(Float64(data=position))

    def _on_clock(self, message: Clock) -> None:
        now = stamp_ns(message.clock)
        if now == self._now:
            return
        self._now, self._heard_s = now, time.monotonic()
        self._clock_publisher.publish(message)
        self._publish_task()

    def _on_joints(self, message: JointState) -> None:
        self._arm.read(message.name, message.position, message.velocity, stamp_ns(message.header.stamp))
        if self._controls:
            message.header.frame_id = self.robot.base_frame
            self._joints.publish(message)
        if not self.status.values['up'] and self._now and self._is_still(message):
            self.status.values['up'] = True
            self.status.write()

    def _is_still(self, message: JointState) -> bool:
        """A world begins with the arm stretched out, and its controllers then bring it home."""
        return not self._arm.missing and np.abs(np.nan_to_num(message.velocity)).max(initial=0.0) < STILL_RAD_S

    def _on_pose(self, model: str, message: PoseStamped) -> None:
        at, turn = message.pose.position, message.pose.orientation
        yaw = np.arctan2(2.0 * (turn.w * turn.z + turn.x * turn.y), 1.0 - 2.0 * (turn.y**2 + turn.z**2))
        self._where[model] = (at.x, at.y, at.z, float(yaw))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        """As a joint_trajectory_controller: from where the set-points are, in a straight line to the last point."""
        unknown = [name for name in message.joint_names if name not in self._names]
        positions = np.array(message.points[-1].positions if message.points else [])
        if unknown or positions.shape != (len(message.joint_names),) or not np.isfinite(positions).all():
            self.status.count('rejected_commands')
            return
        if not self._commanded:
            if self._arm.missing:
                return
            numbers = self._arm.numbers()
            self._setpoints.start_at(np.array([numbers[f'{name}.position'] for name in self._names]))
            self._commanded = True
        duration = message.points[-1].time_from_start
        joints = [self._names.index(name) for name in message.joint_names]
        self._setpoints.move(joints, positions, duration.sec + duration.nanosec * 1e-9)

    def _publish_task(self) -> None:
        if self._arm.missing or not self.active:
            return
        numbers = self._arm.numbers()
        state = {name: numbers[name] for name in ('ee.x', 'ee.y', 'ee.z')}
        state[GRIPPER] = float(np.clip(numbers.get(GRIPPER, 0.0), 0.0, 1.0))
        rules = self._task_rules
        state.update(rules.state_of(self._where, state))
        state.update(rules.measures(state))
        state['success'] = float(rules.succeeded(state))
        state['failure'] = float(rules.failed(state))
        state['resets'] = float(self._resets)
        self._task.publish(write_named_vector(state, self._now, self.robot.base_frame))

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._start is None and self._placing is None:
            rng = np.random.default_rng([self.config.seed, self._first_reset + self._resets])
            offset = np.array(self._task_rules.start_offset_m)
            self._start = self._home + rng.uniform(-offset, offset)
            self._to_place = self._task_rules.start(rng)
            self._reset_began_s = time.monotonic()
        response.success = True
        return response

    def _on_observation(self, message: JointState) -> None:
        """While a reset is under way, answer every observation under its stamp, as a policy does."""
        if self._start is None:
            return
        task, stamp = read_named_vector(message), stamp_ns(message.header.stamp)
        tool = np.array([task['ee.x'], task['ee.y'], task['ee.z']])
        action = homing_action(tool, self._start, self.config.action.max_step_m, *self._workspace)
        wants_open = not self._task_rules.gripper_starts_closed
        if action is None and not (wants_open and self._moves_gripper and task[GRIPPER] < 0.9):
            self._start = None
            # Without numbers it hands back: the steps that follow are the policy's, to be held until an episode runs.
            self._action.publish(write_named_vector({}, stamp, self.robot.base_frame))
            self._placing = threading.Thread(target=self._place_objects, daemon=True)
            self._placing.start()
            return
        names = self.specs.action.names
        values = dict.fromkeys(names, 0.0)
        values.update(zip(names[:3], (np.zeros(3) if action is None else action).tolist()))
        if self._moves_gripper:
            values['gripper'] = 1.0 if wants_open else -1.0
        self._action.publish(write_named_vector(values, stamp, self.robot.base_frame))
        slow = time.monotonic() - self._reset_began_s > RESET_SLOW_AFTER_S
        self.status.warning = 'the arm does not reach its start; is something in its way?' if slow else ''

    @property
    def _moves_gripper(self) -> bool:
        return 'gripper' in self.specs.action.names

    def _place_objects(self) -> None:
        """In a thread of its own: a call may take long. Repeated until it has worked."""
        why = ''
        while self.active:
            why = next((why for name, at in self._to_place.items() if (why := self._set_pose.place(name, at))), '')
            if not why and self._placed():
                break
            self.status.warning = f'the scene cannot be reset: {why or "the objects are not where they were put"}'
            time.sleep(0.5)
        self.status.warning = ''
        self._placing = None
        self._resets += 1

    def _placed(self) -> bool:
        """Whether what is seen to move stands where it should; the rest is where it was put."""
        deadline = time.monotonic() + PLACED_WITHIN_S
        while time.monotonic() < deadline:
            off = [n for n in self._to_place if n == 'cube' and self._distance(n) > PLACED_WITHIN_M]
            if not off:
                self._where.update({name: at for name, at in self._to_place.items() if name != 'cube'})
                return True
            time.sleep(0.02)
        return False

    def _distance(self, name: str) -> float:
        return float(np.linalg.norm(np.subtract(self._where[name][:3], self._to_place[name][:3])))

    def _check_server(self) -> None:
        silent = time.monotonic() - self._heard_s
        if silent > SILENT_AFTER_S:
            topic = self.resolve_topic_name(ROS_CLOCK)
            self.status.warning = f'nothing on {topic} for {silent:.0f} s; do Gazebo and its bridge run?'
        elif self.status.warning.startswith('nothing on '):
            self.status.warning = ''

    def stop(self) -> None:
        """The joints keep the last set-point."""
        if self._controls and self._commanded:
            self._tell(self._setpoints.position)


def main() -> None:
    node_main(GazeboNode)


if __name__ == '__main__':
    main()
