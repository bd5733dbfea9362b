"""Whether the robot's driver says that the arm may move."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from rclpy.node import Node

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import DriverStateConfig, RobotConfig
from hybrid_rl_ros.ros.events import SILENT_SUBSCRIPTION
from hybrid_rl_ros.ros.interfaces import import_interface
from hybrid_rl_ros.ros.qos import LATCHED, SENSOR

HEARD_WITHIN_S = 5.0


class DriverStates:
    """Follows `robot.driver_states`. Nothing heard counts as blocked: a gate does not open on an assumption.

    Raises UserError when made, if a type is not installed or lacks the field.
    """

    def __init__(self, node: Node, robot: RobotConfig, heard_within_s: float = HEARD_WITHIN_S) -> None:
        self._states = robot.driver_states
        self._heard_within_s = heard_within_s
        self._began = time.monotonic()
        self._values: list[Any] = [None] * len(self._states)
        for index, state in enumerate(self._states):
            self._subscribe(node, robot, index, state)

    def blocked(self) -> str | None:
        """Why the arm may not move, in one sentence, or None."""
        for state, value in zip(self._states, self._values):
            if value is None:
                waited = time.monotonic() - self._began
                if waited < self._heard_within_s:
                    return f'waiting for the driver state {state.topic}'
                return f'nothing received on {state.topic} within {self._heard_within_s:g} s; is the driver running?'
            if value not in state.ok:
                expected = ' or '.join(str(ok) for ok in state.ok)
                return f'{state.topic} says {state.field} {value}, expected {expected}'
        return None

    def _subscribe(self, node: Node, robot: RobotConfig, index: int, state: DriverStateConfig) -> None:
        where = f'robot {robot.name}: driver state {state.topic}'
        message = import_interface(state.type, where)
        _check_field(message, state.field, where)
        listen = partial(self._on_message, index, state.field.split('.'))
        # Only a latched subscription gets what was published before it began, and only a volatile best-effort one
        # matches every publisher. Drivers differ; together they hear them all, and twice does no harm.
        node.create_subscription(message, state.topic, listen, LATCHED, event_callbacks=SILENT_SUBSCRIPTION)
        node.create_subscription(message, state.topic, listen, SENSOR)

    def _on_message(self, index: int, path: list[str], message: Any) -> None:
        for name in path:
            message = getattr(message, name)
        self._values[index] = message


def _check_field(message: Any, field: str, where: str) -> None:
    value = message()
    for name in field.split('.'):
        if name not in getattr(value, 'get_fields_and_field_types', dict)():
            raise UserError(f'{where}: {message.__name__} has no field {field!r}')
        value = getattr(value, name)
    if not isinstance(value, (bool, int, float, str)):
        raise UserError(f'{where}: field {field!r} is neither a number, a string nor a Bool')
