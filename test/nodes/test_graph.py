"""The whole graph: real processes over real DDS."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_runs import CAMERA, CONFIG, REACH, SMALL, clear_faults, executed, hybrid_rl, overrides, prepare, processes_of
from waiting import wait_for

from hybrid_rl_ros.bringup import Bringup, node_status, nodes_of_run, running
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.run_folder import read_json_lines


def how_it_stands(pid: int) -> str:
    """Which process it is, and what each of its threads waits for."""
    process = Path(f'/proc/{pid}')
    threads = [
        f'{(thread / "stat").read_text().rpartition(")")[2].split()[0]} {(thread / "wchan").read_text()}'
        for thread in (process / 'task').iterdir()
    ]
    return f'{(process / "cmdline").read_bytes()!r}: {threads}'


def shared_memory_of(pids: list[int]) -> set[Path]:
    """The segments, of tens of megabytes each, in which Fast DDS keeps what these processes send."""
    maps = ''.join(Path(f'/proc/{pid}/maps').read_text() for pid in pids)
    return {Path(name) for name in re.findall(r'/dev/shm/fast[a-z]+_[0-9a-f]{16}$', maps, re.MULTILINE)}


def queues_of(pid: int) -> dict[str, int]:
    """The files in shared memory in which Fast DDS queues what this process is to read, by their inodes."""
    queues = {}
    for opened in Path(f'/proc/{pid}/fd').iterdir():
        try:
            link = os.readlink(opened)
        except FileNotFoundError:
            continue
        if re.search(r'_port\d+_el$', link):
            queues[link] = os.stat(link.removesuffix('_el')).st_ino
    return queues


def test_training_stores_every_executed_step_and_says_so(tmp_path):
    run = tmp_path / 'run'
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *overrides(*SMALL, 'eval.episodes=2'))
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    summary = json.loads((run / 'summary.json').read_text())
    assert summary['dropped_steps'] == 0 and summary['eval_episodes'] == 2
    assert summary['transitions_stored'] == summary['env_steps'] == executed(run)
    assert summary['updates'] == (summary['env_steps'] - 20 + 1) * 4
    episodes = read_json_lines(run / 'episodes.jsonl')
    assert sum(episode['steps'] for episode in episodes) == summary['env_steps']
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        assert store.transitions == summary['env_steps']
        assert [episode.transitions for episode in store.episodes()] == [episode['steps'] for episode in episodes]
    assert not processes_of(run)

    # A finished run can be given more steps, and its numbers go on.
    process = hybrid_rl('train', '--resume', '--run', str(run), *overrides('train.env_steps=120', 'eval.episodes=0'))
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    more = json.loads((run / 'summary.json').read_text())
    assert more['env_steps'] >= 120
    assert more['transitions_stored'] == more['env_steps']
    # By these it has had its time; and no 20 episodes of it brought a success.
    late = overrides('train.env_steps=100000', 'train.hours=0.0001', 'eval.episodes=0')
    process = hybrid_rl('train', '--resume', '--run', str(run), *late)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert 'has come to its end, and train.env_steps would change nothing any more' in errors
    assert json.loads((run / 'summary.json').read_text())['env_steps'] == more['env_steps']
    process = hybrid_rl('eval', '--run', str(run), '--best', '--episodes', '1')
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert 'best_policy.safetensors: no policy to evaluate; it is kept once 20 training episodes brought a' in errors


@pytest.mark.slow
def test_a_chosen_gripper_a_relative_frame_and_critics_that_know_more_train_and_evaluate(tmp_path):
    """Each episode that begins with keeping the fingers begins without a command for them."""
    run = tmp_path / 'run'
    settings = ['sac.gripper=dqn', 'sac.relative_frame=true', 'action={gripper: true, gripper_mode: discrete}']
    settings += ['observation.state=[ee.x, ee.y, ee.z, ee.yaw, gripper.opening]']
    settings += ['observation.critic_only=[task.target.x, task.target.y, task.target.z]']
    # Five episodes begin with random actions, about half of which keep the fingers; a policy may never do so.
    settings += ['train.warm_up_steps=50', 'episode.time_limit_steps=10']
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *overrides(*SMALL, 'eval.episodes=2', *settings))
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    summary = json.loads((run / 'summary.json').read_text())
    assert summary['dropped_steps'] == 0 and summary['eval_episodes'] == 2
    assert summary['weights_sha256'] == Policy.load(run / 'policy.safetensors').weights_sha256()
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        firsts = [store.actions(store.episode_rows(episode.episode)[:1])[0, -1] for episode in store.episodes()]
        assert 'task.target.x' in store.specs.observation.state.names
    assert any(abs(gripper) <= 0.5 for gripper in firsts), 'otherwise this tests nothing'
    assert 'task.target.x' not in Policy.load(run / 'policy.safetensors').specs.observation.state.names


def test_recorded_demonstrations_are_successes_only_and_end_terminal(tmp_path):
    out = tmp_path / 'demos'
    process = hybrid_rl(
        *('record', '--config', str(CONFIG / 'sim_lift.yaml'), '--episodes', '4', '--expert', 'lift'),
        *('--out', str(out)),
    )
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    with ReplayStore.open(out, read_only=True) as store:
        episodes = store.episodes()
        assert len(episodes) == 4
        assert all(episode.terminal and episode.return_ == 1.0 for episode in episodes)
        for episode in episodes:
            # Every episode starts from where the reset put the arm, not from where the last one ended.
            tool = store.states(store.episode_rows(episode.episode))[:, :3]
            assert np.abs(np.diff(tool, axis=0)).max() < 0.03


def test_neither_a_node_nor_its_shared_memory_outlives_a_killed_command(tmp_path):
    run = tmp_path / 'run'
    settings = overrides(*SMALL, CAMERA, 'train.env_steps=100000')
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *settings)
    wait_for(lambda: executed(run) > 5)
    segments = shared_memory_of(processes_of(run))
    assert segments
    process.kill()
    process.communicate()
    ended_by = time.monotonic() + 20.0
    while left := processes_of(run):
        if time.monotonic() > ended_by:
            pytest.fail('\n'.join(how_it_stands(pid) for pid in left))
        time.sleep(0.02)
    assert not [segment for segment in segments if segment.exists()]


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_stopped_command_brings_every_node_down_and_the_run_can_be_resumed(tmp_path, number):
    run = tmp_path / 'run'
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *overrides(*SMALL, 'train.env_steps=100000'))
    wait_for(lambda: executed(run) > 5)
    process.send_signal(number)
    process.communicate(timeout=40)
    assert process.returncode == 130
    assert not processes_of(run)
    assert list((run / 'checkpoints').glob('*.safetensors'))
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        more = f'train.env_steps={store.transitions + 40}'
    process = hybrid_rl('train', '--resume', '--run', str(run), *overrides(more, 'eval.episodes=0'))
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    # The steps of the episode that was cut off are counted, although it has no line.
    summary = json.loads((run / 'summary.json').read_text())
    assert read_json_lines(run / 'episodes.jsonl')[-1]['env_steps'] == summary['env_steps']
    assert summary['env_steps'] == summary['transitions_stored']


@pytest.mark.slow
@pytest.mark.real_time
def test_a_node_that_stands_still_for_two_seconds_keeps_its_queue_and_the_graph_goes_on(tmp_path):
    """At Fast DDS' default of 1 s its shared-memory port is thrown away, with all that waits in it."""
    config = prepare(tmp_path, *SMALL, CAMERA, 'train.env_steps=100000')
    with running(Bringup(config, tmp_path, 'train', nodes_of_run(config, 'train'))) as bringup:
        wait_for(lambda: executed(tmp_path) > 20)
        for name in ('safety_node', 'learner_node', 'observation_node') * 3:
            victim = bringup.process(name).pid
            before = queues_of(victim)
            os.kill(victim, signal.SIGSTOP)
            time.sleep(1.8)
            os.kill(victim, signal.SIGCONT)
            steps = executed(tmp_path)
            wait_for(lambda steps=steps: executed(tmp_path) > steps + 10)
            assert queues_of(victim) == before and bool(before) == (name != 'safety_node')


