"""A process that measures when it is asked, and is stopped while others are: one side of a comparison."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.peers import serve
from hybrid_rl_ros.process_environment import node_environment


@dataclass(frozen=True)
class Side:
    """Who is measured: `maker` is MODULE:FUNCTION, run by the interpreter `python`."""

    name: str
    maker: str
    python: str = sys.executable
    packages: tuple[str, ...] = ('torch',)
    checkout: str = ''


@dataclass(frozen=True)
class Turn:
    """What `updates` took, of the clock and of all threads' CPU time."""

    updates: int
    wall_s: float
    cpu_s: float
    resident_mb: float

    @property
    def wall_ms(self) -> float:
        return 1e3 * self.wall_s / self.updates

    @property
    def cpu_ms(self) -> float:
        return 1e3 * self.cpu_s / self.updates


class BenchWorker:
    """Stopped except in its turn: a side that prefetches or spins would take the time of the others."""

    def __init__(self, side: Side, case: serve.Case) -> None:
        """Sets the side up. Raises UserError with its last line if it ends."""
        self.side = side
        folder = Path(case['folder'])
        folder.mkdir(parents=True)
        case = {**case, 'folder': str(folder / 'store'), 'packages': list(side.packages), 'checkout': side.checkout}
        self._stderr = folder / 'stderr'
        with self._stderr.open('wb') as stderr:
            self._process = subprocess.Popen(
                [side.python, serve.__file__, side.maker, json.dumps(case)],
                env=worker_environment(case['threads'], own=side.python == sys.executable),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        try:
            self.versions: dict[str, str] = self._answer()['ready']
            self._signal(signal.SIGSTOP)
        except BaseException:
            self.close()
            raise

    def turn(self, updates: int) -> Turn:
        """Let it do `updates`. Raises UserError with its last line if it ends."""
        self._signal(signal.SIGCONT)
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({'updates': updates}) + '\n')
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        answer = self._answer()
        self._signal(signal.SIGSTOP)
        return Turn(updates, **answer)

    def close(self) -> None:
        self._process.kill()  # a stopped process ends by nothing less
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        return json.loads(line)

    def _ended(self) -> UserError:
        status = self._process.wait()
        how = f'signal {-status}' if status < 0 else f'status {status}'
        lines = self._stderr.read_text(errors='replace').strip().splitlines()
        last = f': {lines[-1].strip()}' if lines else ''
        return UserError(f'bench learner: {self.side.name} ended with {how}{last}')

    def _signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


def worker_environment(threads: int, own: bool) -> dict[str, str]:
    """A learner's, with as many threads for every library that counts them by itself."""
    environment = node_environment(share_folder('config') / 'fastdds.xml', threads)
    count = str(threads)
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'NPROC'):
        environment[name] = count
    environment['JAX_PLATFORMS'] = 'cpu'
    flags = f'--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads={count}'
    environment['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flags}'.strip()
    if not own:
        # Our packages are not those of another interpreter.
        environment.pop('PYTHONPATH')
    return environment
