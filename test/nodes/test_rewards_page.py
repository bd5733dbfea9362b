"""The reward source of docs/rewards.md, as a user would write it, judging episodes of the whole graph."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import pytest
import yaml
from graph_runs import CONFIG, hybrid_rl, overrides

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.run_folder import read_json_lines

PAGE = (Path(__file__).parents[2] / 'docs' / 'rewards.md').read_text()


def block(name: str) -> str:
    found = re.search(rf'<!-- {name} -->\n```\w+\n(.*?)```', PAGE, re.DOTALL)
    assert found
    return found.group(1)


def test_every_configuration_of_the_page_is_one():
    for text in re.findall(r'```yaml\n(.*?)```', PAGE, re.DOTALL):
        Config.model_validate(yaml.safe_load(text))


@pytest.mark.slow
def test_the_source_of_the_page_judges_episodes(tmp_path, monkeypatch):
    (tmp_path / 'red_above.py').write_text(block('source'))
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    reward = yaml.safe_load(block('config'))['reward']
    arguments = ['--config', str(CONFIG / 'sim_lift.yaml'), '--expert', 'lift', '--episodes', '3', '--keep', 'all']
    arguments += overrides('episode.time_limit_steps=40', f'reward={json.dumps(reward)}')
    process = hybrid_rl('record', *arguments, '--out', str(tmp_path / 'demos'))
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    lines = read_json_lines(tmp_path / 'demos' / 'episodes.jsonl')
    assert [line['outcome'] for line in lines] == ['succeeded'] * 3, lines
    reward['success']['settings']['share'] = 2.0
    arguments[-1] = f'reward={json.dumps(reward)}'
    process = hybrid_rl('record', *arguments, '--out', str(tmp_path / 'more'))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert 'RedAbove: share: expected a number between 0 and 1, got 2.0' in errors


@pytest.mark.slow
def test_the_reset_of_the_page_brings_the_arm_to_where_episodes_begin(tmp_path, monkeypatch):
    (tmp_path / 'on_a_circle.py').write_text(block('reset'))
    (tmp_path / 'wrong.py').write_text(block('reset').replace('**self.reach.nowhere, ', ''))
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    reset = yaml.safe_load(block('reset config'))['reset']
    config = ['--config', str(CONFIG / 'sim_lift.yaml')]
    state = 'observation.state=["ee.x", "ee.y", "ee.z"]'
    settings = ['sim={reset: none, gl: "off"}', 'observation.cameras={}', state, 'episode.time_limit_steps=15']
    settings += ['agent=sac', 'sac.updates_per_step=1', 'train.env_steps=60', 'eval.episodes=0']
    process = hybrid_rl(
        'train', *config, '--run', str(tmp_path / 'run'), *overrides(*settings, f'reset={json.dumps(reset)}')
    )
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    with ReplayStore.open(tmp_path / 'run' / 'replay', read_only=True) as store:
        starts = [store.states(store.episode_rows(episode.episode))[0] for episode in store.episodes()][1:]
    assert len(starts) >= 3
    for start in starts:
        assert math.dist(start[:2], (0.45, 0.0)) == pytest.approx(0.08, abs=0.015) and abs(start[2] - 0.2) < 0.015
    reset['source'] = 'wrong:OnACircle'
    process = hybrid_rl(
        'train', *config, '--run', str(tmp_path / 'no'), *overrides(*settings, f'reset={json.dumps(reset)}')
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert 'reset source wrong:OnACircle: an action of ee.dx, ee.dy, ee.dz; expected each of' in errors
