"""Every kind of gripper gets what it documents; an action gets a goal only when the target changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import GripperConfig, RobotConfig, load_robot
from hybrid_rl_ros.ros.gripper_commands import make_gripper_commander
from hybrid_rl_ros.ros.messages import stamp_ns

STAMP = 7_000_000_001
OPEN = np.array([0.04, 0.04])


def gripper(kind: str, **changes: Any) -> RobotConfig:
    """The simulated arm with another gripper controller."""
    values: dict[str, Any] = {
        'topic': 'gripper/command',
        'joints': ['left', 'right'],
        'closed': 0.0,
        'open': 0.04,
        'speed': 0.1,
        'force_n': 30.0,
    }
    return load_robot('sim_arm').model_copy(update={'gripper': GripperConfig(type=kind, **{**values, **changes})})


def test_a_trajectory_takes_the_time_that_the_longest_way_needs(nodes):
    commander = make_gripper_commander(nodes.ours, gripper('joint_trajectory'))
    heard = nodes.listen(JointTrajectory, 'gripper/command')
    commander.send(0.01, np.array([0.04, 0.02]), STAMP)
    nodes.spin_until(lambda: heard)
    (point,) = heard[0].points
    assert heard[0].joint_names == ['left', 'right']
    assert list(point.positions) == [0.01, 0.01]
    assert list(point.velocities) == [0.0, 0.0]
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 300_000_000)
    assert stamp_ns(heard[0].header.stamp) == STAMP


def test_a_trajectory_takes_no_less_than_the_shortest_time(nodes):
    commander = make_gripper_commander(nodes.ours, gripper('joint_trajectory'), shortest_s=0.1)
    heard = nodes.listen(JointTrajectory, 'gripper/command')
    commander.send(0.04, OPEN, STAMP)
    nodes.spin_until(lambda: heard)
    assert heard[0].points[0].time_from_start.nanosec == 100_000_000


def test_a_position_array_has_one_number_for_each_finger(nodes):
    commander = make_gripper_commander(nodes.ours, gripper('position_array'))
    heard = nodes.listen(Float64MultiArray, 'gripper/command')
    commander.send(0.03, OPEN, STAMP)
    nodes.spin_until(lambda: heard)
    assert list(heard[0].data) == [0.03, 0.03]


def test_no_gripper_takes_anything_and_publishes_nothing(nodes):
    make_gripper_commander(nodes.ours, gripper('none')).send(0.03, OPEN, STAMP)
    assert not [name for name, _ in nodes.ours.get_topic_names_and_types() if 'gripper' in name]


@pytest.mark.parametrize('kind', ['joint_trajectory', 'position_array'])
@pytest.mark.parametrize(
    ('position', 'measured'), [(float('nan'), OPEN), (0.02, np.array([np.nan, 0.0])), (0.02, np.zeros(3))]
)
def test_nothing_is_sent_for_a_number_that_is_not_finite(nodes, kind, position, measured):
    commander = make_gripper_commander(nodes.ours, gripper(kind))
    with pytest.raises(ValueError, match='finite numbers'):
        commander.send(position, measured, STAMP)


def installed(package: str) -> bool:
    try:
        __import__(package)
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize(
    ('kind', 'package'), [('gripper_action', 'control_msgs'), ('franka_grasp', 'franka_msgs')], ids=lambda value: value
)
def test_a_missing_package_says_what_to_install(nodes, kind, package):
    if installed(package):
        pytest.skip(f'{package} is installed here')
    with pytest.raises(UserError) as error:
        make_gripper_commander(nodes.ours, gripper(kind))
    assert f'apt install ros-$ROS_DISTRO-{package.replace("_", "-")}' in str(error.value)


class Server:
    """A gripper's action server that keeps its goals and ends each when told to, or when it is cancelled."""

    def __init__(self, nodes: Any, action: Any, name: str) -> None:
        from rclpy.action import ActionServer, CancelResponse, GoalResponse

        self.goals: list[Any] = []
        self.cancelled = 0
        self.accepts = True
        self.done = False
        self.ignores_cancelling = False
        self._action = action
        ActionServer(
            nodes.theirs,
            action,
            name,
            self._execute,
            goal_callback=lambda _: GoalResponse.ACCEPT if self.accepts else GoalResponse.REJECT,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )

    async def _execute(self, handle: Any) -> Any:
        self.goals.append(handle.request)
        while not (self.done or (handle.is_cancel_requested and not self.ignores_cancelling)):
            await _next_spin()
        if handle.is_cancel_requested:
            self.cancelled += 1
            handle.canceled()
        else:
            handle.succeed()
        return self._action.Result()


