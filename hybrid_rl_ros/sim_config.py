"""What stands in for a robot."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from hybrid_rl_ros.config_file import Section


class SimConfig(Section):
    """What stands in for the robot and its drivers."""

    backend: Literal['mujoco', 'gymnasium', 'gazebo'] = Field(
        'mujoco', description='gazebo: a server that runs already (gazebo.launch.py), with its bridge'
    )
    reset: Literal['teleport', 'none'] = Field(
        'teleport',
        description='none: after the first start only the arm changes the scene (reset.routine, practice.tasks)',
    )
    placed: dict[str, tuple[float, float]] = Field(
        {},
        description='x and y, m, of objects that stand there at every start; the others are drawn: {goal: [0.4, 0.1]}',
    )
    tray: bool = Field(
        False, description='mujoco: slippery slopes around the table, down which an object comes back into reach'
    )
    gl: Literal['auto', 'osmesa', 'egl', 'off'] = 'auto'
    control: Literal['ros2_control', 'gz'] = Field(
        'ros2_control',
        description="gazebo: who moves the joints, gz_ros2_control's controllers or gz-sim's own",
    )
    set_pose: Literal['auto', 'ros', 'python', 'command'] = Field(
        'auto', description='gazebo: how a reset places objects: a bridged service, gz.transport, or `gz service`'
    )
    env_id: str | None = None
    env_kwargs: dict[str, Any] = {}

    @model_validator(mode='after')
    def _gymnasium_needs_an_environment(self) -> SimConfig:
        if (self.backend == 'gymnasium') != (self.env_id is not None):
            raise ValueError('env_id is set exactly when backend is gymnasium')
        if self.placed and self.backend == 'gymnasium':
            raise ValueError('placed: a gymnasium environment places its objects itself')
        if self.tray and self.backend != 'mujoco':
            raise ValueError(f'tray: is of backend mujoco; {self.backend} has none')
        return self
