"""When to plan, and which action is due: one plan after the other, or the next while the last one plays."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from statistics import median

import numpy as np

from hybrid_rl_ros.learning.policies.chunk_executor import ChunkExecutor
from hybrid_rl_ros.learning.policies.network import Plan

# Plans whose time the next one is begun by.
REMEMBERED = 20
# Of a period: a plan that is wanted now is waited for so long, that a quick one's first action is not a period late.
WAITED = 0.25


class Planner:
    """Asked at every observation. `steps` of each plan are to be done before the next.

    In turn, a plan is made when the last one's steps are done, and everything waits for it. With `ahead` it is made in
    a thread of its own. Quick ones, of less than WAITED periods, are still made in turn. Others are begun so much
    earlier as plans take (an episode's first at once, and until it is there no action is due); what they hold for the
    time that has passed by then is skipped:

        observations   |   |   |   |   |   |   |   |
        plan 1         a0  a1  a2  a3
        plan 2                 (a0  a1) a2  a3  a4       begun at the third observation, there before the fifth

    Times are ns of one clock. `inference_ms` is what the newest plan took, None once it was taken.
    """

    def __init__(
        self,
        period: int,
        steps: int,
        ahead: bool = False,
        blend: int = 0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`blend`: over so many actions a plan made ahead takes over from the one before, where they overlap.

        `clock_s`: what plans are timed by.
        """
        self.chunks = ChunkExecutor(period)
        self.lock = threading.Lock()
        """Held while a plan is made: whoever changes what plans are made by takes it."""
        self.inference_ms: float | None = None
        self._period, self._steps, self._blend, self._clock_s = period, steps, blend, clock_s
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
        lead = self._lead()
        if self._pending is None and (
            self._stamp is None or now() >= self._stamp + (self._steps - lead) * self._period
        ):
            self._pending = stamp, self._thread.submit(self._made, plan)
            if self._stamp is None or not lead:
                wait([self._pending[1]], timeout=WAITED * self._period * 1e-9)
                self._take_pending(now)

    def _take_pending(self, now: Callable[[], int]) -> None:
        if self._pending is not None and self._pending[1].done():
            (stamp, future), self._pending = self._pending, None
            self._take(future.result(), stamp, now())

    def _lead(self) -> int:
        """How many periods before it is wanted a plan is begun; 0 for quick ones, which see what is there then.

        One of them that takes long for once is a period late; begun ahead, all of them would act on what has passed.
        """
        if not self._took_s or median(self._took_s) * 1e9 <= WAITED * self._period:
            return 0
        return math.ceil(max(self._took_s) * 1e9 / self._period + WAITED)

    def _made(self, plan: Callable[[], Plan]) -> Plan:
        with self.lock:
            began = self._clock_s()
            made = plan()
            self._took_s.append(self._clock_s() - began)
            self.inference_ms = self._took_s[-1] * 1e3
            return made

    def _take(self, plan: Plan, stamp: int, now: int) -> None:
        actions = plan.actions if self._thread is not None else plan.actions[: self._steps]
        if now:
            skipped = max(0, (now - stamp) // self._period)
            self.chunks.offer(self._blended(actions, skipped, now) if skipped else actions, stamp, skipped)
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
