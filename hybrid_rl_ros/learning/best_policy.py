"""The policy that did best while it was training, kept beside the newest."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

from hybrid_rl_ros.learning.policies.policy import write_atomically
from hybrid_rl_ros.run_folder import read_json

WINDOW = 20
FILE, FIGURES = 'best_policy.safetensors', 'best_policy.json'


class BestPolicy:
    """Keeps RUN/best_policy.safetensors: the newest policy at the end of the best 20 training episodes in a row.

    Of equally good ones the latest that is 20 episodes younger. What the arm did while exploring is counted, without a
    person's help; it is no evaluation.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self.success = float(read_json(run / FIGURES).get('success', 0.0))
        self._since_kept = WINDOW

    def episode_ended(self, succeeded: bool, policy: bytes | None, env_steps: int) -> None:
        """`policy`: as it was published last, or None before the first."""
        self._recent.append(succeeded)
        self._since_kept += 1
        if policy is None or len(self._recent) < WINDOW:
            return
        success = sum(self._recent) / WINDOW
        # Where all succeed, a file of many MB is not written after each of them.
        if success > self.success or (success == self.success > 0.0 and self._since_kept >= WINDOW):
            self.success, self._since_kept = success, 0
            write_atomically(self._run / FILE, policy)
            figures = {'env_steps': env_steps, 'success': success, 'episodes': WINDOW}
            write_atomically(self._run / FIGURES, json.dumps(figures).encode())
