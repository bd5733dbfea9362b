"""One control step as it is stored: what was seen, done and earned under one stamp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.specs import Observation


@dataclass
class Step:
    """Everything that carries one stamp.

    `action` (A,) is what safety_node executed from this observation, in physical units; zeros on an
    episode's last step, from which nothing was executed. `reward`, `terminal` and `truncated` belong to
    the *arrival* at this step, so the transition from step k is
    (observation k, action k, reward k+1, observation k+1, mask = not terminal k+1).

    `noise` (h, A): what a steered policy decoded a chunk of h actions from that begins with this one; else None.
    """

    stamp_ns: int
    episode: int
    observation: Observation
    action: np.ndarray
    reward: float = 0.0
    terminal: bool = False
    truncated: bool = False
    intervention: bool = False
    noise: np.ndarray | None = None

    @property
    def ends_episode(self) -> bool:
        return self.terminal or self.truncated
