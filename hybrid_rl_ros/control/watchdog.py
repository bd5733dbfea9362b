"""Ages of what the gate listens to, on steady time."""

from __future__ import annotations


class Watchdog:
    """One stream: `fed` at every message, `silent_s` since the last one. Times are steady, in s."""

    def __init__(self, timeout_s: float, now_s: float) -> None:
        self.timeout_s = timeout_s
        self._last_s = now_s
        self.ever = False

    def fed(self, now_s: float) -> None:
        self._last_s = now_s
        self.ever = True

    def silent_s(self, now_s: float) -> float:
        return now_s - self._last_s

    def expired(self, now_s: float) -> bool:
        return self.silent_s(now_s) > self.timeout_s
