"""What does a reset: a routine of waypoints, or a class of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hybrid_rl_ros.control.reach import Reach
from hybrid_rl_ros.control.reset_routine import ResetRoutine
from hybrid_rl_ros.reset_config import ResetConfig
from hybrid_rl_ros.rewards.own_class import own_class
from hybrid_rl_ros.rewards.source import Seen


class ResetSource:
    """A reset of your own derives from this, in a file of its own, and is named in the configuration:

        reset: {source: 'my_package.my_file:MyReset', settings: {...}}

    Besides the tool's place, the gripper's opening and the joints (`reach.reads`) it reads the numbers that the
    configuration names. Raise UserError for wrong settings.
    """

    sees = False  # whether it wants images
    late = ''  # why it has given up; it is begun anew then, and at last a person is called

    def __init__(self, settings: Mapping[str, Any], reach: Reach, rate_hz: float, rng: np.random.Generator) -> None:
        self.settings, self.reach, self.rate_hz, self.rng = settings, reach, rate_hz, rng

    def begin(self) -> None:
        """An episode has ended, or what was tried before has not worked."""

    def act(self, seen: Seen) -> dict[str, float] | None:
        """The action of this step, by reach.names or by reach.joint_actions; None when it is done, or `late`."""
        raise NotImplementedError


class RoutineReset(ResetSource):
    """The waypoints of reset.routine."""

    def __init__(self, routine: ResetRoutine) -> None:
        self._routine = routine

    def begin(self) -> None:
        self._routine.begin()
        self.late = ''

    def act(self, seen: Seen) -> dict[str, float] | None:
        action = self._routine.act(seen.numbers)
        self.late = self._routine.late
        return action


class OwnReset(ResetSource):
    """Passes on what a class of the user's own does, if safety_node can take it."""

    def __init__(self, where: str, own: ResetSource, reach: Reach) -> None:
        self._where, self._own, self.reach = where, own, reach
        self.sees = own.sees

    def begin(self) -> None:
        self.late = self._own.late = ''
        self._own.begin()

    def act(self, seen: Seen) -> dict[str, float] | None:
        action = self._own.act(seen)
        self.late = self._own.late
        if action is not None:
            self.reach.require_action(action, f'reset source {self._where}')
        return action


def make_reset_source(config: ResetConfig, reach: Reach, rate_hz: float, rng: np.random.Generator) -> ResetSource:
    """What `config` says. Raises UserError for a source that is not there."""
    if not config.source:
        return RoutineReset(ResetRoutine(config.routine, reach, rate_hz, rng))
    own = own_class(config.source, ResetSource, 'reset source')
    return OwnReset(config.source, own(config.settings, reach, rate_hz, rng), reach)