async def _next_spin() -> None:
    class Once:
        def __await__(self):
            yield

    await Once()


def test_an_action_gets_one_goal_for_one_target_and_the_next_after_cancelling_it(nodes):
    action = pytest.importorskip('control_msgs.action').GripperCommand
    server = Server(nodes, action, 'gripper/command')
    commander = make_gripper_commander(nodes.ours, gripper('gripper_action'))

    def send(position: float) -> None:
        commander.send(position, OPEN, STAMP)

    nodes.spin_until(lambda: send(0.04) or server.goals)
    assert server.goals[0].command.position == 0.04
    assert server.goals[0].command.max_effort == 30.0
    for _ in range(20):
        send(0.0399)
        nodes.executor.spin_once(timeout_sec=0.02)
    assert len(server.goals) == 1

    nodes.spin_until(lambda: send(0.0) or len(server.goals) == 2)
    assert server.cancelled == 1
    assert server.goals[1].command.position == 0.0
    server.done = True


def test_a_cancellation_that_is_never_answered_does_not_block_the_next_target(nodes, monkeypatch):
    action = pytest.importorskip('control_msgs.action').GripperCommand
    monkeypatch.setattr('hybrid_rl_ros.ros.action_goals.ANSWER_WITHIN_S', 0.3)
    server = Server(nodes, action, 'gripper/command')
    server.ignores_cancelling = True
    commander = make_gripper_commander(nodes.ours, gripper('gripper_action'))
    nodes.spin_until(lambda: commander.send(0.04, OPEN, STAMP) or server.goals)
    nodes.spin_until(lambda: commander.send(0.0, OPEN, STAMP) or len(server.goals) == 2)
    assert server.cancelled == 0
    server.done = True


def test_a_goal_that_was_refused_is_sent_again(nodes):
    action = pytest.importorskip('control_msgs.action').GripperCommand
    server = Server(nodes, action, 'gripper/command')
    server.accepts = False
    server.done = True
    commander = make_gripper_commander(nodes.ours, gripper('gripper_action'))
    for _ in range(50):
        commander.send(0.0, OPEN, STAMP)
        nodes.executor.spin_once(timeout_sec=0.02)
    assert not server.goals
    server.accepts = True
    nodes.spin_until(lambda: commander.send(0.0, OPEN, STAMP) or server.goals)


def test_franka_grasps_when_closing_and_moves_otherwise(nodes):
    actions = pytest.importorskip('franka_msgs.action')
    grasps = Server(nodes, actions.Grasp, 'hand/grasp')
    moves = Server(nodes, actions.Move, 'hand/move')
    grasps.done = moves.done = True
    commander = make_gripper_commander(nodes.ours, gripper('franka_grasp', topic='hand'))
    nodes.spin_until(lambda: commander.send(0.04, OPEN, STAMP) or moves.goals)
    nodes.spin_until(lambda: commander.send(0.0, OPEN, STAMP) or grasps.goals)
    assert (moves.goals[0].width, moves.goals[0].speed) == (0.08, 0.2)
    assert (grasps.goals[0].width, grasps.goals[0].speed, grasps.goals[0].force) == (0.0, 0.2, 30.0)
    assert grasps.goals[0].epsilon.outer == 0.08
