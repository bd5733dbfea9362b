"""Bags of real graphs: what is imported from one is what the graph stored, and no trouble of bags is the arm's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from graph_runs import CONFIG, REACH, SMALL, executed, hybrid_rl, overrides, prepare
from test_teleop_node import SETTINGS, ScriptedPad
from waiting import wait_for

from hybrid_rl_ros.bringup import Bringup, node_status, nodes_of_run, running
from hybrid_rl_ros.data.exchange.bag_reader import open_bags
from hybrid_rl_ros.data.exchange.dataset import import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.replay_store import ReplayStore

pytestmark = pytest.mark.slow

LIFT = str(CONFIG / 'sim_lift.yaml')
CAMERAS = 'observation.cameras={front: {width: 32, height: 24}, wrist: {width: 32, height: 24}}'
COMMANDS = '/joint_trajectory_controller/joint_trajectory'
BAG = [*SMALL, 'bag.write=true', 'sac.demo_ratio=0']


def assert_import_is_what_was_stored(run: Path, out: Path) -> int:
    """Every step, bit for bit; returns how many."""
    with (
        import_dataset(run / 'bag', out, 'rosbag', None, Mapping(), lambda *_: None) as found,
        ReplayStore.open(run / 'replay', read_only=True) as stored,
    ):
        assert found.specs == stored.specs
        assert found.transitions == stored.transitions
        assert found.episodes() == stored.episodes()
        ours, theirs = found.rows(), stored.rows()
        assert np.array_equal(found.stamps(ours), stored.stamps(theirs))
        assert np.array_equal(found.states(ours), stored.states(theirs))
        assert np.array_equal(found.actions(ours), stored.actions(theirs))
        for row, other in zip(ours, theirs):
            step, kept = found.step_at(row), stored.step_at(other)
            assert (step.reward, step.terminal, step.truncated) == (kept.reward, kept.terminal, kept.truncated)
            assert (step.episode, step.intervention) == (kept.episode, kept.intervention)
            for camera, image in step.observation.images.items():
                assert np.array_equal(image, kept.observation.images[camera])
        return len(ours)


@pytest.mark.parametrize(
    'clock', ['lockstep', pytest.param('realtime', marks=[pytest.mark.long, pytest.mark.real_time])]
)
def test_an_imported_bag_is_what_learner_and_recorder_stored(tmp_path, clock):
    run = tmp_path / 'run'
    settings = [*BAG, CAMERAS, f'clock={clock}', 'safety.action_timeout_s=0.5', 'sac.updates_per_step=1']
    settings += ['eval.episodes=2']
    process = hybrid_rl('train', '--config', LIFT, '--run', str(run), *overrides(*settings))
    _, errors = process.communicate(timeout=170)
    assert process.returncode == 0, errors
    assert assert_import_is_what_was_stored(run, tmp_path / 'trained') > 80
    assert assert_import_is_what_was_stored(run / 'eval', tmp_path / 'evaluated') > 2
    (bag,) = open_bags(run / 'bag')
    for topic in (
        'joint_states',
        'wrench',
        'task_state',
        'front/image_raw',
        'joint_trajectory_controller/joint_trajectory',
    ):
        assert any(name.endswith(topic) and bag.counts[name] for name in bag.topics), topic
    assert bag.attachments['config.yaml'] == (run / 'config.yaml').read_bytes()
    assert node_status(run, 'bag_node')['counters'].get('dropped_messages', 0) == 0


@pytest.mark.long
def test_a_resumed_run_records_on_and_both_bags_make_one_store(tmp_path):
    run = tmp_path / 'run'
    settings = overrides(*BAG, 'train.env_steps=40')
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *settings)
    assert process.wait(timeout=120) == 0
    process = hybrid_rl('train', '--resume', '--run', str(run), *overrides('train.env_steps=80'))
    assert process.wait(timeout=120) == 0
    assert sorted(path.name for path in (run / 'bag').iterdir()) == ['1', '2']
    assert assert_import_is_what_was_stored(run, tmp_path / 'imported') > 80


def test_a_recorder_that_is_killed_costs_neither_the_run_nor_what_it_had_written(tmp_path, caplog):
    config = prepare(tmp_path, *BAG, 'train.env_steps=100000')
    with running(Bringup(config, tmp_path, 'train', nodes_of_run(config, 'train'))) as bringup:
        bag = tmp_path / 'bag' / '1' / 'bag_0.mcap'
        wait_for(lambda: executed(tmp_path) > 60 and bag.stat().st_size > 40_000)
        bringup.process('bag_node').kill()
        before = executed(tmp_path)
        wait_for(lambda: executed(tmp_path) > before + 40)
        assert bringup.check() is False
        assert bringup.bag_lost
    with (
        import_dataset(tmp_path / 'bag', tmp_path / 'out', 'rosbag', None, Mapping(), lambda *_: None) as found,
        ReplayStore.open(tmp_path / 'replay', read_only=True) as stored,
    ):
        assert found.steps > 10
        assert np.array_equal(found.states(found.rows()), stored.states(stored.rows()[: found.steps]))
    assert 'messages of whole chunks are read' in caplog.messages[0]


@pytest.mark.long
def test_what_the_queue_has_no_room_for_is_counted_and_the_run_loses_nothing(tmp_path):
    """A queue that is smaller than one picture, as behind a disk that stands still."""
    run = tmp_path / 'run'
    settings = overrides(*BAG, CAMERAS, 'bag.queue_mb=0.002', 'bag.topics=[/nobody, graph/ready]')
    settings += overrides('observation.topic_timeout_s=1.0')
    process = hybrid_rl('train', '--config', LIFT, '--run', str(run), *settings)
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    counters = node_status(run, 'bag_node')['counters']
    (bag,) = open_bags(run / 'bag')
    assert bag.counts['/observation/image/front'] == 0
    assert bag.counts.total() == counters['messages'] > 500
    assert counters['dropped_messages'] > 4 * 80
    assert bag.counts['/graph/ready'] > 0
    log = (run / 'logs' / 'bag_node.log').read_text()
    assert log.count('bag.topics: nobody publishes /nobody') == 1
    assert node_status(run, 'learner_node')['counters']['dropped_steps'] == 0


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason='mounting a small file system needs root')
def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path):
    run, small = tmp_path / 'run', tmp_path / 'run' / 'bag'
    small.mkdir(parents=True)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', str(small)], capture_output=True).returncode:
        pytest.skip('no file system can be mounted here')
    try:
        process = hybrid_rl('train', '--config', REACH, '--run', str(run), *overrides(*BAG))
        _, errors = process.communicate(timeout=150)
        assert process.returncode == 0, errors
        status = node_status(run, 'bag_node')
        assert 'No space left on device; the recording stopped after' in status['warning']
        assert status['counters']['dropped_messages'] > 0
        with ReplayStore.open(run / 'replay', read_only=True) as stored:
            assert stored.transitions >= 80
        log = (run / 'logs' / 'bag_node.log').read_text()
        assert log.count('No space left') == 1 and 'Traceback' not in log
    finally:
        subprocess.run(['umount', '-l', str(small)], check=False)


def test_a_library_that_is_missing_is_one_line(tmp_path):
    hide = 'import importlib.util\nfind = importlib.util.find_spec\n'
    hide += 'importlib.util.find_spec = lambda name, *more: None if name == "mcap" else find(name, *more)\n'
    (tmp_path / 'lacking').mkdir()
    (tmp_path / 'lacking' / 'sitecustomize.py').write_text(hide)
    environment = {**os.environ, 'PYTHONPATH': f'{tmp_path / "lacking"}:{os.environ.get("PYTHONPATH", "")}'}
    command = [sys.executable, '-m', 'hybrid_rl_ros.cli', 'train', '--config', REACH, '--run', str(tmp_path / 'run')]
    command += ['--set', 'bag.write=true']
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert result.returncode == 2
    expected = "hybrid-rl: error: bag.write: needs mcap; install it with pip install 'hybrid_rl_ros[data]'\n"
    assert result.stderr == expected


@pytest.fixture
def pad() -> Iterator[ScriptedPad]:
    scripted = ScriptedPad()
    yield scripted
    scripted.close()


@pytest.mark.long
@pytest.mark.real_time
def test_what_a_person_did_and_what_the_gate_held_come_back_too(tmp_path, pad):
    """A run that is stopped in the middle: bag and store end a few steps apart, and agree until then."""
    run = tmp_path / 'run'
    settings = [*SETTINGS, 'teleop.device=joy', 'train.env_steps=100000', 'train.warm_up_steps=100000']
    settings += ['episode.time_limit_steps=40', 'sac.hidden=[32, 32]', 'eval.episodes=0', 'bag.write=true']
    pad.steering = False
    process = hybrid_rl('train', '--config', LIFT, '--run', str(run), *overrides(*settings))
    try:
        pad.until(lambda: pad.executed_by[-5:] == ['policy'] * 5)
        pad.steering = True
        pad.until(lambda: pad.executed_by.count('teleop') >= 60)
        pad.steering = False
        handed_back = len(pad.executed_by)
        pad.until(lambda: pad.executed_by[handed_back:].count('policy') >= 20)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    with (
        import_dataset(run / 'bag', tmp_path / 'out', 'rosbag', None, Mapping(), lambda *_: None) as found,
        ReplayStore.open(run / 'replay', read_only=True) as stored,
    ):
        pairs = list(zip(found.rows(), stored.rows()))
        assert len(pairs) > 80
        assert abs(found.steps - stored.steps) <= 10
        interventions = 0
        for row, other in pairs:
            step, kept = found.step_at(row), stored.step_at(other)
            assert (step.stamp_ns, step.episode, step.intervention) == (kept.stamp_ns, kept.episode, kept.intervention)
            assert np.array_equal(step.action, kept.action)
            assert np.array_equal(step.observation.state, kept.observation.state)
            interventions += step.intervention
        assert interventions >= 50
