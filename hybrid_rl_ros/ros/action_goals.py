"""Goals of a ROS action made from a stream of targets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node

MakeGoal = Callable[[float], 'tuple[ActionClient, Any]']
WARN_EVERY_S = 5.0
# A server that was killed and came back looks like one that never left, and knows nothing of the goal.
ANSWER_WITHIN_S = 2.0


class ActionGoals:
    """Sends a goal when the target changes by more than `tolerance`, one at a time, and never waits.

    A goal under way is cancelled for the next one, which goes out once the first has ended: servers differ in what they
    do with two. What the server refused, lost by dying, or was not there for goes out again with a later call.
    """

    def __init__(self, node: Node, action: str, tolerance: float) -> None:
        self._log = node.get_logger()
        self._action = action
        self._tolerance = tolerance
        self._sent: float | None = None
        self._under_way: _Goal | None = None

    def want(self, target: float, make_goal: MakeGoal) -> None:
        """Bring the action to `target`; called at every control step, so that what could not be sent is sent later."""
        goal = self._under_way
        if goal is not None and goal.lost():
            self._under_way = self._sent = goal = None
        if self._sent is not None and abs(target - self._sent) <= self._tolerance:
            return
        if goal is not None:
            goal.cancel()
            return
        client, message = make_goal(target)
        if not client.server_is_ready():
            self._log.warning(f'nobody serves the action {self._action}', throttle_duration_sec=WARN_EVERY_S)
            return
        self._sent = target
        self._under_way = _Goal(client, message, self._on_end)

    def _on_end(self, goal: _Goal, refused: bool) -> None:
        if goal is not self._under_way:
            return
        self._under_way = None
        if refused:
            self._sent = None
            self._log.error(f'the action {self._action} refused a goal', throttle_duration_sec=WARN_EVERY_S)


class _Goal:
    """One goal from sending to its end; `on_end(goal, refused)` is called once."""

    def __init__(self, client: ActionClient, message: Any, on_end: Callable[[_Goal, bool], None]) -> None:
        self._client = client
        self._on_end = on_end
        self._handle: Any = None
        self._cancelling = False
        self._asked_s = self._served_s = time.monotonic()
        client.send_goal_async(message).add_done_callback(self._on_answer)

    def cancel(self) -> None:
        """Ask for the end, once; before the server has answered this does nothing and is asked again."""
        if self._handle is not None and not self._cancelling:
            self._cancelling = True
            self._asked_s = time.monotonic()
            self._handle.cancel_goal_async()

    def lost(self) -> bool:
        """Whether nobody is there any more, or the goal or its cancelling was left without an answer."""
        now = time.monotonic()
        if self._client.server_is_ready():
            self._served_s = now
        waits = self._handle is None or self._cancelling
        return now - (min(self._served_s, self._asked_s) if waits else self._served_s) > ANSWER_WITHIN_S

    def _on_answer(self, future: Any) -> None:
        self._handle = future.result()
        if not self._handle.accepted:
            self._on_end(self, True)
            return
        self._handle.get_result_async().add_done_callback(lambda _: self._on_end(self, False))
