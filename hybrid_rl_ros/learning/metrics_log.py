"""What a run says of its learning: a line of metrics.jsonl now and then, and TensorBoard's events beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.run_folder import open_json_lines

FLUSH_S = 10


class MetricsLog:
    """<run>/metrics.jsonl and, where it can be had, <run>/tensorboard."""

    def __init__(self, run: Path, tensorboard: bool | str, env_steps: int) -> None:
        self._file = open_json_lines(run / 'metrics.jsonl')
        self._events = _events(run / 'tensorboard', tensorboard, env_steps)
        self._began = time.monotonic()
        self._last: tuple[float, int] | None = None
        self._last_step = -1

    def write(self, env_steps: int, updates: int, metrics: Mapping[str, float]) -> float | None:
        """Returns the updates per second since the last call, None at the first; the same step again is left out."""
        if env_steps == self._last_step:
            return None
        self._last_step = env_steps
        now = time.monotonic()
        per_s = None
        if self._last is not None and now > self._last[0]:
            # Weights that were put back have fewer updates than they had.
            per_s = max(0.0, (updates - self._last[1]) / (now - self._last[0]))
        self._last = now, updates
        line = dict(metrics) if per_s is None else {**metrics, 'updates_per_s': per_s}
        for name, value in {**line, 'updates': updates}.items() if self._events else ():
            self._events.add_scalar(f'learner/{name}', value, env_steps)
        rounded = {name: round(value, 6) for name, value in line.items()}
        head = {'env_steps': env_steps, 'updates': updates, 'wall_s': round(now - self._began, 2)}
        self._file.write(json.dumps(head | rounded) + '\n')
        return per_s

    def close(self) -> None:
        self._file.close()
        if self._events:
            self._events.close()


def _events(folder: Path, wanted: bool | str, env_steps: int) -> Any:
    """None without; a resumed run's events take the place of those that it repeats."""
    if wanted is False:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except (ImportError, TypeError):  # the latter from a protobuf that the package was not made for
        if wanted is True:
            mend = "install it with pip install 'hybrid_rl_ros[tensorboard]'"
            raise UserError(f'train.tensorboard: true needs the package tensorboard; {mend}') from None
        return None
    return SummaryWriter(str(folder), purge_step=env_steps or None, flush_secs=FLUSH_S)
