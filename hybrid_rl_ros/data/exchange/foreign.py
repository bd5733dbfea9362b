"""A dataset in another software's format, opened: what the formats' readers hand to selection.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError

# Camera keys -> one dict of images (H, W, 3) uint8 for each row.
Frames = Callable[[Sequence[str]], Iterator[dict[str, np.ndarray]]]


@dataclass
class Episode:
    """One episode as T arrivals (data/step.py), under the dataset's names and in its units.

    state (T, S) and action (T, A) floats; reward (T,) float32; terminal, truncated and intervention (T,) bool;
    stamp_ns (T,) int64; `acted` (T,) bool is where an action was taken, which elsewhere becomes 0; `frames` yields T
    times. `where` names it in error messages.
    """

    where: str
    number: int
    stamp_ns: np.ndarray
    state: np.ndarray
    action: np.ndarray
    acted: np.ndarray
    reward: np.ndarray
    terminal: np.ndarray
    truncated: np.ndarray
    intervention: np.ndarray
    frames: Frames

    def __len__(self) -> int:
        return len(self.state)


@dataclass
class ForeignDataset:
    """`cameras`: key -> (height, width); `episodes()` reads them from the files anew, one at a time.

    `specs` are those of the store that the dataset was exported from, None for other software's.
    """

    path: Path
    state_names: list[str]
    action_names: list[str]
    cameras: dict[str, tuple[int, int]]
    episodes: Callable[[], Iterator[Episode]]
    specs: Specs | None = None


@dataclass
class ActedRows:
    """One episode as other software keeps it: N rows of an observation, the action taken and what it earned.

    state (N, S); action (N, A); reward (N,) or None; `ends` (N,) bool, where an action led to a true end, None if the
    dataset does not say. `last_state` (S,) and `last_frames` are the observation after the last action, if it is kept.
    """

    where: str
    number: int
    stamp_ns: np.ndarray
    state: np.ndarray
    action: np.ndarray
    reward: np.ndarray | None
    ends: np.ndarray | None
    frames: Frames
    last_state: np.ndarray | None = None
    last_frames: Frames | None = None


def as_arrivals(rows: ActedRows, success: Literal['all', 'none'] | None) -> Episode:
    """Rows of actions as arrivals; docs/data.md says what becomes of the last one. Raises UserError.

    A true end needs the observation arrived at, though no target reads its value: where the dataset does not keep it,
    the last one stands for it. Without a true end it would be bootstrapped from, so there the last row is the arrival
    and its action is dropped.
    """
    count, terminal = _length(rows, success)
    known = count < len(rows.state) or rows.last_state is not None
    acted = count if terminal or known else count - 1
    steps = acted + 1
    state = np.concatenate([rows.state[:acted], _arrived_at(rows, count)[None]])
    reward = np.zeros(steps, np.float32)
    if rows.reward is not None:
        reward[1:] = rows.reward[:acted]
    elif terminal:
        reward[-1] = 1.0
    last = np.arange(steps) == steps - 1
    return Episode(
        where=rows.where,
        number=rows.number,
        stamp_ns=_stamps(rows.stamp_ns, steps),
        state=state,
        action=np.concatenate([rows.action[:acted], np.zeros_like(rows.action[:1])]),
        acted=~last,
        reward=reward,
        terminal=last & terminal,
        truncated=last & (not terminal),
        intervention=np.zeros(steps, bool),
        frames=lambda cameras: _frames(rows, steps, cameras),
    )


def _length(rows: ActedRows, success: Literal['all', 'none'] | None) -> tuple[int, bool]:
    """How many rows belong to the episode, and whether it came to a true end."""
    if success is not None:
        return len(rows.state), success == 'all'
    if rows.ends is None:
        raise UserError(
            f'{rows.where}: the dataset does not say how an episode ended; say in the mapping `success: all` or '
            '`success: none`'
        )
    ends = np.flatnonzero(rows.ends)
    return (int(ends[0]) + 1, True) if len(ends) else (len(rows.state), False)


def _arrived_at(rows: ActedRows, count: int) -> np.ndarray:
    if count < len(rows.state):
        return rows.state[count]
    return rows.state[-1] if rows.last_state is None else rows.last_state


def _stamps(stamp_ns: np.ndarray, steps: int) -> np.ndarray:
    """(steps,) stamps: one more than there are goes on at the pace of the last ones."""
    if steps <= len(stamp_ns):
        return stamp_ns[:steps]
    period = stamp_ns[-1] - stamp_ns[-2] if len(stamp_ns) > 1 else 1_000_000_000
    return np.append(stamp_ns, stamp_ns[-1] + period)


def _frames(rows: ActedRows, steps: int, cameras: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    images: dict[str, np.ndarray] = {}
    for given, images in enumerate(rows.frames(cameras), 1):
        yield images
        if given == steps:
            return
    if rows.last_frames is None:
        yield images
    else:
        yield from rows.last_frames(cameras)