def kill_and_watch(victim: int) -> dict[str, Any]:
    """What graph_watcher.py saw of the arm before and after the process `victim` was killed with SIGKILL."""
    watcher = Path(__file__).with_name('graph_watcher.py')
    watched = subprocess.run([sys.executable, str(watcher), str(victim)], stdout=subprocess.PIPE, text=True, timeout=60)
    return json.loads(watched.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.real_time
def test_a_killed_learner_stops_nothing_loses_at_most_one_step_and_its_run_goes_on(tmp_path, capfd):
    told = tmp_path / 'told'
    call_a_person = f'reset.call=[touch, {told}]'
    config = prepare(tmp_path, *SMALL, 'clock=realtime', 'control_rate_hz=20', 'train.env_steps=100000', call_a_person)
    with running(Bringup(config, tmp_path, 'train', nodes_of_run(config, 'train'))) as bringup:
        wait_for(lambda: node_status(tmp_path, 'inference_node').get('policy_version', 0) >= 1)
        seen = kill_and_watch(bringup.process('learner_node').pid)
        before = executed(tmp_path)
        wait_for(lambda: executed(tmp_path) >= before + 20)
        assert bringup.check() is False
        assert bringup.learner_lost
        wait_for(told.exists)
        said = 'learner_node was killed by SIGKILL; the arm goes on with the last weights; stop, then: hybrid-rl train'
        assert bringup.check() is False and capfd.readouterr().err.count(said) == 1, 'once'
    with ReplayStore.open(tmp_path / 'replay', read_only=True) as store:
        stored = set(store.stamps(np.arange(store.sequence)).tolist())
        held = store.transitions
    executed_before = seen['stamps_before']
    assert len(executed_before) > 20
    missing = [stamp for stamp in executed_before if stamp not in stored]
    # The last one may have been executed with the learner already dead, and one was being written.
    assert missing == executed_before[len(executed_before) - len(missing) :]
    assert len(missing) <= 2

    more = ['train.env_steps=' + str(held + 40), 'eval.episodes=0', 'clock=lockstep']
    process = hybrid_rl('train', '--resume', '--run', str(tmp_path), *overrides(*more))
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['transitions_stored'] >= held + 40
    steps = [episode['env_steps'] for episode in read_json_lines(tmp_path / 'episodes.jsonl')]
    assert steps == sorted(steps)


@pytest.mark.real_time
def test_in_real_time_the_arm_holds_within_a_fifth_of_a_second_when_inference_is_killed(tmp_path):
    # Long episodes: a reset would move the arm while it is watched. Steps of 0.2 m/s: from the 2 rad/s of longer ones
    # the simulated arm's own servo swings for 80 ms after the last command, which says nothing of the gate.
    slow_and_long = ('action.max_step_m=0.01', 'train.env_steps=100000', 'episode.time_limit_steps=4000')
    config = prepare(tmp_path, *SMALL, 'clock=realtime', 'control_rate_hz=20', *slow_and_long)
    with running(Bringup(config, tmp_path, 'train', nodes_of_run(config, 'train'))) as bringup:
        wait_for(lambda: (clear_faults(tmp_path), executed(tmp_path) > 30)[-1])
        seen = kill_and_watch(bringup.process('inference_node').pid)
    assert seen['speed_before_rad_s'] > 0.01
    assert seen['speed_after_rad_s'] < 0.02
    assert seen['safety_states'][-2:] == ['hold: no action', 'hold: action_lost']


def test_a_topic_that_nobody_publishes_is_named(tmp_path):
    prepare(tmp_path, *SMALL, 'clock=realtime', 'observation.topic_timeout_s=1.0')
    command = [sys.executable, '-m', 'hybrid_rl_ros.nodes.observation_node', '--ros-args', '-p', f'run_dir:={tmp_path}']
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "nobody publishes '/task_state' after 1 s" in result.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_any_gymnasium_environment_stands_in_for_the_arm(tmp_path):
    """Observation vector, rendered image and action all go through the graph, with nothing of an arm in it."""
    run = tmp_path / 'run'
    settings = overrides(
        'train.env_steps=60',
        'train.warm_up_steps=20',
        'episode.time_limit_steps=30',
        'eval.episodes=1',
        'sac.hidden=[32, 32]',
        'observation.cameras={render: {width: 32, height: 24}}',
        'encoder.features=8',
    )
    process = hybrid_rl('train', '--config', str(CONFIG / 'sim_gymnasium.yaml'), '--run', str(run), *settings)
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    summary = json.loads((run / 'summary.json').read_text())
    assert summary['transitions_stored'] == summary['env_steps'] == executed(run) == 60
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        rows = store.episode_rows(0)
        cosine, sine = store.states(rows)[:, 0], store.states(rows)[:, 1]
        assert np.allclose(cosine**2 + sine**2, 1.0, atol=1e-5)
        assert np.ptp(store.frames(rows)['render'].astype(int), axis=0).max() > 0
        assert (store.rewards(rows[:-1]) < 0).all()
