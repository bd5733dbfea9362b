"""How a person's device steers the arm, as configuration: a file of config/teleop/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from hybrid_rl_ros.config_file import Section, named_file, read_yaml, validate

# `axis0`, `button3`, or a key of the keyboard: `w`, `space`, `up`.
Input = Annotated[str, StringConstraints(pattern=r'^\S+$')]
NUMBERED = re.compile(r'(axis|button)\d+')
KEYS = ('space', 'enter', 'backspace', 'tab', 'up', 'down', 'left', 'right')
KEY = re.compile('.|' + '|'.join(KEYS))
STICKS = ('joy', 'gamepad', 'spacemouse', 'keyboard')
# Nothing moves them but a hand: a motion is a clutch of its own.
SELF_CLUTCHED = ('spacemouse', 'keyboard')


class GripperInputs(Section):
    """Held inputs that open and close; in between, a continuous gripper stays as it was told last."""

    open: list[Input] = []
    close: list[Input] = []


class TeleopMapping(Section):
    """One device. `joy`, `pose` and `joints` come over ROS, the others are read directly; `expert` is a script.

    motion: for each number of the action, the inputs that drive it and their weights; an input of 1 with weight 1 is
    the largest action. pose and joints follow a hand instead, and take clutch and buttons from `joy_topic`.
    """

    device: Literal['joy', 'gamepad', 'spacemouse', 'keyboard', 'pose', 'joints', 'expert']
    joy_topic: str = 'joy'
    topic: str = Field('', description='pose: PoseStamped; joints: JointState of the leader')
    clutch: list[Input] = Field(
        [], description='the arm moves only while one is held; keyboard, spacemouse: any motion'
    )
    linger_s: float = Field(0.0, ge=0, le=2, description='how long an open clutch still keeps the arm, standing still')
    motion: dict[str, dict[Input, float]] = {}
    gripper: GripperInputs = GripperInputs()
    events: dict[Literal['start', 'success', 'failure', 'discard', 'estop', 'clear_fault'], list[Input]] = {}
    deadzone: float = Field(0.1, ge=0, lt=1, description='of an axis; what is beyond it starts from 0')
    speed: float = Field(1.0, gt=0, le=1, description='share of the largest action at full deflection')
    slow: list[Input] = Field([], description='while held, slow_speed in place of speed')
    slow_speed: float = Field(0.3, gt=0, le=1)
    silent_after_s: float = Field(0.5, gt=0, description='the device is lost when nothing came for so long: hold')
    scale: float = Field(1.0, gt=0, le=10, description="pose: the tool's way for 1 m of the hand's")
    joints: dict[str, str] = Field({}, description="joints: our joints -> the leader's")
    leader_gripper_rad: tuple[float, float] | None = Field(None, description='joints: [closed, open], of its gripper')
    match_within_rad: float = Field(0.3, gt=0, description='joints: the arm waits until the leader is that near to it')
    takes_over_after_steps: int = Field(30, ge=0, description='expert: when an episode is not done after so many steps')

    @model_validator(mode='after')
    def _has_what_its_device_needs(self) -> TeleopMapping:
        if self.device in STICKS and not self.motion:
            raise ValueError(f'device {self.device} needs motion: which inputs drive which number of the action')
        if self.device not in (*SELF_CLUTCHED, 'expert') and not self.clutch:
            raise ValueError(f'device {self.device} needs a clutch: the inputs that must be held for the arm to move')
        if self.device in ('pose', 'joints') and not self.topic:
            raise ValueError(f'device {self.device} needs a topic')
        if self.leader_gripper_rad is not None and self.leader_gripper_rad[0] == self.leader_gripper_rad[1]:
            raise ValueError('leader_gripper_rad: closed and open are the same')
        if self.device == 'joints' and not self.joints:
            raise ValueError("device joints needs joints: our joints and the leader's")
        known = KEY if self.device == 'keyboard' else NUMBERED
        for where, name in self.inputs():
            if not known.fullmatch(name):
                expected = 'a character or one of ' + ', '.join(KEYS) if known is KEY else 'axis0, button3 and so on'
                raise ValueError(f'{where}: {name!r} is no input of device {self.device}; expected {expected}')
            if where.startswith('events') and name in self.clutch:
                raise ValueError(f'{where}: {name} is the clutch already')
        return self

    def inputs(self) -> Iterator[tuple[str, str]]:
        """Every input that is used, with where: ('motion.ee.dx', 'axis1')."""
        named: dict[str, list[str]] = {'clutch': self.clutch, 'slow': self.slow}
        named |= {'gripper.open': self.gripper.open, 'gripper.close': self.gripper.close}
        named |= {f'motion.{name}': list(weights) for name, weights in self.motion.items()}
        named |= {f'events.{name}': inputs for name, inputs in self.events.items()}
        return ((where, name) for where, names in named.items() for name in names)

    def legend(self) -> str:
        """What to press for what, in a line."""
        parts: dict[str, list[str]] = {'clutch': self.clutch}
        parts |= {str(event): inputs for event, inputs in self.events.items()}
        if self.device == 'keyboard':
            parts = {name: list(weights) for name, weights in self.motion.items()} | parts
            parts |= {'open': self.gripper.open, 'close': self.gripper.close}
        return ', '.join(f'{name} {"/".join(inputs)}' for name, inputs in parts.items() if inputs)


def load_teleop(name_or_path: str) -> TeleopMapping:
    """Read a device by its name in config/teleop/ or by a path. Raises UserError."""
    path = named_file('teleop', name_or_path)
    return validate(TeleopMapping, read_yaml(path), str(path))
