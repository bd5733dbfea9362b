"""The sides of `bench learner`: real processes that answer lines, and what the user is told when one cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hybrid_rl_ros.bench_learner import (
    LEROBOT,
    RLPD,
    SB3,
    compare,
    comparisons,
    in_turns,
    make_case,
    memory_row,
    peer_at,
)
from hybrid_rl_ros.bench_result import FIELDS
from hybrid_rl_ros.bench_worker import BenchWorker, Side
from hybrid_rl_ros.errors import UserError

# Its one job is to leave a trace of what it was asked, and where it ran.
TINY = """
import os
from pathlib import Path

def make(case):
    print('libraries print, too')
    done = Path(case['folder'])
    done.write_text('')

    def update(count):
        if count == 13:
            raise RuntimeError('no luck')
        if count == 0:
            os._exit(3)
        sum(range(10_000 * count))
        with done.open('a') as file:
            file.write(f'{os.getpid()} {count} {sorted(os.sched_getaffinity(0))} {os.environ["OMP_NUM_THREADS"]}\\n')

    return update

def refuse(case):
    raise SystemExit('the peer is not to be had')
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Starts workers of the module above; they are closed after the test."""
    (tmp_path / 'tiny_side.py').write_text(TINY)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    workers = []

    def start(maker: str = 'make') -> BenchWorker:
        case = make_case([min(os.sched_getaffinity(0))], folder=str(tmp_path / f'side{len(workers)}'))
        workers.append(BenchWorker(Side('tiny', f'tiny_side:{maker}', packages=('numpy',)), case))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def lines_of(tmp_path: Path, number: int = 0) -> list[list[str]]:
    return [line.split(maxsplit=2) for line in (tmp_path / f'side{number}' / 'store').read_text().splitlines()]


def test_a_side_does_as_many_updates_as_it_is_asked_and_says_what_they_took(tiny, tmp_path):
    worker = tiny()
    assert list(worker.versions) == ['numpy']
    turns = [worker.turn(5), worker.turn(200)]
    assert [line[1] for line in lines_of(tmp_path)] == ['5', '200']
    assert [turn.updates for turn in turns] == [5, 200]
    assert all(turn.wall_s > 0 and turn.cpu_s > 0 and turn.resident_mb > 1 for turn in turns)
    assert turns[0].wall_ms == pytest.approx(1e3 * turns[0].wall_s / 5)


def test_a_side_runs_on_the_cores_of_the_case_whatever_the_user_has_set(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    tiny().turn(1)
    assert lines_of(tmp_path)[0][2] == f'[{min(os.sched_getaffinity(0))}] 1'


def test_a_side_is_stopped_except_in_its_turn_and_gone_when_closed(tiny, tmp_path):
    worker = tiny()
    worker.turn(1)
    status = Path('/proc') / lines_of(tmp_path)[0][0] / 'status'
    deadline = time.monotonic() + 10.0
    while 'T (stopped)' not in status.read_text():
        assert time.monotonic() < deadline
    worker.close()
    assert not status.exists()


def test_turns_are_whole_blocks_of_the_updates_that_an_actor_update_comes_with(tiny, tmp_path):
    first, second = tiny(), tiny()
    turns = in_turns([first, second], utd=20, rounds=3)
    assert all(len(turns[worker]) == 3 for worker in (first, second))
    assert all(int(line[1]) % 20 == 0 for number in (0, 1) for line in lines_of(tmp_path, number))


@pytest.mark.parametrize(
    ('count', 'complaint'), [(13, 'status 1: RuntimeError: no luck'), (0, 'status 3: libraries print, too')]
)
def test_of_a_side_that_dies_in_its_turn_the_last_line_is_named(tiny, count, complaint):
    worker = tiny()
    with pytest.raises(UserError, match=f'^bench learner: tiny ended with {complaint}$'):
        worker.turn(count)


def test_of_a_side_that_cannot_be_set_up_the_last_line_is_named(tiny):
    with pytest.raises(UserError, match='^bench learner: tiny ended with status 1: the peer is not to be had$'):
        tiny('refuse')


def test_a_peer_whose_interpreter_lacks_a_library_says_which(tmp_path):
    checkout = fake_checkout(tmp_path / 'rlpd', 'rlpd/agents/sac/sac_learner.py')
    [side] = peer_at(RLPD, '--rlpd', checkout, None)
    case = make_case([min(os.sched_getaffinity(0))], folder=str(tmp_path / 'side'))
    with pytest.raises(UserError, match='^bench learner: rlpd .JAX. ended with status 1: .*Error: '):
        BenchWorker(side, case)


def test_the_rows_with_a_peer_are_those_whose_peer_is_there():
    assert names([]) == [f'{SB3.name} SAC, 2 critics']
    assert names([RLPD, LEROBOT]) == [
        'stable-baselines3 SAC, 2 critics',
        'rlpd (JAX), 10 critics, UTD 20',
        'lerobot, 10 critics, UTD 20',
        'lerobot, frozen encoder',
        'lerobot, trained encoder',
    ]


def names(peers: list[Side]) -> list[str]:
    return [name for comparison in comparisons(peers, [0]) for name in comparison.peers]


@pytest.mark.parametrize(
    ('options', 'complaint'),
    [
        (['--rlpd', '/nowhere'], '--rlpd /nowhere: no checkout of it, rlpd/agents/sac/sac_learner.py is not there'),
        (['--lerobot', '{here}'], 'no checkout of it, src/lerobot/rl/algorithms/sac/sac_algorithm.py is not there'),
        (['--rlpd', '{rlpd}', '--rlpd-python', '/no/python'], '--rlpd-python /no/python: no such interpreter'),
        (['--lerobot-python', 'python3'], 'of no use without --lerobot PATH'),
        (['--threads', '4096'], '--threads 4096: this process may use'),
    ],
)
def test_bad_input_is_one_line(tmp_path, options, complaint):
    rlpd = fake_checkout(tmp_path / 'rlpd', 'rlpd/agents/sac/sac_learner.py')
    pytest.importorskip('stable_baselines3')
    options = [option.format(here=tmp_path, rlpd=rlpd) for option in options]
    command = [sys.executable, '-m', 'hybrid_rl_ros.cli', 'bench', 'learner', *options]
    assert_one_line(subprocess.run(command, capture_output=True, text=True), complaint)


def test_without_stable_baselines3_it_says_what_to_install():
    script = "import sys; sys.modules['stable_baselines3'] = None; from hybrid_rl_ros.cli import main; "
    command = [sys.executable, '-c', script + 'main(["bench", "learner"])']
    assert_one_line(subprocess.run(command, capture_output=True, text=True), 'pip install stable-baselines3')


@pytest.mark.slow
def test_ours_and_stable_baselines3_do_the_same_updates_in_turns():
    pytest.importorskip('stable_baselines3')
    [comparison] = comparisons([], [min(os.sched_getaffinity(0))])
    rows = compare(comparison, rounds=2)
    assert [row['name'] for row in rows] == [
        f'{SB3.name} SAC, 2 critics, {precision}' for precision in ('fp32', 'bf16')
    ]
    for row in rows:
        assert set(FIELDS) <= row.keys()
        assert row['n'] > 0 and row['ours_ms'] > 0 and row['cpu_ms'] > 0
        assert row['peer_ms'] > 0 and row['peer_cpu_ms'] > 0 and row['peer_precision'] == 'fp32'
        assert row['lowest_ratio'] <= row['highest_ratio'] and row['rounds'] == 2
        assert row['versions'].keys() == {'torch'} and 'stable-baselines3' in row['peer_versions']


@pytest.mark.slow
@pytest.mark.long
def test_the_memory_row_says_what_a_learner_holds_beside_the_cache_of_its_files():
    row = memory_row('memory', [min(os.sched_getaffinity(0))])
    assert row['peer'] is None and row['steps'] == 50_000 and row['cameras'] == 2
    assert 50 < row['resident_mb_beyond_page_cache'] < 0.5 * 50_000 * 2 * 128 * 128 * 3 / 2**20


def fake_checkout(folder: Path, file: str) -> Path:
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text('')
    return folder


def assert_one_line(done: subprocess.CompletedProcess[str], complaint: str) -> None:
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1 and complaint in done.stderr
