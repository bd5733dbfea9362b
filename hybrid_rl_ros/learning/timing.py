"""Two ways of doing the same, timed side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hybrid_rl_ros.bench_result import bench_row

REPEATS = 15
CALLS = 200
WARM_UP_CALLS = 100


def interleaved(first: Callable[[], object], second: Callable[[], object]) -> tuple[np.ndarray, np.ndarray]:
    """(REPEATS, CALLS) ms of each, in turns, so that what else the machine does falls on both."""
    for _ in range(WARM_UP_CALLS):
        first()
        second()
    times = [(_time_calls(first), _time_calls(second)) for _ in range(REPEATS)]
    return np.array([pair[0] for pair in times]), np.array([pair[1] for pair in times])


def _time_calls(call: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - began) * 1e-6)
    return times


def percentile_rows(
    name: str, ours_ms: np.ndarray, peer: str, peer_ms: np.ndarray, **extras: Any
) -> list[dict[str, Any]]:
    """p50 and p99 of (repeats, calls) ms: medians over the repeats."""
    return [
        bench_row(
            f'{name}, p{percentile}',
            float(np.median(np.percentile(ours_ms, percentile, axis=1))),
            ours_ms.size,
            peer,
            float(np.median(np.percentile(peer_ms, percentile, axis=1))),
            **extras,
        )
        for percentile in (50, 99)
    ]
