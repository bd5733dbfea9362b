"""`hybrid-rl bench learner`: how fast the learner updates, beside the learners of others.

Every side is a process of its own, set up on the same cores with as many threads; they take turns of half a second,
one at a time, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from hybrid_rl_ros.bench_result import bench_result, bench_row, write_result
from hybrid_rl_ros.bench_worker import BenchWorker, Side, Turn
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.peers.serve import Case

THREADS = 2
ROUNDS, PIXEL_ROUNDS = 15, 5
TURN_S = 0.5
# Compilers come back for the second and third call, whose arguments are the first one's results.
WARM_UP_CALLS = 4
PRECISIONS = ('fp32', 'bf16')
CAMERAS, SIZE = ['front', 'wrist'], 128
MEMORY_STEPS, MEMORY_UPDATES = 50_000, 20
# What runs over the images, on both sides; ours keeps the frozen one's maps, the peer runs it anew.
ENCODER = 'ResNet-10'

UPDATE = "a critic update, its share of the actor's and temperature's, and drawing its batch"

OURS = Side('hybrid_rl_ros', 'hybrid_rl_ros.learning.bench_learner:make_ours')
SB3 = Side('stable-baselines3', 'sb3_peer:make', packages=('stable-baselines3', 'torch'))
RLPD = Side('rlpd (JAX)', 'rlpd_peer:make', packages=('jax', 'flax'))
LEROBOT = Side('lerobot', 'lerobot_peer:make')
# What tells that a folder is a checkout of it.
FILES = {RLPD: 'rlpd/agents/sac/sac_learner.py', LEROBOT: 'src/lerobot/rl/algorithms/sac/sac_algorithm.py'}


@dataclass(frozen=True)
class Comparison:
    """Ours in both precisions beside each of `peers`, by the beginning of its rows' names."""

    case: Case
    peers: dict[str, Side]
    rounds: int = ROUNDS


def bench_learner(as_json: bool, peers: list[Side], threads: int | None = None, rounds: int | None = None) -> None:
    """`peers` are those beside Stable-Baselines3, of `peer_at`. Raises UserError where it cannot be done here."""
    if importlib.util.find_spec('stable_baselines3') is None:
        raise UserError('bench learner: it is timed against Stable-Baselines3: pip install stable-baselines3')
    cores = _cores(threads)
    rows: list[dict[str, Any]] = []
    for comparison in comparisons(peers, cores):
        rows += compare(comparison, rounds or comparison.rounds)
    rows.append(memory_row('memory', cores))
    write_result(bench_result('learner', rows), as_json)


def peer_at(side: Side, option: str, checkout: Path | None, python: str | None) -> list[Side]:
    """The peer of a checkout, if there is one, run by `python` or else by this interpreter. Raises UserError."""
    if checkout is None:
        if python is not None:
            raise UserError(f'bench learner: {option}-python {python}: of no use without {option} PATH, its checkout')
        return []
    if not (checkout / FILES[side]).is_file():
        raise UserError(f'bench learner: {option} {checkout}: no checkout of it, {FILES[side]} is not there')
    if python is not None and shutil.which(python) is None:
        raise UserError(f'bench learner: {option}-python {python}: no such interpreter')
    return [replace(side, checkout=str(checkout.resolve()), python=python or sys.executable)]


def comparisons(peers: list[Side], cores: list[int]) -> list[Comparison]:
    """Without those that nobody is there for."""
    ten = make_case(cores, critics=10, utd=20)
    pixels = make_case(cores, critics=10, batch=64, cameras=CAMERAS, steps=1000)
    lerobot = [side for side in peers if side.name == LEROBOT.name]
    chosen = [
        Comparison(make_case(cores, layer_norm=False), {f'{SB3.name} SAC, 2 critics': SB3}),
        Comparison(ten, {f'{side.name}, 10 critics, UTD 20': side for side in peers}),
        *(
            Comparison({**pixels, 'observation': kind}, {f'{side.name}, {kind} encoder': side}, PIXEL_ROUNDS)
            for kind in ('frozen', 'trained')
            for side in lerobot
        ),
    ]
    return [comparison for comparison in chosen if comparison.peers]


def make_case(cores: list[int], **settings: Any) -> Case:
    case: Case = {
        'observation': 'state',
        'precision': 'fp32',
        'critics': 2,
        'utd': 1,
        'batch': 256,
        'hidden': [256, 256],
        'layer_norm': True,
        'states': 17,
        'actions': 6,
        'cameras': [],
        'size': SIZE,
        'steps': 20_000,
        'sparse': False,
        'threads': len(cores),
        'cores': cores,
        'packages': [],
        'checkout': '',
        'folder': '',
    }
    return {**case, **settings}  # type: ignore[typeddict-item]


