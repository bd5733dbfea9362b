"""sim.launch.py really run: it trains, and a node that dies brings the rest down in order."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from graph_runs import executed, processes_of
from launched import end, end_what_was_left, launch
from waiting import wait_for

from hybrid_rl_ros.bringup import node_status
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.run_folder import read_json_lines

pytestmark = pytest.mark.slow
SMALL = "train.warm_up_steps=20 'sac.hidden=[32, 32]' episode.time_limit_steps=20 train.checkpoint_every_steps=25"
GRAPH = ['sim_node', 'learner_node', 'inference_node', 'observation_node', 'safety_node', 'recorder_node']
GRAPH += ['reward_reset_node']


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    end_what_was_left()


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp('trained') / 'run'
    settings = f'{SMALL} train.env_steps=80 eval.episodes=2'
    process = launch('sim', task='reach', run=str(run), headless='true', set=settings)
    output = end(process, run)
    assert process.returncode == 0, output
    return run


def test_a_run_is_trained_and_evaluated(trained):
    summary = json.loads((trained / 'summary.json').read_text())
    assert summary['transitions_stored'] == summary['env_steps'] >= 80
    assert summary['dropped_steps'] == 0 and summary['eval_episodes'] == 2


def test_the_best_policy_is_told_of_alone_and_the_summary_stays(trained):
    summary = (trained / 'summary.json').read_bytes()
    (trained / 'best_policy.safetensors').write_bytes((trained / 'policy.safetensors').read_bytes())
    (trained / 'best_policy.json').write_text('{"env_steps": 40}')
    process = launch('eval', run=str(trained), episodes='3', best='true')
    output = end(process, trained)
    assert process.returncode == 0, output
    assert re.search(r'"success_rate_best": \S+,\n "eval_episodes": 3,\n "env_steps": 40\n', output)
    assert len(read_json_lines(trained / 'eval_best' / 'episodes.jsonl')) == 3
    assert (trained / 'summary.json').read_bytes() == summary


def test_a_finished_run_that_is_resumed_makes_no_more_steps(trained):
    process = launch('train', run=str(trained), resume='true', set='eval.episodes=0')
    output = end(process, trained)
    assert process.returncode == 0, output
    assert 'learner_node' not in output
    assert '"env_steps": 80' in output


def test_a_part_says_that_it_does_not_evaluate_and_what_does(trained):
    process = launch('train', run=str(trained), resume='true', part='no_robot', set='eval.episodes=4')
    output = end(process, trained)
    assert process.returncode == 0, output
    assert f'then: ros2 launch hybrid_rl_ros eval.launch.py run:={trained} episodes:=4' in output


def test_ctrl_c_keeps_the_episodes_that_were_recorded(tmp_path):
    out, work = tmp_path / 'demos', tmp_path / 'demos.recording'
    process = launch('record', config='sim_reach_state', expert='reach', episodes='1000', out=str(out))
    wait_for(lambda: len(read_json_lines(work / 'episodes.jsonl')) >= 3)
    # As a terminal does: every process of the command at once.
    os.killpg(process.pid, signal.SIGINT)
    output = end(process, work)
    told = re.search(r'(\d+) episodes, (\d+) transitions in', output)
    assert told and int(told.group(1)) >= 3, output
    with ReplayStore.open(out, read_only=True) as store:
        assert (len(store.episodes()), store.transitions) == (int(told.group(1)), int(told.group(2)))
    assert not work.exists()


@pytest.mark.timeout(900)
def test_reach_is_learned(tmp_path):
    """As a user would, with nothing made smaller."""
    run = tmp_path / 'run'
    process = launch('sim', task='reach', run=str(run), headless='true')
    output, _ = process.communicate(timeout=850)
    assert process.returncode == 0, output
    summary = json.loads((run / 'summary.json').read_text())
    assert summary['success_rate_eval'] >= 0.9 and summary['eval_episodes'] == 50


@pytest.mark.parametrize('victim', ['safety_node', 'inference_node', 'sim_node'])
def test_a_killed_node_brings_the_rest_down_in_the_reverse_order(tmp_path, victim):
    run, told = tmp_path / 'run', tmp_path / 'told'
    settings = f'{SMALL} train.env_steps=100000 "reset.call=[touch, {told}]"'
    process = launch('sim', run=str(run), headless='true', set=settings)
    wait_for(lambda: executed(run) > 30)
    os.kill(processes_of(run, victim)[0], signal.SIGKILL)
    output = end(process, run)
    assert process.returncode == 1
    assert f'{victim} was killed by SIGKILL; the arm holds; go on with: hybrid-rl train --resume' in output
    assert 'Traceback' not in output
    wait_for(told.exists)
    ended = re.findall(r"sending signal 'SIGTERM' to process\[(\w+)-\d+\]", output)
    assert ended == [name for name in reversed(GRAPH) if name != victim]
    clean = re.findall(r'\[(\w+)-\d+\]: process has finished cleanly', output)
    assert sorted(clean) == sorted(ended)
    assert list((run / 'checkpoints').glob('*.safetensors'))
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        assert store.transitions > 20


@pytest.mark.real_time
def test_a_killed_learner_comes_back_and_goes_on_while_the_arm_acts(tmp_path):
    run = tmp_path / 'run'
    settings = f'{SMALL} clock=realtime control_rate_hz=20 train.env_steps=100000 eval.episodes=0'
    process = launch('sim', run=str(run), headless='true', set=settings)
    try:
        wait_for(lambda: node_status(run, 'inference_node').get('policy_version', 0) >= 3)
        os.kill(processes_of(run, 'learner_node')[0], signal.SIGKILL)
        before, held = executed(run), node_status(run, 'learner_node')['transitions']
        version = node_status(run, 'inference_node')['policy_version']
        wait_for(lambda: executed(run) > before + 40)
        wait_for(lambda: node_status(run, 'learner_node').get('transitions', 0) > held + 40)
        wait_for(lambda: node_status(run, 'inference_node')['policy_version'] > version + 2)
    finally:
        process.send_signal(signal.SIGINT)
    output = end(process, run)
    assert 'bringing the rest down' not in output
    assert len(re.findall(r'\[learner_node-\d+\]: process started', output)) == 2


def test_no_node_outlives_a_killed_launch(tmp_path):
    run = tmp_path / 'run'
    process = launch('sim', run=str(run), headless='true', set=f'{SMALL} train.env_steps=100000')
    wait_for(lambda: executed(run) > 5)
    process.kill()
    process.communicate()
    wait_for(lambda: not processes_of(run), within_s=30)


def test_what_a_user_got_wrong_is_said_without_a_traceback(tmp_path):
    process = launch('sim', run=str(tmp_path / 'run'), headless='true', set='sede=2')
    output = end(process, tmp_path)
    assert process.returncode == 1
    assert "unknown key 'sede'; the nearest valid key is 'seed'" in output
    assert 'Traceback' not in output
