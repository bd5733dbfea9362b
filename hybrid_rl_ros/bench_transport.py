"""`hybrid-rl bench transport`: camera images between two processes, by the profile that every node has and by none."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any

from hybrid_rl_ros.bench_result import bench_result, bench_row, write_result
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.process_environment import node_environment, profile_variables

# Width, height, and how often, 1/s.
CAMERAS = ((128, 128, 60), (640, 480, 60), (1280, 720, 30))
PEER = 'Fast DDS defaults'
TURNS = 3
ENDS_WITHIN_S = 60.0


def bench_transport(as_json: bool, seconds: float) -> None:
    """Each camera, and of each the two sides in turn, for `seconds` in all. Raises UserError.

    Times and ratios are of the images that arrived: who loses most of them may well be quick with the rest.
    """
    ours = node_environment(share_folder('config') / 'fastdds.xml', threads=1)
    defaults = {name: value for name, value in ours.items() if name not in profile_variables()}
    each_s = seconds / (2 * TURNS * len(CAMERAS))
    rows = []
    for width, height, rate_hz in CAMERAS:
        frames = max(10, round(each_s * rate_hz))
        turns = [[_ages_ms(env, width, height, rate_hz, frames) for env in (ours, defaults)] for _ in range(TURNS)]
        rows += _rows(f'{width}x{height} at {rate_hz} Hz', frames, *zip(*turns))
    write_result(bench_result('transport', rows), as_json)


def _rows(name: str, frames: int, ours: tuple[list[float], ...], peer: tuple[list[float], ...]) -> list[dict[str, Any]]:
    """The median turn's percentiles, and how much of all that was sent came."""
    heard = {
        'delivered': _share(ours, frames),
        'peer_delivered': _share(peer, frames),
    }
    rows = []
    for percentile in (50, 99):
        ours_ms, peer_ms = _typical(ours, percentile), _typical(peer, percentile)
        if ours_ms is None:
            raise UserError(f'bench transport: of {name} nothing arrived; try hybrid-rl doctor')
        peer_name = None if peer_ms is None else PEER
        rows.append(bench_row(f'{name}, p{percentile}', ours_ms, TURNS * frames, peer_name, peer_ms, **heard))
    return rows


def _share(turns: tuple[list[float], ...], frames: int) -> float:
    return round(sum(map(len, turns)) / (len(turns) * frames), 3)


def _typical(turns: tuple[list[float], ...], percentile: int) -> float | None:
    of_turns = [sorted(ages)[int(len(ages) * percentile / 100)] for ages in turns if ages]
    return statistics.median(of_turns) if of_turns else None


def _ages_ms(environment: dict[str, str], width: int, height: int, rate_hz: int, frames: int) -> list[float]:
    """How old each image was that arrived."""
    probe = [sys.executable, '-m', 'hybrid_rl_ros.nodes.transport_probe']
    topic = f'bench_transport_{os.getpid()}/image_raw'
    hears = subprocess.Popen([*probe, 'hear', topic], env=environment, stdout=subprocess.PIPE, text=True)
    sends = subprocess.Popen([*probe, 'send', topic, *map(str, (width, height, rate_hz, frames))], env=environment)
    try:
        output, _ = hears.communicate(timeout=ENDS_WITHIN_S + frames / rate_hz)
        sends.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        raise UserError(
            'bench transport: a measuring process did not end; hybrid-rl doctor looks for the cause'
        ) from None
    finally:
        for process in (hears, sends):
            process.kill()
            process.wait()
    if hears.returncode or sends.returncode:
        raise UserError('bench transport: a measuring process failed; see above')
    ages_ms: list[float] = json.loads(output)['ages_ms']
    return ages_ms
