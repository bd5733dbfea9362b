"""From what a person does with a device to actions. Knows nothing of ROS or of the device."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import numpy as np
import pinocchio

from hybrid_rl_ros.config import ActionConfig
from hybrid_rl_ros.data.specs import ActionSpec
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.teleop_config import STICKS, TeleopMapping

Inputs = Mapping[str, float]
PRESSED = 0.5


class Teleop:
    """Clutch, gripper and buttons; subclasses say how the arm moves.

    Inputs are named numbers: axes from -1 to 1, buttons and keys 0 or 1.
    """

    def __init__(self, mapping: TeleopMapping, spec: ActionSpec, action: ActionConfig) -> None:
        self._mapping, self._action = mapping, action
        self._names = spec.names
        self._largest = dict(zip(spec.names, spec.high.tolist()))
        self._keeps_gripper = action.gripper_mode == 'continuous'
        self._gripper: float | None = None
        self.gripper_opening = 1.0
        self._were_pressed: set[str] = set()
        self._held_until_s = -np.inf
        self.engaged = False

    def action(self, inputs: Inputs, now_s: float) -> dict[str, float] | None:
        """The next control step's action, or None while the clutch is open. `now_s`: steady time."""
        if self._clutch(inputs):
            self._held_until_s = now_s + self._mapping.linger_s
        wanted = now_s <= self._held_until_s
        if wanted and not self.engaged:
            self.engaged = self._engage()
        elif not wanted:
            self.engaged = False
        return self._with_gripper(inputs) | self._motion(inputs) if self.engaged else None

    def stand_still(self) -> dict[str, float]:
        """The action that keeps the arm where it is and the gripper as it was told."""
        return self._with_gripper({})

    def pressed_now(self, inputs: Inputs) -> list[str]:
        """The events whose button went down since the last call."""
        down: set[str] = {event for event, names in self._mapping.events.items() if _held(inputs, names)}
        new, self._were_pressed = down - self._were_pressed, down
        return sorted(new)

    def gripper_told(self, value: float | None) -> None:
        """What the gripper was told last, by anybody: taking over does not drop what it holds.

        None when a new episode begins; then `gripper_opening` counts, 0 closed to 1 open, until it is told something.
        """
        if value is None or value != 0.0:
            self._gripper = value

    def _with_gripper(self, inputs: Inputs) -> dict[str, float]:
        """No motion, and the gripper."""
        gripper = {'gripper': self._grip(inputs)} if 'gripper' in self._largest else {}
        return dict.fromkeys(self._names, 0.0) | gripper

    def _clutch(self, inputs: Inputs) -> bool:
        return _held(inputs, self._mapping.clutch)

    def _engage(self) -> bool:
        """The clutch has closed; False to wait."""
        return True

    def _motion(self, inputs: Inputs) -> dict[str, float]:
        raise NotImplementedError

    def _grip(self, inputs: Inputs) -> float:
        opens, closes = _held(inputs, self._mapping.gripper.open), _held(inputs, self._mapping.gripper.close)
        if opens != closes:
            self._gripper = 1.0 if opens else -1.0
            return self._gripper
        if not self._keeps_gripper:
            return 0.0
        return self._gripper if self._gripper is not None else (1.0 if self.gripper_opening > 0.5 else -1.0)

    def _speed(self, inputs: Inputs) -> float:
        return self._mapping.slow_speed if _held(inputs, self._mapping.slow) else self._mapping.speed


class StickTeleop(Teleop):
    """Deflections are speeds: a gamepad, a SpaceMouse, keys."""

    def __init__(self, mapping: TeleopMapping, spec: ActionSpec, action: ActionConfig) -> None:
        super().__init__(mapping, spec, action)
        if action.space == 'joint_position':
            raise UserError('a stick says how fast, not where to: action.space joint_position needs a device: joints')
        _require_known(mapping.motion, spec.names, 'motion')

    def _clutch(self, inputs: Inputs) -> bool:
        if self._mapping.clutch:
            return super()._clutch(inputs)
        gripper = [*self._mapping.gripper.open, *self._mapping.gripper.close]
        moving = [name for weights in self._mapping.motion.values() for name in weights]
        return _held(inputs, gripper) or any(self._beyond_deadzone(inputs.get(name, 0.0)) for name in moving)

    def _motion(self, inputs: Inputs) -> dict[str, float]:
        speed = self._speed(inputs)
        values = {}
        for name, weights in self._mapping.motion.items():
            if name in self._largest:
                deflection = sum(weight * self._beyond_deadzone(inputs.get(i, 0.0)) for i, weight in weights.items())
                share = 1.0 if name == 'gripper' else speed
                values[name] = float(np.clip(deflection, -1.0, 1.0)) * share * self._largest[name]
        return values

    def _beyond_deadzone(self, value: float) -> float:
        zone = self._mapping.deadzone
        return float(np.sign(value)) * max(0.0, abs(value) - zone) / (1.0 - zone)


