"""A person's part in an episode, where neither a simulation nor a routine starts and judges it."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from std_srvs.srv import Trigger


class EpisodeServices:
    """Serves ~/begin (arm and scene are in place), ~/success and ~/failure, all Trigger.

    `hindrance` says why no episode can begin, or ''; `running` whether one is under way.
    """

    def __init__(self, node: Node, hindrance: Callable[[], str], running: Callable[[], bool]) -> None:
        self._hindrance, self._running = hindrance, running
        self._begun = 0
        self._verdict = ''
        for name in ('begin', 'success', 'failure'):
            node.create_service(Trigger, f'~/{name}', lambda _, answer, n=name: self._answer(n, answer))

    def take(self) -> dict[str, float]:
        """What a simulation's task_state would say: resets so far, and a verdict on this step, which counts once."""
        verdict, self._verdict = self._verdict, ''
        return {
            'resets': float(self._begun),
            'success': float(verdict == 'success'),
            'failure': float(verdict == 'failure'),
        }

    def _answer(self, name: str, answer: Trigger.Response) -> Trigger.Response:
        running = self._running()
        if name == 'begin':
            answer.message = 'an episode is under way' if running else self._hindrance()
            self._begun += not answer.message
        else:
            answer.message = '' if running else 'no episode is under way'
            self._verdict = name if running else ''
        answer.success = not answer.message
        return answer
