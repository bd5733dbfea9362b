"""The agent of docs/agents.md, as a user would write it: it learns, and says what is wrong with its settings."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from test_update_loop import SPECS, run_to, weights

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.choice import make_agent

PAGE = (Path(__file__).parents[2] / 'docs' / 'agents.md').read_text()
TRAIN = {'warm_up_steps': 10, 'publish_every_steps': 5, 'checkpoint_every_steps': 15, 'replay_capacity': 200}


def block(name: str) -> str:
    found = re.search(rf'<!-- {name} -->\n```\w+\n(.*?)```', PAGE, re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture
def config(tmp_path, monkeypatch) -> Config:
    (tmp_path / 'awac.py').write_text(block('agent'))
    monkeypatch.syspath_prepend(str(tmp_path))
    return Config.model_validate(yaml.safe_load(block('config')) | {'encoder': {'features': 8}, 'train': TRAIN})


def test_the_agent_of_the_page_learns_through_the_loop_and_its_policy_acts(config, tmp_path):
    loop = run_to(tmp_path / 'run', 40, config)
    assert loop.updates == (36 - 10 + 1) * 2
    observation = Observation(np.zeros(2, np.float32), {'front': np.zeros((32, 32, 3), np.uint8)})
    assert loop.agent.policy().act(observation).shape == (1, 1)
    expected = weights(loop)
    loop.stop()
    loop.store.close()
    again = make_agent(SPECS, config, 'cpu')
    again.load_state_dict(expected)
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize(
    ('settings', 'says'),
    [
        ({'agent_settings': {'temperatur': 1.0}}, "'agent_settings.temperatur'|unknown key 'temperatur'"),
        ({'agent': 'nowhere:Awac'}, 'agent: nowhere:Awac: there is no module nowhere'),
        ({'agent': 'awac:Nothing'}, 'awac.py has no Nothing'),
    ],
)
def test_what_cannot_be_used_is_one_line(config, settings, says):
    with pytest.raises(UserError, match=says) as error:
        make_agent(SPECS, config.model_copy(update=settings), 'cpu')
    assert '\n' not in str(error.value)
