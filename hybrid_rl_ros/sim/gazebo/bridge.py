"""What ros_gz_bridge carries: the files config/gz_bridge*.yaml, one for each process of it."""

from __future__ import annotations

from hybrid_rl_ros.robot_config import RobotConfig
from hybrid_rl_ros.sim.gazebo.topics import (
    CLOCK,
    JOINT_STATE,
    ROS_CLOCK,
    ROS_JOINT_STATES,
    WRENCH,
    command_topic,
    pose_topic,
    ros_command_topic,
    ros_pose_topic,
)
from hybrid_rl_ros.sim.layout import CAMERAS

COMMENT = '# Written by hybrid_rl_ros.sim.gazebo.worlds.'
TO_ROS, TO_GAZEBO = 'GZ_TO_ROS', 'ROS_TO_GZ'


def bridge_files(robot: RobotConfig) -> dict[str, str]:
    """File name to text."""
    wrench = robot.wrench_topic or 'wrench'
    always = [
        _entry(ROS_CLOCK, CLOCK, 'rosgraph_msgs/msg/Clock', 'gz.msgs.Clock'),
        _entry(wrench, WRENCH, 'geometry_msgs/msg/WrenchStamped', 'gz.msgs.Wrench'),
    ]
    control = [_entry(ROS_JOINT_STATES, JOINT_STATE, 'sensor_msgs/msg/JointState', 'gz.msgs.Model')]
    for joint in (*robot.arm_joints, *robot.gripper.joints):
        names = (ros_command_topic(joint), command_topic(joint))
        control.append(_entry(*names, 'std_msgs/msg/Float64', 'gz.msgs.Double', TO_GAZEBO))
    images = []
    for camera in CAMERAS:
        image, info = f'{camera}/image_raw', f'{camera}/camera_info'
        images.append(_entry(image, f'/{image}', 'sensor_msgs/msg/Image', 'gz.msgs.Image'))
        images.append(_entry(info, f'/{info}', 'sensor_msgs/msg/CameraInfo', 'gz.msgs.CameraInfo'))
    cube = [_entry(ros_pose_topic('cube'), pose_topic('cube'), 'geometry_msgs/msg/PoseStamped', 'gz.msgs.Pose')]
    return {
        'gz_bridge.yaml': _text('the clock and the force-torque sensor', always),
        'gz_bridge_control.yaml': _text("gz-sim's own joint controllers; not with gz_ros2_control", control),
        'gz_bridge_images.yaml': _text('the cameras, in a process of their own: beside them the rest lags', images),
        'gz_bridge_cube.yaml': _text('where the cube is, in the worlds push and lift', cube),
    }


def _entry(ros: str, gazebo: str, ros_type: str, gazebo_type: str, direction: str = TO_ROS) -> str:
    names = f'ros_topic_name: {ros}, gz_topic_name: {gazebo}'
    return f'- {{{names}, ros_type_name: {ros_type}, gz_type_name: {gazebo_type}, direction: {direction}}}'


def _text(what: str, entries: list[str]) -> str:
    return '\n'.join([COMMENT, f'# {what[0].upper()}{what[1:]}.', *entries, ''])
