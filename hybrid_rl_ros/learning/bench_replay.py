"""What `hybrid-rl bench replay` runs, `FOLDER STEPS`: prints its result as one JSON object.

Both sides hold the same steps and give the same transitions, with both observations of two 128x128 cameras, from
memory: ours from a store whose files the system has cached, the peer from its arrays. Each side's last batch is held
while its next is drawn, as in any training loop.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybrid_rl_ros.bench_result import bench_result, bench_row
from hybrid_rl_ros.data.batch_reader import BatchReader
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.bench_stores import noise_specs, noise_step, write_sparse_store
from hybrid_rl_ros.learning.peers.serve import resident_mb
from hybrid_rl_ros.learning.replay_peer import PEER, ReplayPeer

SIZE, CAMERAS, STATES, ACTIONS = 128, ('front', 'wrist'), 7, 4
BATCH = 256
THREADS = (1, 2, 4)
ROUNDS, CALLS = 15, 15
APPENDED_TOGETHER = 100
OPENED_STEPS, OPENINGS = 100_000, 5

Way = Callable[[], object]


def main(folder: Path, steps: int) -> None:
    opening = open_row(folder / 'opened')
    with ReplayStore.create(folder / 'store', make_specs(), steps) as store:
        peer = ReplayPeer(store.specs, steps)
        appending = append_row(store, peer, steps)
        sampling = sample_rows(store, peer)
    sys.stdout.write(json.dumps(bench_result('replay', [*sampling, appending, opening])) + '\n')


def sample_rows(store: ReplayStore, peer: ReplayPeer) -> list[dict[str, Any]]:
    """Draws and reads a batch, with the same number of threads on both sides, and without frames."""
    rng = np.random.default_rng(0)
    readers = {threads: BatchReader(store, threads) for threads in THREADS}
    require_same_content(store, readers[1], peer)
    for rows in np.array_split(store.valid_rows(), 1 + store.steps // BATCH):
        readers[1].transitions_at(rows)  # the peer's memory has been touched by filling it; the map's has not

    def ours(threads: int) -> object:
        return readers[threads].transitions_at(store.sample_rows(BATCH, rng))

    def theirs(threads: int) -> object:
        torch.set_num_threads(threads)
        return peer.sample(BATCH)

    def without_frames() -> object:
        rows = store.sample_rows(BATCH, rng)
        after = store.next_rows(rows)
        return store.states(rows), store.actions(rows), store.rewards(rows), store.masks(rows), store.states(after)

    ways: dict[str, Way] = {'no frames': without_frames}
    for threads in THREADS:
        ways |= {f'ours {threads}': partial(ours, threads), f'theirs {threads}': partial(theirs, threads)}
    wall, cpu = interleaved(ways)

    def row(name: str, threads: int, **extras: Any) -> dict[str, Any]:
        ours, theirs = f'ours {threads}', f'theirs {threads}'
        rates = {'batches_per_s': round(1e3 / wall[ours], 1), 'peer_batches_per_s': round(1e3 / wall[theirs], 1)}
        times = {'cpu_ms': round(cpu[ours], 3), 'peer_cpu_ms': round(cpu[theirs], 3)}
        return bench_row(name, wall[ours], n, PEER, wall[theirs], threads=threads, **rates, **times, **extras)

    n = ROUNDS * CALLS
    ours_bytes, peer_bytes = bytes_on_disk(store.folder), peer.nbytes
    size = {
        'bytes_per_step': round(ours_bytes / store.steps),
        'peer_bytes_per_step': round(peer_bytes / store.steps),
        'bytes_ratio': round(peer_bytes / ours_bytes, 2),
    }
    content = f'batch of {BATCH}, 2x{SIZE}x{SIZE} and its successors'
    alone = wall['no frames']
    return [
        row(PEER, THREADS[-1], content=content, steps=store.steps, **size),
        *(row(f'{content}, threads {threads}', threads) for threads in THREADS),
        bench_row(f'batch of {BATCH} without frames', alone, n, batches_per_s=round(1e3 / alone, 1)),
    ]


def append_row(store: ReplayStore, peer: ReplayPeer, steps: int) -> dict[str, Any]:
    """Fills both with the same steps, in turns."""
    ours: list[float] = []
    theirs: list[float] = []
    previous = None
    for start in range(0, steps, APPENDED_TOGETHER):
        block = [noise_step(store.specs, number) for number in range(start, min(start + APPENDED_TOGETHER, steps))]
        began = time.perf_counter()
        for step in block:
            store.append(step)
        ours.append(1e3 * (time.perf_counter() - began) / len(block))
        began = time.perf_counter()
        for step in block:
            if previous is not None and previous.episode == step.episode:
                peer.add(previous, step)
            previous = step
        theirs.append(1e3 * (time.perf_counter() - began) / len(block))
    ours_ms, peer_ms = float(np.median(ours)), float(np.median(theirs))
    return bench_row('append one step', ours_ms, steps, PEER, peer_ms, steps_per_s=round(1e3 / ours_ms))


def open_row(folder: Path) -> dict[str, Any]:
    """Opening reads the records, states and actions of every step, and no frame: the frames here are holes."""
    write_sparse_store(folder, make_specs(), OPENED_STEPS)
    rng = np.random.default_rng(0)
    times = []
    before_mb = resident_mb()
    for _ in range(OPENINGS):
        began = time.perf_counter()
        store = ReplayStore.open(folder, read_only=True)
        times.append(1e3 * (time.perf_counter() - began))
    reader = BatchReader(store)
    for _ in range(CALLS):
        reader.transitions_at(store.sample_rows(BATCH, rng))
    assert store.steps == OPENED_STEPS
    grown_mb = round(resident_mb() - before_mb, 1)
    store.close()
    name = f'open {OPENED_STEPS} steps of 2x{SIZE}x{SIZE}'
    return bench_row(name, float(np.median(times)), OPENINGS, resident_mb_beyond_page_cache=grown_mb)


def interleaved(ways: dict[str, Way]) -> tuple[dict[str, float], dict[str, float]]:
    """Median ms on the clock and of CPU time, of all threads, that one call of each takes; in turns."""
    held: dict[str, object] = {}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, way in ways.items():
            for _ in range(CALLS):
                began, cpu_began = time.perf_counter(), time.process_time()
                held[name] = way()
                if turn:  # the first warms up
                    wall[name].append(1e3 * (time.perf_counter() - began))
                    cpu[name].append(1e3 * (time.process_time() - cpu_began))
    return {k: float(np.median(v)) for k, v in wall.items()}, {k: float(np.median(v)) for k, v in cpu.items()}


def require_same_content(store: ReplayStore, reader: BatchReader, peer: ReplayPeer) -> None:
    """The peer's i-th transition is the store's i-th; that is checked on a batch."""
    chosen = np.random.default_rng(1).integers(0, store.transitions, BATCH)
    ours, theirs = reader.transitions_at(store.valid_rows()[chosen]), peer.at(chosen)
    pairs = [
        (ours.state, theirs.observations['state']),
        (ours.next_state, theirs.next_observations['state']),
        (ours.action, theirs.actions),
        (ours.reward[:, None], theirs.rewards),
        (1 - ours.mask[:, None], theirs.dones),
    ]
    for camera in CAMERAS:
        pairs.append((ours.images[camera], theirs.observations[camera]))
        pairs.append((ours.next_images[camera], theirs.next_observations[camera]))
    if not all(torch.equal(torch.from_numpy(mine), other) for mine, other in pairs):
        raise AssertionError('the two sides do not hold the same transitions')


def make_specs() -> Specs:
    return noise_specs(STATES, ACTIONS, CAMERAS, SIZE)


def bytes_on_disk(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.iterdir())


if __name__ == '__main__':
    main(Path(sys.argv[1]), int(sys.argv[2]))