class PoseTeleop(Teleop):
    """The tool follows a hand (a VR controller, a tracker) from where both were when the clutch closed.

    `pose` is the hand's, in m and along the base's axes.
    """

    def __init__(self, mapping: TeleopMapping, spec: ActionSpec, action: ActionConfig) -> None:
        super().__init__(mapping, spec, action)
        if action.space != 'ee_delta' or action.frame != 'base':
            raise UserError(
                'device pose moves the tool along the base axes: it needs action.space ee_delta, frame base'
            )
        self.pose: pinocchio.SE3 | None = None
        self._followed: pinocchio.SE3 | None = None

    def _engage(self) -> bool:
        self._followed = self.pose
        return self.pose is not None

    def _motion(self, inputs: Inputs) -> dict[str, float]:
        assert self.pose is not None and self._followed is not None
        scale, step, turn = (
            self._mapping.scale * self._speed(inputs),
            self._action.max_step_m,
            self._action.max_step_rad,
        )
        # What one step cannot make up for is left to the next.
        way = np.clip(scale * (self.pose.translation - self._followed.translation), -step, step)
        rotation = np.clip(pinocchio.log3(self.pose.rotation @ self._followed.rotation.T), -turn, turn)
        if not self._action.rotation:
            rotation = np.zeros(3)
        self._followed = pinocchio.SE3(
            pinocchio.exp3(rotation) @ self._followed.rotation, self._followed.translation + way / scale
        )
        values = {f'ee.d{axis}': float(number) for axis, number in zip('xyz', way)}
        turned = {f'ee.dr{axis}': float(number) for axis, number in zip('xyz', rotation)}
        return values | (turned if self._action.rotation else {})


class JointTeleop(Teleop):
    """The arm takes the joint positions of a leader arm, once the leader has been brought near it.

    `leader` and `measured`: rad by joint name.
    """

    def __init__(self, mapping: TeleopMapping, spec: ActionSpec, action: ActionConfig) -> None:
        super().__init__(mapping, spec, action)
        if action.space != 'joint_position':
            raise UserError(f'device joints says where each joint goes: action.space is {action.space}')
        ours = [name.removesuffix('.position') for name in spec.names if name != 'gripper']
        _require_known(mapping.joints, ours, 'joints')
        if 'gripper' in mapping.joints and mapping.leader_gripper_rad is None:
            raise UserError(
                "teleop joints: gripper needs leader_gripper_rad: [closed, open], where the leader's is then"
            )
        missing = [name for name in ours if name not in mapping.joints]
        if missing:
            raise UserError(f'teleop joints: {missing[0]!r} has no joint of the leader; expected {", ".join(ours)}')
        self._ours = ours
        self.leader: Mapping[str, float] = {}
        self.measured: Mapping[str, float] = {}
        self.hindrance = ''
        self._stands_at: dict[str, float] | None = None

    def stand_still(self) -> dict[str, float]:
        # Kept while it stands: measured anew at every step, what the arm sags below its set-point would add up.
        if self._stands_at is None:
            self._stands_at = {f'{name}.position': float(self.measured[name]) for name in self._ours}
        return super().stand_still() | self._stands_at

    def _engage(self) -> bool:
        self.hindrance = self._why_not()
        return not self.hindrance

    def _why_not(self) -> str:
        for ours in self._ours:
            theirs = self._mapping.joints[ours]
            if theirs not in self.leader:
                return f'the leader does not say where {theirs} is'
            if ours not in self.measured:
                return f'the arm does not say where {ours} is'
            apart = abs(self.leader[theirs] - self.measured[ours])
            if not apart <= self._mapping.match_within_rad:
                return f'bring {theirs} nearer to {ours}: {apart:.2f} rad apart'
        return ''

    def _motion(self, inputs: Inputs) -> dict[str, float]:
        self._stands_at = None
        values = {f'{ours}.position': float(self.leader[self._mapping.joints[ours]]) for ours in self._ours}
        gripper = self._mapping.joints.get('gripper')
        if gripper is not None and gripper in self.leader and 'gripper' in self._largest:
            assert self._mapping.leader_gripper_rad is not None
            closed, opened = self._mapping.leader_gripper_rad
            share = (self.leader[gripper] - closed) / (opened - closed)
            values['gripper'] = float(np.clip(2.0 * share - 1.0, -1.0, 1.0))
        return values


def make_teleop(mapping: TeleopMapping, spec: ActionSpec, action: ActionConfig) -> Teleop:
    """Raises UserError for a mapping that does not fit the action."""
    kinds: dict[str, type[Teleop]] = {'pose': PoseTeleop, 'joints': JointTeleop}
    return (StickTeleop if mapping.device in STICKS else kinds[mapping.device])(mapping, spec, action)


def _held(inputs: Inputs, names: Iterable[str]) -> bool:
    return any(abs(inputs.get(name, 0.0)) > PRESSED for name in names)


def _require_known(given: Iterable[str], known: list[str], key: str) -> None:
    for name in given:
        if name not in known and not name.startswith('ee.dr') and name != 'gripper':
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UserError(f'teleop {key}: {name!r} is not in the action; the nearest is {nearest!r}')
