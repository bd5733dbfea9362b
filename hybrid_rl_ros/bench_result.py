"""The one form that every benchmark's result has."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import Any

FIELDS = ('name', 'ours_ms', 'peer', 'peer_ms', 'ratio', 'n')


def bench_row(
    name: str, ours_ms: float, n: int, peer: str | None = None, peer_ms: float | None = None, **extras: Any
) -> dict[str, Any]:
    ratio = None if peer_ms is None else round(peer_ms / ours_ms, 2)
    return {'name': name, 'ours_ms': ours_ms, 'peer': peer, 'peer_ms': peer_ms, 'ratio': ratio, 'n': n, **extras}


def bench_result(bench: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    machine = {'cpu': platform.processor() or platform.machine(), 'cores': os.cpu_count()}
    return {'bench': bench, 'machine': machine, 'rows': rows}


def write_result(result: dict[str, Any], as_json: bool) -> None:
    """To stdout: one JSON object, or a line a row."""
    if as_json:
        sys.stdout.write(json.dumps(result) + '\n')
        return
    for row in result['rows']:
        peer = f', {row["peer"]} {row["peer_ms"]:.3f} ms, ratio {row["ratio"]:.2f}' if row['peer'] else ''
        extras = ''.join(f', {name} {value}' for name, value in row.items() if name not in FIELDS)
        sys.stdout.write(f'{row["name"]}: {row["ours_ms"]:.3f} ms{peer} (n {row["n"]}{extras})\n')
