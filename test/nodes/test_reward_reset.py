"""Episodes that are judged and begun without a person, through the whole graph."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_runs import CONFIG, REACH, SMALL, call, hybrid_rl, overrides
from waiting import wait_for

from hybrid_rl_ros.bringup import node_status
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.run_folder import read_json_lines

pytestmark = pytest.mark.slow

# In real time: a machine that stands still for a while is to lose no step, and one that does so for long no episode.
PATIENT = ['safety.action_timeout_s=1.0', 'safety.joint_state_timeout_s=1.0', 'safety.max_action_age_s=1.0']
PATIENT += ['safety.latch_after_s=20', 'episode.observation_timeout_s=20']
LIFT = str(CONFIG / 'sim_lift.yaml')
STATE = ['ee.x', 'ee.y', 'ee.z', 'gripper.opening', 'task.cube.x', 'task.cube.y', 'task.cube.z']
SETTINGS = ['observation.cameras={}', 'sim.gl=off', f'observation.state={json.dumps(STATE)}']
UP = 'task.cube.z > 0.1 and gripper.opening < 0.9'
PUT_IT_BACK: list[dict[str, Any]] = [
    {'move': [0.45, 0.0, 0.05], 'randomise_m': [0.1, 0.16, 0.0]},
    {'move': [None, None, 0.03]},
    {'gripper': 'open'},
    {'move': [None, None, 0.2]},
    {'move': [0.45, 0.0, 0.25], 'randomise_m': [0.05, 0.1, 0.03]},
]


def record(out: Path, *settings: str, episodes: int = 4, options: tuple[str, ...] = ()):
    arguments = ['--config', LIFT, '--expert', 'lift', '--noise', '0.2', '--episodes', str(episodes)]
    return hybrid_rl('record', *arguments, '--out', str(out), *options, *overrides(*SETTINGS, *settings))


def reset(**settings: Any) -> str:
    return f'reset={json.dumps(settings)}'


def test_the_arm_puts_the_scene_back_itself_and_an_expression_judges_as_the_simulation_does(tmp_path):
    """Nothing is teleported after the first start: where an episode begins, the routine has left the cube."""
    out = tmp_path / 'demos'
    success = f'reward.success={json.dumps({"when": UP})}'
    looks = {'when': 'task.cube.z < 0.03 and gripper.opening > 0.8'}
    process = record(out, 'sim.reset=none', success, reset(routine=PUT_IT_BACK, verify=looks), episodes=5)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    lines = read_json_lines(out / 'episodes.jsonl')
    assert [(line['outcome'], line['true_success']) for line in lines] == [('succeeded', True)] * 5
    with ReplayStore.open(out, read_only=True) as store:
        episodes = [store.states(store.episode_rows(episode.episode)) for episode in store.episodes()]
    cube = [states[:, 4:7] for states in episodes]
    assert all(states[-1, 2] > 0.1 and states[0, 2] < 0.03 for states in cube)
    starts = np.array([states[0, :2] for states in cube])
    assert np.ptp(starts, axis=0).min() > 0.02, 'it is put down in another place each time'
    assert all(np.linalg.norm(states[0, :2] - [0.45, 0.0]) < 0.25 for states in cube)


@pytest.mark.parametrize(
    ('clock', 'routine'),
    [
        ('lockstep', ()),
        pytest.param('realtime', (), marks=[pytest.mark.real_time, pytest.mark.long]),
        pytest.param('lockstep', ('reset.routine=[]',), marks=pytest.mark.long),
    ],
)
def test_two_tasks_in_turn_make_each_other_possible(tmp_path, clock, routine):
    """There and back again: an episode begins where the last has left the cube, and the policy sees which it is at."""
    out = tmp_path / 'demos'
    config = ['--config', str(CONFIG / 'sim_push_practice.yaml'), *overrides(f'clock={clock}', *routine, *PATIENT)]
    process = hybrid_rl('record', *config, '--expert', 'push', '--noise', '0.1', '--episodes', '4', '--out', str(out))
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    lines = [line for line in read_json_lines(out / 'episodes.jsonl') if line['outcome'] != 'aborted']
    # Here each is the other's successor, however an episode ends.
    assert [line['task'] for line in lines] == ['there', 'back'] * (len(lines) // 2) + ['there'] * (len(lines) % 2)
    kept = [line for line in lines if line['outcome'] == 'succeeded']
    assert all(line.get('true_success') == (True if line['task'] == 'there' else None) for line in kept)
    with ReplayStore.open(out, read_only=True) as store:
        names = store.specs.observation.state.names
        segments = [store.states(store.episode_rows(episode.episode)) for episode in store.episodes()]
    task, way = names.index('practice.back'), [names.index('task.way.x'), names.index('task.way.y')]
    assert all(np.ptp(states[:, task]) == 0 for states in segments)
    assert {states[0, task] for states in segments} == {0.0, 1.0}
    if clock == 'realtime':
        # A machine that stands still takes steps away, and with them an episode, or makes two segments of one.
        return
    assert len(lines) == len(segments) == 4
    assert [states[0, task] for states in segments] == [0.0, 1.0, 0.0, 1.0]
    moved = [after[0, way] - before[-1, way] for before, after in pairwise(segments)]
    # What the arm still does while it comes to rest.
    assert np.abs(moved).max() < 0.02


@pytest.mark.parametrize('space', ['ee_delta', pytest.param('joint_position', marks=pytest.mark.long)])
def test_a_routine_may_turn_the_joints_whatever_the_actions_of_the_policy_are(tmp_path, space):
    """An elbow that is off to one side at the start of every episode, and the way there at the gate's speeds."""
    out, bend = tmp_path / 'run', 0.3
    robot = load_robot('sim_arm')
    goal = [place + bend * {0: 1, 2: -1}.get(joint, 0) for joint, place in enumerate(robot.home_rad)]
    state = [*(f'{joint}.position' for joint in robot.arm_joints)]
    routine = {'routine': [{'joints': 'home'}, {'gripper': 'close'}, {'joints': goal}, {'wait_s': 0.5}]}
    settings = [
        f'action={{space: {space}, gripper: true}}',
        f'observation.state={json.dumps(state)}',
        reset(**routine),
    ]
    settings += ['sim.reset=none', 'train.env_steps=60', 'episode.time_limit_steps=20']
    process = hybrid_rl('train', '--config', REACH, '--run', str(out), *overrides(*SMALL, *settings))
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    with ReplayStore.open(out / 'replay', read_only=True) as store:
        episodes = store.episodes()
        # The simulation has placed the arm once, at the very beginning.
        starts = [store.states(store.episode_rows(episode.episode))[0] for episode in episodes[1:]]
    assert len(starts) >= 2
    np.testing.assert_allclose(starts, np.tile(goal, (len(starts), 1)), atol=0.03)


