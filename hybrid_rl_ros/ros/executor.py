"""rclpy's single-threaded executor, at half its cost."""

from __future__ import annotations

from typing import Any

from rclpy.executors import SingleThreadedExecutor


class QuietExecutor(SingleThreadedExecutor):
    """Does not wake itself.

    rclpy triggers the executor's guard condition after every callback, for other threads that may wait; where there are
    none, all that does is a second wait over every entity for each callback. (Measured on the gate: 215 waits a second
    for 110 callbacks, 22% of a core.)
    """

    def _make_handler(self, *arguments: Any) -> Any:
        guard: Any = self._guard  # type: ignore[has-type]
        self._guard: Any = _Untriggered()
        try:
            return super()._make_handler(*arguments)
        finally:
            self._guard = guard


class _Untriggered:
    def trigger(self) -> None:
        """Nobody waits."""
