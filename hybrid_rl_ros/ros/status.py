"""Counters and timings of one node, as `status/<node>.json` in the run folder and on /diagnostics."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from hybrid_rl_ros.ros.latest_file import LatestFile

KEPT_SAMPLES = 20_000
HISTOGRAM_BINS = 40


class Status:
    """What one node counts (`count`), measures (`time_ms`) and is in (`values`)."""

    def __init__(self, node: str, folder: Path | None) -> None:
        self._node = node
        self._file = LatestFile(folder / f'{node}.json') if folder else None
        self._samples: dict[str, np.ndarray] = {}
        self._written: dict[str, int] = defaultdict(int)
        self._timings: dict[str, dict[str, Any]] = {}
        self.counters: dict[str, int] = defaultdict(int)
        self.values: dict[str, Any] = {}
        self.warning = ''

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] += by

    def time_ms(self, name: str, milliseconds: float) -> None:
        samples = self._samples.setdefault(name, np.empty(KEPT_SAMPLES))
        samples[self._written[name] % KEPT_SAMPLES] = milliseconds
        self._written[name] += 1

    def take_stock(self) -> None:
        """Percentiles and histograms of the timings, for `write` and `diagnostics`: a ms each."""
        self._timings = {name: self._timing(name) for name in self._samples}

    def write(self) -> None:
        """Have the status file replaced; returns at once."""
        up_s = process_age_s()
        self.values.update(memory_mb=_resident_mb(), cpu_s=round(time.process_time(), 3), up_s=up_s)
        if self._file is None:
            return
        if self._file.failures:
            # A full disk must not end the gate.
            self.counters['unwritten_status'] = self._file.failures
        summary = {'node': self._node, 'counters': dict(self.counters), 'timings': self._timings, **self.values}
        summary['warning'] = self.warning
        self._file.replace(json.dumps(summary))

    def flush(self, within_s: float = 5.0) -> None:
        """Wait until the disk has what was written."""
        if self._file is not None:
            self._file.flush(within_s)

    def diagnostics(self, hardware_id: str) -> DiagnosticStatus:
        """This node's entry for a DiagnosticArray: level WARN once a `dropped_*` was counted, and while it warns.

        The percentiles are those of the last `take_stock`.
        """
        dropped = sum(value for name, value in self.counters.items() if name.startswith('dropped_'))
        status = DiagnosticStatus(name=f'{self._node}: graph', hardware_id=hardware_id)
        status.level = DiagnosticStatus.WARN if dropped or self.warning else DiagnosticStatus.OK
        status.message = self.warning or (f'{dropped} dropped' if dropped else 'running')
        status.values = [KeyValue(key=name, value=str(value)) for name, value in self.counters.items()]
        for name, timing in self._timings.items():
            status.values.append(KeyValue(key=f'{name}_p50_ms', value=f'{timing["p50_ms"]:.2f}'))
            status.values.append(KeyValue(key=f'{name}_p99_ms', value=f'{timing["p99_ms"]:.2f}'))
        status.values += [KeyValue(key=name, value=_shown(value)) for name, value in self.values.items()]
        return status

    def _timing(self, name: str) -> dict[str, Any]:
        samples = self._samples[name][: min(self._written[name], KEPT_SAMPLES)]
        p50, p99, most = np.percentile(samples, (50, 99, 99.5))
        counts, edges = np.histogram(samples, bins=HISTOGRAM_BINS, range=(0.0, max(1.0, most)))
        return {
            'n': self._written[name],
            'p50_ms': float(p50),
            'p99_ms': float(p99),
            'max_ms': float(samples.max()),
            'histogram': {'edges_ms': edges.round(3).tolist(), 'counts': counts.tolist()},
        }


def _shown(value: Any) -> str:
    return f'{value:.6g}' if isinstance(value, float) else str(value)


def process_age_s() -> float:
    """Since the process was started, its imports included."""
    started = int(Path('/proc/self/stat').read_text().rpartition(')')[2].split()[19])
    return round(time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf('SC_CLK_TCK'), 3)


def _resident_mb() -> float:
    """This process's own memory, without the mapped files of a replay store."""
    fields = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
    return round(int(fields['RssAnon'].split()[0]) / 1e3, 1)