def test_a_reset_that_does_not_work_calls_a_person_who_lets_it_go_on(tmp_path):
    out, work, told = tmp_path / 'demos', tmp_path / 'demos.recording', tmp_path / 'told'
    never = reset(routine=[{'wait_s': 0.2}], verify={'when': 'task.cube.z > 1'}, retries=1, call=['touch', str(told)])
    process = record(out, 'sim.reset=none', never, episodes=2)
    try:
        wait_for(lambda: node_status(work, 'reward_reset_node').get('warning', '').startswith('needs a person'))
        status = node_status(work, 'reward_reset_node')
        assert status['warning'] == 'needs a person: reset.verify was not seen; then reward_reset_node/begin'
        # Begun, tried again, given up.
        assert status['counters']['resetting'] == 3 and status['counters']['calls_for_a_person'] == 1
        wait_for(told.exists)
        assert call('reward_reset_node/begin').success
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert [line['outcome'] for line in read_json_lines(out / 'episodes.jsonl')] == ['succeeded'] * 2
    causes = [event['cause'] for event in read_json_lines(out / 'events.jsonl') if event['state'] == 'resetting']
    assert causes[:3] == [
        'reset routine',
        'reset.verify was not seen; try 2 of 2',
        'needs a person: reset.verify was not seen',
    ]


