"""What a command does to a folder that holds something, and what of a run an evaluation may change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybrid_rl_ros.bringup import prepare_run, resolve_specs
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.recording import begin_recording
from hybrid_rl_ros.report import write_report
from hybrid_rl_ros.runs import begin_evaluation, begin_training, pretrain_only, train, write_summary

CONFIG = Path(__file__).parents[1] / 'config' / 'sim_reach_state.yaml'


def make_run(folder: Path, *overrides: str) -> Path:
    config = load_config(CONFIG, list(overrides))
    prepare_run(folder, config, resolve_specs(config))
    return folder


@pytest.fixture
def demonstrations(tmp_path: Path) -> Path:
    config = load_config(CONFIG)
    ReplayStore.create(tmp_path / 'demos', resolve_specs(config), 10).close()
    (tmp_path / 'demos' / 'config.yaml').write_bytes(CONFIG.read_bytes())
    return tmp_path / 'demos'


def test_demonstrations_are_no_run(demonstrations):
    before = sorted(demonstrations.iterdir())
    expected = f'{demonstrations}: holds demonstrations, not a run'
    for command in (
        lambda: train(None, [], demonstrations, resume=True),
        lambda: begin_evaluation(demonstrations, []),
        lambda: write_report(demonstrations),
    ):
        with pytest.raises(UserError) as error:
            command()
        assert str(error.value) == expected
    assert sorted(demonstrations.iterdir()) == before


def test_nothing_is_recorded_where_it_could_not_be_put_in_the_end(tmp_path):
    (tmp_path / 'demos' / 'lift').mkdir(parents=True)
    with pytest.raises(UserError, match='demos: there is something else there; name a folder that is new'):
        begin_recording(CONFIG, [], tmp_path / 'demos', 'reach')
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='file: there is something else there'):
        begin_recording(CONFIG, [], tmp_path / 'file', 'reach')
    (tmp_path / 'empty').mkdir()
    assert begin_recording(CONFIG, [], tmp_path / 'empty', 'reach')[1] == tmp_path / 'empty.recording'


def test_what_a_run_began_with_is_not_learned_anew_under_it(tmp_path, demonstrations):
    run = make_run(tmp_path / 'run')
    (run / 'replay').mkdir()
    before = (run / 'config.yaml').read_bytes()
    with pytest.raises(UserError, match='run: already holds a run; go on with --resume'):
        pretrain_only(CONFIG, ['agent=base'], demonstrations, run)
    assert (run / 'config.yaml').read_bytes() == before


def test_a_run_that_has_ended_takes_no_other_settings_unless_it_is_to_go_on(tmp_path):
    run = make_run(tmp_path / 'run', 'train.env_steps=50')
    (run / 'status').mkdir()
    (run / 'status' / 'learner_node.json').write_text('{"env_steps": 50}')
    before = (run / 'config.yaml').read_bytes()
    with pytest.raises(UserError, match='has come to its end, and sac.batch would change nothing any more') as error:
        begin_training(None, ['sac.batch=64'], run, resume=True)
    assert '\n' not in str(error.value) and (run / 'config.yaml').read_bytes() == before
    for overrides in ([], ['eval.episodes=3'], ['sac.batch=64', 'train.env_steps=60']):
        begin_training(None, overrides, run, resume=True)


@pytest.mark.parametrize(
    ('agent', 'override', 'refused'),
    [
        ('dsrl', 'dsrl.bound=0', 'dsrl.bound is 1.5 in what was learned, and cannot be 0.0'),
        ('dsrl', 'base.noise=zero', 'base.noise is sampled'),
        ('dsrl', 'agent=base', 'agent is dsrl'),
        ('base', 'base.chunk=8', 'base.chunk is 4'),
        ('sac', 'sac.hidden=[8]', 'sac.hidden is [256, 256]'),
        ('sac', 'symmetry=left_right', 'symmetry is none'),
        ('base', 'base.noise=zero', None),
        ('base', 'base.executed=1', None),
        ('dsrl', 'clock=realtime', None),
    ],
)
def test_an_evaluation_is_of_what_was_learned(tmp_path, agent, override, refused):
    run = make_run(tmp_path / 'run', f'agent={agent}')
    with pytest.raises(UserError) as error:
        begin_evaluation(run, [override])
    # Nothing has learned here: who passes ends there.
    assert (refused or 'no policy to evaluate') in str(error.value)
    assert '\n' not in str(error.value)


def test_a_summary_says_what_its_evaluation_had_otherwise(tmp_path):
    run = make_run(tmp_path / 'run')
    write_summary(load_config(run / 'config.yaml'), run)
    assert json.loads((run / 'summary.json').read_text())['eval_overrides'] == []
    make_run(run / 'eval', 'clock=realtime', 'control_rate_hz=20')
    write_summary(load_config(run / 'config.yaml'), run)
    assert json.loads((run / 'summary.json').read_text())['eval_overrides'] == [
        'clock=realtime',
        'control_rate_hz=20.0',
    ]
