"""The form of the performance figures; their values depend on the machine and are not asserted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hybrid_rl_ros.bench_result import FIELDS, bench_result, bench_row, write_result


def bench(name: str, *options: str) -> dict:
    command = [sys.executable, '-m', 'hybrid_rl_ros.cli', 'bench', name, '--json', *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_row_without_a_peer_has_no_ratio_and_one_with_a_peer_says_how_often_ours_fits_into_it(capsys):
    rows = [bench_row('alone', 2.0, 10), bench_row('against', 2.0, 10, 'other', 5.0, engine='x')]
    assert [row['ratio'] for row in rows] == [None, 2.5]
    write_result(bench_result('inference', rows), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ['alone: 2.000 ms (n 10)', 'against: 2.000 ms, other 5.000 ms, ratio 2.50 (n 10, engine x)']


@pytest.mark.slow
@pytest.mark.long
def test_bench_inference_prints_one_object_with_p50_and_p99_of_every_actor():
    result = bench('inference')
    assert result['bench'] == 'inference' and result['machine']['cores'] > 0
    assert all(set(FIELDS) <= row.keys() and row['ours_ms'] > 0 for row in result['rows'])
    timed = {row['name'] for row in result['rows'] if row['peer'] == 'PyTorch eager'}
    for actor in ('MLP actor, state only', 'two-camera actor, 64x64', 'two-camera actor, 128x128'):
        assert {f'{actor}, {how}, {p}' for how in ('mode', 'sampled') for p in ('p50', 'p99')} <= timed
    iterated = next(row for row in result['rows'] if row['name'] == 'flow, real-time iteration, 2 steps, p50')
    assert iterated['peer_calls'] == 5 * iterated['calls'] and iterated['peer'] == 'flow, 10 steps'


@pytest.mark.slow
def test_bench_replay_compares_the_same_batches_with_stable_baselines3():
    pytest.importorskip('stable_baselines3')
    result = bench('replay', '--steps', '600')
    rows = {row['name']: row for row in result['rows']}
    assert result['bench'] == 'replay'
    assert all(set(FIELDS) <= row.keys() and row['ours_ms'] > 0 for row in rows.values())
    against = rows['sb3 DictReplayBuffer']
    assert against['peer'] == 'sb3 DictReplayBuffer' and against['threads'] >= 1
    assert against['bytes_per_step'] < 0.51 * against['peer_bytes_per_step']
    assert {'append one step', 'open 100000 steps of 2x128x128', 'batch of 256 without frames'} <= rows.keys()


def test_bench_replay_without_its_peer_or_without_room_says_so_in_one_line():
    pytest.importorskip('stable_baselines3')
    absent = "import sys; sys.modules['stable_baselines3'] = None; "
    call = 'from hybrid_rl_ros.cli import main; main(["bench", "replay", "--steps", "999999999"])'
    for script, complaint in ((absent + call, 'pip install stable-baselines3'), (call, 'name fewer with --steps')):
        done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.count('\n') == 1 and complaint in done.stderr


@pytest.mark.slow
@pytest.mark.long
def test_bench_transport_says_how_many_images_came_and_how_old_they_were():
    result = bench('transport', '--seconds', '6')
    rows = {row['name']: row for row in result['rows']}
    sizes = ('128x128 at 60 Hz', '640x480 at 60 Hz', '1280x720 at 30 Hz')
    assert list(rows) == [f'{size}, {p}' for size in sizes for p in ('p50', 'p99')]
    assert all(0.0 < row['delivered'] <= 1.0 and 0.0 <= row['peer_delivered'] <= 1.0 for row in rows.values())
    assert all(rows[f'{size}, p50']['ours_ms'] <= rows[f'{size}, p99']['ours_ms'] for size in sizes)