def test_an_estop_in_the_middle_of_a_reset_holds_and_after_clearing_it_the_reset_begins_anew(tmp_path):
    out, work = tmp_path / 'demos', tmp_path / 'demos.recording'
    long = reset(routine=[{'move': [0.45, 0.0, 0.3]}, {'wait_s': 40.0, 'within_s': 100.0}])
    process = record(out, 'sim.reset=none', long, episodes=2, options=('--keep', 'all'))

    def counted(node: str, counter: str) -> int:
        return node_status(work, node).get('counters', {}).get(counter, 0)

    try:
        wait_for(lambda: counted('safety_node', 'executed_reset') > 10)
        wait_for(lambda: counted('reward_reset_node', 'resetting') > 0)
        assert counted('reward_reset_node', 'resetting') == 1
        assert call('safety_node/estop').success
        wait_for(lambda: node_status(work, 'safety_node').get('mode') == 'estop')
        held = counted('safety_node', 'executed_hold')
        wait_for(lambda: counted('safety_node', 'executed_hold') > held + 20)
        assert len(read_json_lines(work / 'episodes.jsonl')) == 1
        executed = counted('safety_node', 'executed_reset')
        assert call('safety_node/clear_fault').success
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert executed < 380, 'it was stopped in its middle'
    assert [line['outcome'] for line in read_json_lines(out / 'episodes.jsonl')] == ['succeeded'] * 2


OPTIMIST = """
from hybrid_rl_ros.rewards.source import RewardSource


class Optimist(RewardSource):
    sees = True

    def score(self, seen):
        return 1.0
"""


def test_what_a_person_says_of_an_episode_that_was_judged_wrongly_is_kept(tmp_path, monkeypatch):
    (tmp_path / 'optimist.py').write_text(OPTIMIST)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    out, work = tmp_path / 'demos', tmp_path / 'demos.recording'
    cameras = ['observation.cameras={front: {width: 32, height: 32}}', 'sim.gl=auto', 'sim.reset=none']
    judged = 'reward.success={source: "optimist:Optimist", steps: 4}'
    process = record(out, *cameras, judged, reset(routine=[{'wait_s': 900.0, 'within_s': 1000.0}]), episodes=2)
    try:
        wait_for(lambda: len(read_json_lines(work / 'episodes.jsonl')) == 1)
        assert 'judged so: succeeded' in call('reward_reset_node/success').message
        assert call('reward_reset_node/failure').success
        assert call('reward_reset_node/failure').message == 'no episode is under way', 'once is enough'
        wait_for(lambda: node_status(work, 'reward_reset_node')['counters'].get('disputed_frames') == 3)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert read_json_lines(out / 'episodes.jsonl')[0]['true_success'] is False
    with ReplayStore.open(out / 'disputed', read_only=True) as store:
        assert store.records(store.rows())['reward'].tolist() == [0.0] * 3


def test_in_training_a_run_of_failures_calls_a_person_and_nothing_moves(tmp_path):
    run = tmp_path / 'run'
    settings = ['episode.most_failures_in_a_row=3', 'episode.time_limit_steps=4', 'sac.hidden=[32, 32]']
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *overrides(*settings, 'reward.shaping={}'))
    try:
        wait_for(lambda: node_status(run, 'reward_reset_node').get('warning', '').startswith('needs a person'))
        assert '3 episodes in a row without success' in node_status(run, 'reward_reset_node')['warning']
        wait_for(lambda: len(read_json_lines(run / 'episodes.jsonl')) >= 3)
        told = read_json_lines(run / 'episodes.jsonl')
        assert [line['outcome'] for line in told[-3:]] == ['timed_out'] * 3
        assert call('reward_reset_node/begin').success
        wait_for(lambda: len(read_json_lines(run / 'episodes.jsonl')) > len(told))
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_failure_is_no_demonstration_whatever_it_is_paid(tmp_path):
    paid = [
        'reward.step_reward=0.5',
        'reward.failure={when: "ee.z > 0", steps: 2}',
        'reward.success={when: "ee.x > 5"}',
    ]
    process = record(tmp_path / 'demos', *paid, episodes=1)
    work = tmp_path / 'demos.recording'
    try:
        wait_for(lambda: node_status(work, 'recorder_node').get('counters', {}).get('discarded_episodes', 0) >= 3)
        assert 'kept_episodes' not in node_status(work, 'recorder_node')['counters']
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_labelling_rewards_every_step_with_success_and_ends_at_the_time_limit(tmp_path):
    out = tmp_path / 'labelled'
    process = record(out, 'episode.time_limit_steps=40', episodes=3, options=('--label',))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    with ReplayStore.open(out, read_only=True) as store:
        assert [(e.terminal, e.truncated, e.steps) for e in store.episodes()] == [(False, True, 41)] * 3
        rewards = store.records(store.rows())['reward']
        heights = store.states(store.rows())[:, 6]
    assert set(rewards) == {0.0, 1.0}
    assert f'{int(rewards.sum())} steps with success, {int((rewards == 0).sum())} without' in output
    assert heights[rewards == 1].min() > 0.09 > np.median(heights[rewards == 0])


