"""A person's part in an episode: to begin, judge and discard it. Their word goes over everybody's."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from std_srvs.srv import Trigger


class EpisodeServices:
    """Serves ~/begin (arm and scene are in place), ~/success, ~/failure and ~/discard, all Trigger.

    `hindrance` says why no episode can begin, or ''; `running` whether one is under way; `discard` ends it without a
    label; `dispute(word)` hears a verdict on the episode that has just ended and says why that is of no use, or ''.
    `begun`: how often a person has begun one.
    """

    def __init__(
        self,
        node: Node,
        hindrance: Callable[[], str],
        running: Callable[[], bool],
        discard: Callable[[], None],
        dispute: Callable[[str], str],
    ) -> None:
        self._hindrance, self._running, self._discard, self._dispute = hindrance, running, discard, dispute
        self.begun = 0
        self._verdict = ''
        for name in ('begin', 'success', 'failure', 'discard'):
            node.create_service(Trigger, f'~/{name}', lambda _, answer, n=name: self._answer(n, answer))

    def take_verdict(self) -> str:
        """The person's verdict on this step, `success` or `failure`, once; '' if there was none."""
        verdict, self._verdict = self._verdict, ''
        return verdict

    def _answer(self, name: str, answer: Trigger.Response) -> Trigger.Response:
        running = self._running()
        if name == 'begin':
            answer.message = 'an episode is under way' if running else self._hindrance()
            self.begun += not answer.message
        elif not running:
            answer.message = 'no episode is under way' if name == 'discard' else self._dispute(name)
        elif name == 'discard':
            self._discard()
        else:
            self._verdict = name
        answer.success = not answer.message
        return answer
