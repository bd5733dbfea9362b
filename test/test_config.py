"""Bad input is one clear line and exit status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.config_file import validate
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot

CONFIG = Path(__file__).parents[1] / 'config'


def hybrid_rl(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'hybrid_rl_ros.cli', *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def refused(*arguments: str) -> str:
    """The one line that the command printed before it ended with status 2."""
    result = hybrid_rl(*arguments)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize('path', sorted(CONFIG.glob('sim_*.yaml')), ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid(path):
    load_robot(load_config(path).robot)


def test_an_unknown_key_names_its_path_and_the_nearest_valid_one(tmp_path):
    line = refused('train', '--config', str(CONFIG / 'sim_lift.yaml'), '--set', 'sac.bach=3', '--run', str(tmp_path))
    assert "unknown key 'sac.bach'" in line
    assert "'sac.batch'" in line


def test_a_wrong_type_names_the_key_and_the_value(tmp_path):
    line = refused('train', '--config', str(CONFIG / 'sim_lift.yaml'), '--set', 'sac.batch=many', '--run', 'x')
    assert 'sac.batch' in line
    assert "'many'" in line


def test_a_missing_file_is_named():
    assert 'nothing.yaml: no such file' in refused('train', '--config', 'nothing.yaml')


def test_a_folder_that_holds_another_run_is_not_overwritten(tmp_path):
    (tmp_path / 'replay').mkdir()
    line = refused('train', '--config', str(CONFIG / 'sim_lift.yaml'), '--run', str(tmp_path))
    assert 'already holds a run' in line


def test_demonstrations_of_other_specs_name_what_differs(tmp_path):
    from hybrid_rl_ros.bringup import resolve_specs
    from hybrid_rl_ros.data.replay_store import ReplayStore

    other = load_config(CONFIG / 'sim_lift.yaml', ['observation.state=[ee.x, ee.y]'])
    ReplayStore.create(tmp_path / 'demos', resolve_specs(other), 10).close()
    line = refused(
        *('train', '--config', str(CONFIG / 'sim_lift.yaml'), '--run', str(tmp_path / 'run')),
        *('--set', f'demos={tmp_path / "demos"}'),
    )
    assert "observation 'ee.z' is missing" in line


def test_an_unknown_state_name_is_named(tmp_path):
    line = refused(
        *('train', '--config', str(CONFIG / 'sim_reach_state.yaml'), '--run', str(tmp_path / 'run')),
        *('--set', 'observation.state=[elbow.angle]'),
    )
    assert "'elbow.angle' is not known" in line


def test_lockstep_without_a_simulation_is_refused():
    with pytest.raises(UserError, match='lockstep needs a simulation'):
        load_config(CONFIG / 'sim_lift.yaml', ['sim=null'])


def test_a_watchdog_shorter_than_the_control_period_is_refused():
    with pytest.raises(UserError, match='safety.action_timeout_s .* must be at least 0.24'):
        load_config(
            Path(__file__).parents[1] / 'config' / 'sim_reach_state.yaml', ['clock=realtime', 'control_rate_hz=5']
        )


def test_off_is_a_word_and_a_no_where_one_is_wanted(tmp_path):
    assert load_config(CONFIG / 'sim_lift.yaml', ['sim.gl=off']).sim.gl == 'off'
    config = load_config(CONFIG / 'sim_lift.yaml', ['action.gripper=no'])
    assert config.action.gripper is False


def test_a_preset_is_as_published_and_what_is_set_beside_it_holds():
    from hybrid_rl_ros.config import SacConfig

    rlpd = SacConfig.model_validate({'preset': 'rlpd', 'batch': 64})
    assert (rlpd.critics, rlpd.critic_subset, rlpd.updates_per_step, rlpd.discount) == (10, 2, 20, 0.99)
    assert (rlpd.initial_temperature, rlpd.entropy_backup, rlpd.activation) == (1.0, False, 'relu')
    assert rlpd.batch == 64
    serl = SacConfig(preset='serl')
    assert (serl.critics, serl.critic_subset, serl.discount, serl.critic_updates_per_actor_update) == (10, 2, 0.96, 4)
    hil = SacConfig(preset='hil_serl')
    assert (hil.critics, hil.critic_subset, hil.discount, hil.critic_updates_per_actor_update) == (2, 2, 0.97, 2)
    assert hil.entropy_backup is False and hil.initial_temperature == 0.01
    # What a run's config.yaml holds says the same again.
    assert SacConfig.model_validate(rlpd.model_dump()) == rlpd


@pytest.mark.parametrize(
    ('encoder', 'complaint'),
    [
        ({'weights': '/resnet18.safetensors'}, 'encoder: weights .* kind: resnet10 or resnet18, not kind: small'),
        ({'cached_shifts': 2, 'mode': 'end_to_end'}, 'encoder: cached_shifts needs mode: frozen'),
        ({'cached_shifts': 2, 'random_shift_px': 0}, 'encoder: cached_shifts needs random_shift_px above 0'),
        ({'kind': 'small', 'stride': 4}, 'encoder: stride is of kind: keypoints; not of kind: small'),
        ({'pretraining': 'dynamo'}, 'encoder.pretraining: dynamo learns from images; observation.cameras names none'),
    ],
)
def test_encoder_keys_that_exclude_each_other_are_named(encoder, complaint):
    with pytest.raises(UserError, match=complaint):
        validate(Config, {'encoder': encoder}, 'config')


@pytest.mark.parametrize(
    ('settings', 'complaint'),
    [
        (
            'practice.tasks={there: {}, back: {next: home}}',
            "practice: tasks.back.next: no task 'home'; tasks: there, back",
        ),
        ('practice.tasks={there: {}}', 'practice: tasks: one alone needs no name'),
        ('practice.tasks={there: {}, the way: {}}', "practice: tasks: 'the way' is no name"),
        (
            'practice.tasks={there: {}, back: {sucess: {when: "ee.z > 0"}}}',
            "unknown key 'practice.tasks.back.sucess'; the nearest valid key is 'practice.tasks.back.success'",
        ),
        ('observation.state=[ee.z]', 'observation.state: the policy must see which task it is at; add practice.back'),
        ('practice.tasks={there: {}, back: {}}', 'practice.tasks.back: the simulation judges the first task alone'),
        ('reward.source=environment', 'practice.tasks.there: .*judges by itself'),
        ('observation={state: [ee.z], critic_only: [practice.back]}', 'add practice.back'),
        ('sim={backend: gazebo, reset: none}', 'practice.tasks are of backend mujoco; gazebo resets itself'),
        ('sim.backend=gazebo', 'tray: is of backend mujoco; gazebo has none'),
    ],
)
def test_what_is_wrong_with_a_practice_is_named(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        load_config(CONFIG / 'sim_push_practice.yaml', [settings])


def test_tasks_in_turn_need_no_reset_and_nothing_in_turn_does():
    config = load_config(CONFIG / 'sim_push_practice.yaml', ['reset.routine=[]'])
    assert config.practice.numbers == ['practice.there', 'practice.back'] and not config.resets_scene
    with pytest.raises(UserError, match='say in reset.routine, or by practice.tasks, what it does'):
        load_config(CONFIG / 'sim_push_practice.yaml', ['reset.routine=[]', 'practice.tasks={}'])


def test_a_cloned_actor_is_not_left_without_the_encoders_that_it_was_cloned_on():
    data = {'sac': {'actor_init': 'bc'}, 'encoder': {'pretraining': 'none'}}
    assert Config.model_validate(data).clones_actor, 'without cameras there are none to lose'
    with pytest.raises(UserError, match='encoder.pretraining: none leaves a cloned actor without its eyes'):
        validate(Config, {**data, 'observation': {'cameras': {'front': {}}}}, 'config')
    data['agent'] = 'mine:Agent'
    assert not Config.model_validate(data).starts_pretrained, 'the section is not of this agent'


def test_weights_are_looked_for_here_and_beside_the_configuration(tmp_path, monkeypatch):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    path = tmp_path / 'run.yaml'
    path.write_text('encoder: {kind: resnet18, weights: resnet18.safetensors}')
    with pytest.raises(UserError, match='encoder.weights: no file .*here/resnet18.safetensors or .*/resnet18') as no:
        load_config(path)
    assert '\n' not in str(no.value)
    for folder in (tmp_path, tmp_path / 'here'):
        (folder / 'resnet18.safetensors').touch()
        assert load_config(path).encoder.weights == str(folder / 'resnet18.safetensors')
    # A run's own configuration is read where the file may no longer be.
    path.write_text('encoder: {kind: resnet18, weights: /gone/resnet18.safetensors}')
    assert load_config(path).encoder.weights == '/gone/resnet18.safetensors'


@pytest.mark.parametrize(
    ('data', 'complaint'),
    [
        ({'agent': 'dslr'}, "agent: expected sac, bc, base, dsrl, or module:Class of your own, got 'dslr'"),
        ({'base': {'chunk': 4, 'executed': 9}}, 'base: executed (9) is more than a chunk has: chunk (4)'),
    ],
)
def test_a_complaint_says_what_was_expected_and_no_more(data, complaint):
    with pytest.raises(UserError) as error:
        validate(Config, data, 'my.yaml')
    assert str(error.value) == f'my.yaml: {complaint}'