def test_a_tool_that_gets_nowhere_ends_the_episode_as_a_time_limit_does(tmp_path):
    out = tmp_path / 'demos'
    stuck = 'episode.stuck={within_m: 10.0, for_s: 0.7}'
    process = record(out, stuck, episodes=2, options=('--keep', 'all'))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    with ReplayStore.open(out, read_only=True) as store:
        assert [(e.terminal, e.truncated, e.transitions) for e in store.episodes()] == [(False, True, 7)] * 2
    ends = [event['cause'] for event in read_json_lines(out / 'events.jsonl') if event['state'] == 'timed_out']
    assert ends[:2] == ['stuck'] * 2


@pytest.mark.parametrize(
    ('settings', 'says'),
    [
        (['reward.success={when: "eee.z > 0"}'], "reward: 'eee.z' is not known"),
        (['reward.success={when: "task.cub.z > 0"}'], "names 'task.cub.z', which no stream carries"),
        (['reward.success={classifier: nowhere}'], 'reward classifier nowhere: no classifier.safetensors here'),
        (['reward.success={source: "no_such:Thing"}'], "reward source no_such:Thing: no module 'no_such'"),
        (['sim.reset=none'], 'sim.reset: none leaves the scene to the arm'),
        (['action.frame=tool', reset(routine=[{'move': [0.45, 0.0, 0.2]}])], 'it needs action.frame: base'),
        (['reward.success={when: "task.cube.z"}'], 'is no condition'),
        ([reset(routine=[{'move': [0.9, 0.0, 0.2]}])], 'x 0.9 with randomise_m 0 is not within the workspace'),
    ],
)
def test_what_cannot_be_judged_or_reset_is_one_line(tmp_path, settings, says):
    process = record(tmp_path / 'demos', *settings)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    (line,) = [line for line in errors.splitlines() if 'error' in line]
    assert says in line


def test_every_few_episodes_come_some_without_exploring(tmp_path):
    """The learner hardly learns here, so that the weights at the end are those that acted all along."""
    run = tmp_path / 'run'
    still = 'sac.learning_rate=1e-12'
    turns = ('eval.every_episodes=3', 'eval.each=2', 'train.env_steps=120')
    settings = overrides(*SMALL, *turns, still, 'episode.time_limit_steps=10')
    process = hybrid_rl('train', '--config', REACH, '--run', str(run), *settings)
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    told = [line.get('evaluation', False) for line in read_json_lines(run / 'episodes.jsonl')]
    assert told[:10] == [False, False, False, True, True] * 2
    policy = Policy.load(run / 'policy.safetensors')
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        for episode in store.episodes()[2:10]:
            rows = store.episode_rows(episode.episode)[:-1]
            mode = np.array([policy.act(Observation(state))[0] for state in store.states(rows)])
            off = np.abs(store.actions(rows) - mode).max() / np.ptp([policy.specs.action.low, policy.specs.action.high])
            assert (off < 1e-4) == told[episode.episode], f'episode {episode.episode}: {off}'
