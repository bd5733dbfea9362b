"""The reward source of docs/rewards.md, as a user would write it, judging episodes of the whole graph."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from test_graph import CONFIG, hybrid_rl, overrides

from hybrid_rl_ros.config import Config
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