def compare(comparison: Comparison, rounds: int) -> list[dict[str, Any]]:
    """A row for each peer and precision, all of them measured in turns."""
    with tempfile.TemporaryDirectory(prefix='hybrid_rl_bench_') as folder, ExitStack() as stack:

        def start(side: Side, precision: str) -> BenchWorker:
            _tell(f'{side.name}, {comparison.case["observation"]}, {precision}: setting up')
            where = str(Path(folder) / f'{side.name} {precision}')
            worker = BenchWorker(side, {**comparison.case, 'precision': precision, 'folder': where})
            stack.callback(worker.close)
            return worker

        ours = {precision: start(OURS, precision) for precision in PRECISIONS}
        peers = {name: start(side, 'fp32') for name, side in comparison.peers.items()}
        _tell('measuring')
        turns = in_turns([*ours.values(), *peers.values()], comparison.case['utd'], rounds)
        return [
            _row(f'{name}, {precision}', comparison.case, precision, (ours[precision], peer), turns)
            for name, peer in peers.items()
            for precision in PRECISIONS
        ]


def in_turns(workers: list[BenchWorker], utd: int, rounds: int) -> dict[BenchWorker, list[Turn]]:
    """`rounds` turns of each worker, of whole blocks of `utd` updates, after it has warmed up."""
    sizes = {}
    for worker in workers:
        for _ in range(WARM_UP_CALLS):
            warm = worker.turn(utd)
        sizes[worker] = utd * max(1, round(TURN_S / warm.wall_s))
    turns: dict[BenchWorker, list[Turn]] = {worker: [] for worker in workers}
    for number in range(rounds):
        first = number % len(workers)  # nobody always follows the same one
        for worker in workers[first:] + workers[:first]:
            turns[worker].append(worker.turn(sizes[worker]))
    return turns


def memory_row(name: str, cores: list[int]) -> dict[str, Any]:
    """What a learner that sees two cameras holds after some updates, beside the system's cache of its files."""
    case = make_case(
        cores, observation='frozen', cameras=CAMERAS, steps=MEMORY_STEPS, sparse=True, critics=10, precision='bf16'
    )
    _tell(f'{name}: {MEMORY_STEPS} steps')
    with tempfile.TemporaryDirectory(prefix='hybrid_rl_bench_') as folder:
        worker = BenchWorker(OURS, {**case, 'folder': str(Path(folder) / 'memory')})
        try:
            turn = worker.turn(MEMORY_UPDATES)
        finally:
            worker.close()
    held = round(turn.resident_mb, 1)
    return bench_row(name, turn.wall_ms, turn.updates, resident_mb_beyond_page_cache=held, **_settings(case))


def _row(
    name: str, case: Case, precision: str, sides: tuple[BenchWorker, BenchWorker], turns: dict[BenchWorker, list[Turn]]
) -> dict[str, Any]:
    ours, peer = sides
    wall, peer_wall = ([turn.wall_ms for turn in turns[side]] for side in sides)
    cpu, peer_cpu = (median(turn.cpu_ms for turn in turns[side]) for side in sides)
    ratios = sorted(theirs / mine for mine, theirs in zip(wall, peer_wall))
    return bench_row(
        name,
        median(wall),
        sum(turn.updates for turn in turns[ours]),
        peer.side.name,
        median(peer_wall),
        of=UPDATE,
        cpu_ms=round(cpu, 3),
        peer_cpu_ms=round(peer_cpu, 3),
        cpu_ratio=round(peer_cpu / cpu, 2),
        lowest_ratio=round(ratios[0], 2),
        highest_ratio=round(ratios[-1], 2),
        rounds=len(wall),
        peer_n=sum(turn.updates for turn in turns[peer]),
        **_settings({**case, 'precision': precision}),
        peer_precision='fp32',
        versions=ours.versions,
        peer_versions=peer.versions | _commit(peer.side.checkout),
    )


def _settings(case: Case) -> dict[str, Any]:
    """What a reader has to know to take the figure again."""
    names = 'observation precision critics layer_norm utd batch hidden states actions steps threads'.split()
    cameras = {'cameras': len(case['cameras']), 'size': case['size'], 'encoder': ENCODER} if case['cameras'] else {}
    return {name: case[name] for name in names} | cameras  # type: ignore[literal-required]


def _commit(checkout: str) -> dict[str, str]:
    """Nothing for a folder that git knows nothing of, or for a peer that was installed."""
    if not checkout:
        return {}
    command = ['git', '-C', checkout, 'rev-parse', '--short', 'HEAD']
    done = subprocess.run(command, capture_output=True, text=True) if shutil.which('git') else None
    return {'commit': done.stdout.strip()} if done and not done.returncode else {}


def _cores(threads: int | None) -> list[int]:
    """As many of those that this process may use. Raises UserError for more than there are."""
    available = sorted(os.sched_getaffinity(0))
    if threads is not None and threads > len(available):
        raise UserError(f'bench learner: --threads {threads}: this process may use {len(available)} cores')
    return available[: threads or THREADS]


def _tell(text: str) -> None:
    """To someone who is watching: peers that compile take minutes."""
    if sys.stderr.isatty():
        sys.stderr.write(f'bench learner: {text}\n')
