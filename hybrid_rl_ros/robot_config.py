"""A robot arm as a YAML file (config/robots/): joints, frames, command topics and limits. A new arm needs no code."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from hybrid_rl_ros.config_file import Section, named_file, read_yaml, share_folder, validate
from hybrid_rl_ros.errors import UserError

Vector3 = tuple[float, float, float]


class CommandConfig(Section):
    """What the arm's controller takes, and how often."""

    type: Literal['joint_trajectory', 'position_array', 'velocity_array', 'twist', 'pose', 'joint_state']
    topic: str
    rate_hz: float = Field(100.0, ge=10, le=1000, description='set-points between two control steps')

    @property
    def is_velocity(self) -> bool:
        """Whether the controller takes velocities, and so neither knows where the arm should be nor stops by itself."""
        return self.type in ('velocity_array', 'twist')


class GripperConfig(Section):
    """The gripper's joints, and what its controller takes; positions are of each joint, in m or rad as it moves."""

    type: Literal['none', 'joint_trajectory', 'position_array', 'gripper_action', 'franka_grasp'] = 'none'
    topic: str | None = None
    joints: list[str] = []
    closed: float = 0.0
    open: float = 0.0
    speed: float = Field(0.1, gt=0, description='of each joint, per second')
    force_n: float = Field(20.0, gt=0, description='for actions that take one')

    @model_validator(mode='after')
    def _complete(self) -> GripperConfig:
        if self.type != 'none' and not (self.topic and self.joints):
            raise ValueError(f'type {self.type} needs topic and joints')
        if self.joints and self.closed == self.open:
            raise ValueError('closed and open are the same position')
        return self


class BoxConfig(Section):
    """A box in the robot's surroundings, along the axes of the base frame."""

    name: str
    size_m: Vector3
    at_m: Vector3 = Field(description='its middle, in the base frame')


class LimitsConfig(Section):
    """What safety_node never lets the arm exceed. One number for all joints, or one for each."""

    workspace_low_m: Vector3 = Field(description='of the tool frame, in the base frame')
    workspace_high_m: Vector3
    max_tilt_rad: float = Field(
        math.pi, gt=0, le=math.pi, description="of the tool's z axis from its direction at home"
    )
    joint_speed_rad_s: float | list[float] = 1.0
    joint_acceleration_rad_s2: float | list[float] = 10.0
    joint_margin_rad: float = Field(0.0, ge=0, description="kept from the URDF's position limits")
    ee_speed_m_s: float = Field(1.0, gt=0)
    force_n: float | None = Field(None, gt=0, description='measured at the wrist; beyond it the arm only retreats')
    torque_nm: float | None = Field(None, gt=0)
    self_distance_m: float | None = Field(None, ge=0, description='between links that are not neighbours; null for off')
    scene_distance_m: float = Field(0.01, ge=0, description='between links and the boxes of `scene`')
    scene: list[BoxConfig] = []

    @model_validator(mode='after')
    def _ordered(self) -> LimitsConfig:
        if any(low >= high for low, high in zip(self.workspace_low_m, self.workspace_high_m)):
            raise ValueError('workspace_low_m must be below workspace_high_m in x, y and z')
        for name in ('joint_speed_rad_s', 'joint_acceleration_rad_s2'):
            value = getattr(self, name)
            if any(not 0 < v < math.inf for v in (value if isinstance(value, list) else [value])):
                raise ValueError(f'{name} must be above 0')
        return self


class DriverStateConfig(Section):
    """A state that the robot's driver publishes; while it is not one of `ok` the gate is closed."""

    topic: str
    type: str = Field(description='such as std_msgs/msg/Bool')
    field: str = 'data'
    ok: list[bool | int | str] = Field(min_length=1)


class RobotConfig(Section):
    """One arm."""

    name: str
    urdf: str
    base_frame: str = 'base_link'
    tool_frame: str
    arm_joints: list[str] = Field(min_length=1)
    home_rad: list[float]
    joint_state_topic: str = 'joint_states'
    wrench_topic: str | None = None
    wrench_frame: str | None = Field(None, description='whose axes the wrench is along; null: as its messages say')
    wrench_sign: Literal[1, -1] = Field(1, description='1: what the surroundings do to the tool; -1: the reverse')
    temperature_topics: dict[str, str] = Field(
        {}, description='sensor_msgs/Temperature by name; episode.pause_when reads them as temperature.<name>, in C'
    )
    command: CommandConfig
    gripper: GripperConfig = GripperConfig()
    limits: LimitsConfig
    driver_states: list[DriverStateConfig] = []

    @property
    def joint_speeds_rad_s(self) -> list[float]:
        """One for each of arm_joints."""
        return self._of_each(self.limits.joint_speed_rad_s)

    @property
    def joint_accelerations_rad_s2(self) -> list[float]:
        """One for each of arm_joints."""
        return self._of_each(self.limits.joint_acceleration_rad_s2)

    def _of_each(self, limit: float | list[float]) -> list[float]:
        return limit if isinstance(limit, list) else [limit] * len(self.arm_joints)

    @model_validator(mode='after')
    def _lengths_agree(self) -> RobotConfig:
        limits = self.limits
        lists = {
            'home_rad': self.home_rad,
            'limits.joint_speed_rad_s': limits.joint_speed_rad_s,
            'limits.joint_acceleration_rad_s2': limits.joint_acceleration_rad_s2,
        }
        for name, value in lists.items():
            if isinstance(value, list) and len(value) != len(self.arm_joints):
                raise ValueError(f'{name} has {len(value)} values for {len(self.arm_joints)} arm_joints')
        if len(set(self.arm_joints)) != len(self.arm_joints):
            raise ValueError('arm_joints names a joint twice')
        if (limits.force_n or limits.torque_nm) and not self.wrench_topic:
            raise ValueError('limits.force_n and limits.torque_nm need wrench_topic')
        return self


def load_robot(name_or_path: str) -> RobotConfig:
    """Read a robot by its name in config/robots/ or by a path. Raises UserError."""
    path = named_file('robots', name_or_path)
    return validate(RobotConfig, read_yaml(path), str(path))


def urdf_path(robot: RobotConfig) -> Path:
    """The robot's URDF: an absolute or existing path, or a file in urdf/. Raises UserError."""
    path = Path(robot.urdf)
    if not path.is_file():
        path = share_folder('urdf') / robot.urdf
    if not path.is_file():
        raise UserError(f'robot {robot.name}: urdf {robot.urdf!r} is neither a file nor in {path.parent}')
    return path
