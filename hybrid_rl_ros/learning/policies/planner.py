"""When to plan, and which action is due: one plan after the other, or the next while the last one plays."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np

from hybrid_rl_ros.learning.policies.chunk_executor import ChunkExecutor
from hybrid_rl_ros.learning.policies.network import Plan

# Plans whose time the next one is begun by.
REMEMBERED = 20
# Of a period: an episode's first plan is waited for so long, that a quick one's first action is not a period late.
WAITED = 0.25


class Planner:
    """Asked at every observation. `steps` of each plan are to be done before the next.

    In turn, a plan is made when the last one's steps are done, and everything waits for it. With `ahead` it is made in
    a thread of its own, so much earlier as plans take (an episode's first at once, and until it is there no action is
    due); what it holds for the time that has passed by then is skipped:

        observations   |   |   |   |   |   |   |   |
        plan 1         a0  a1  a2  a3
        plan 2                 (a0  a1) a2  a3  a4       begun at the third observation, there before the fifth

    Times are ns of one clock. `inference_ms` is what the newest plan took, None once it was taken.
    """

    def __init__(self, period: int, steps: int, ahead: bool = False, blend: int = 0) -> None:
        """`blend`: over so many actions a new plan takes over from the one before, where they overlap."""
        self.chunks = ChunkExecutor(period)
        self.lock = threading.Lock()
        """Held while a plan is made: whoever changes what plans are made by takes it."""
        self.inference_ms: float | None = None
        self._period, self._steps, self._blend = period, steps, blend
        self._thread = ThreadPoolExecutor(1, 'planner') if ahead else None
        self._pending: tuple[int, Future[Plan]] | None = None
        self._took_s: deque[float] = deque(maxlen=REMEMBERED)
        self._stamp: int | None = None
        self._untold: np.ndarray | None = None

    def action(
        self, plan: Callable[[], Plan], stamp: int, now: Callable[[], int], anew: bool = False
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(A,) the action that is due, if any, and (h, A) the noise of its plan, if it is the first of that.

        `plan()` plans from the observation of `stamp`; `anew`: whatever was planned is of another episode.
        """
        if anew:
            self.forget()
        if self._thread is None:
            if self._steps == 1 or not self.chunks.holds(now()):
                self._take(self._made(plan), stamp, 0)
        else:
            self._plan_ahead(plan, stamp, now)
        action = self.chunks.action(now())
        noise = None
        if action is not None:
            noise, self._untold = self._untold, None
        return action, noise

    def forget(self) -> None:
        """What was planned, or is being planned, is not to be done."""
        self.chunks.clear()
        self._pending = self._stamp = self._untold = None

    def _plan_ahead(self, plan: Callable[[], Plan], stamp: int, now: Callable[[], int]) -> None:
        assert self._thread is not None
        self._take_pending(now)
        if self._pending is None and (self._stamp is None or now() >= self._next_due(self._stamp)):
            self._pending = stamp, self._thread.submit(self._made, plan)
            if self._stamp is None:
                wait([self._pending[1]], timeout=WAITED * self._period * 1e-9)
                self._take_pending(now)

    def _take_pending(self, now: Callable[[], int]) -> None:
        if self._pending is not None and self._pending[1].done():
            (stamp, future), self._pending = self._pending, None
            self._take(future.result(), stamp, now())

    def _next_due(self, stamp: int) -> int:
        """When to begin the plan after that of `stamp`."""
        lead = (1 + math.ceil(max(self._took_s) * 1e9 / self._period)) * self._period
        return stamp + self._steps * self._period - lead

    def _made(self, plan: Callable[[], Plan]) -> Plan:
        with self.lock:
            began = time.monotonic()
            made = plan()
            self._took_s.append(time.monotonic() - began)
            self.inference_ms = self._took_s[-1] * 1e3
            return made

    def _take(self, plan: Plan, stamp: int, now: int) -> None:
        actions = plan.actions if self._thread is not None else plan.actions[: self._steps]
        if now:
            skipped = max(0, (now - stamp) // self._period)
            actions = self._blended(actions, skipped, now)
            self.chunks.offer(actions, stamp, skipped)
        else:
            self.chunks.offer(actions, stamp)
        self._stamp, self._untold = stamp, plan.noise

    def _blended(self, actions: np.ndarray, skipped: int, now: int) -> np.ndarray:
        """`actions` (h, A), the first of them that will be done drawn towards what the last plan holds for then."""
        blended = actions.copy()
        for later in range(min(self._blend, len(actions) - skipped)):
            before = self.chunks.peek(now + later * self._period)
            if before is not None:
                share = (later + 1) / (self._blend + 1)
                blended[skipped + later] = share * actions[skipped + later] + (1.0 - share) * before
        return blended
