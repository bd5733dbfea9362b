"""The names that worlds, bridge and gazebo_node share, on Gazebo's side and on ROS's."""

from __future__ import annotations

MODEL = 'arm'
# On Gazebo's side.
CLOCK = '/clock'
JOINT_STATE = '/arm/joint_state'
WRENCH = '/arm/wrench'
POSES_HZ = 50.0


def command_topic(joint: str) -> str:
    """Where a joint's JointPositionController listens; the default name has a part that ROS refuses (`0`)."""
    return f'/arm/{joint}/cmd_pos'


def pose_topic(model: str) -> str:
    """PosePublisher's own name for the pose of a model."""
    return f'/model/{model}/pose'


# On ROS's side, what gazebo_node turns into the graph's topics.
ROS_CLOCK = 'gazebo/clock'
ROS_JOINT_STATES = 'gazebo/joint_states'


def ros_command_topic(joint: str) -> str:
    return f'gazebo/{joint}/cmd_pos'


def ros_pose_topic(model: str) -> str:
    return f'gazebo/{model}/pose'
