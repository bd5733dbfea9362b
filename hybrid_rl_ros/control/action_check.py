"""Whether an action message may be looked at: names, numbers, frame and stamp, before any limit sees it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

NS_PER_S = 1_000_000_000
MAX_LEAD_S = 0.05
# What may travel beside the action's own numbers.
EXTRA = 'latent/'


class ActionCheck:
    """Remembers the newest stamp of each source, so that nothing is executed twice or out of order."""

    def __init__(
        self,
        names: Collection[str],
        frame: str,
        max_age_s: float,
        max_lead_s: float = MAX_LEAD_S,
        reset_names: Collection[str] = (),
    ) -> None:
        """`reset_names`: what an action of the source reset may have in place of `names`."""
        self._names, self._reset_names = frozenset(names), frozenset(reset_names)
        self._frame = frame
        self._max_age_s, self._max_lead_s = max_age_s, max_lead_s
        self._newest: dict[str, int] = {}

    def require_fit(
        self, source: str, action: Mapping[str, float], stamp_ns: int, frame: str, now_ns: int | None
    ) -> None:
        """Raises ValueError saying what is wrong; `now_ns` None leaves the stamp's age alone (lock-step)."""
        own = {name for name in action if not name.startswith(EXTRA)}
        if own != self._names and not (source == 'reset' and own == self._reset_names):
            missing, unknown = sorted(self._names - own), sorted(own - self._names)
            raise ValueError(f'names: missing {missing}, unknown {unknown}')
        spoilt = [name for name, value in action.items() if not math.isfinite(value)]
        if spoilt:
            raise ValueError(f'{spoilt[0]} is {action[spoilt[0]]}')
        if frame != self._frame:
            raise ValueError(f'frame {frame!r}, expected {self._frame!r}')
        if now_ns is None:
            return
        age_s = (now_ns - stamp_ns) / NS_PER_S
        if not -self._max_lead_s <= age_s <= self._max_age_s:
            raise ValueError(f'stamp is {age_s:.3f} s old, expected 0 to {self._max_age_s:g} s')
        if self._newest.get(source, 0) > now_ns + self._max_lead_s * NS_PER_S:
            # The clock was set back; what came before says nothing any more.
            del self._newest[source]
        if stamp_ns <= self._newest.get(source, 0):
            raise ValueError('stamp is no newer than the last one')
        self._newest[source] = stamp_ns
