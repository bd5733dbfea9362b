"""What the updates of one job report, brought to the host together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class MeanMetrics:
    """Means over several updates, each reported by as many of them as know it."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], list[Tensor]] = {}

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Scalars of one update."""
        # Copied at once: a CUDA graph writes its results over in its next run.
        self._rows.setdefault(tuple(metrics), []).append(torch.stack(list(metrics.values())))

    def floats(self) -> dict[str, float]:
        means: dict[str, float] = {}
        for names, rows in self._rows.items():
            means |= zip(names, torch.stack(rows).mean(0).tolist())
        return means
