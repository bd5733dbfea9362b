"""`hybrid-rl pretrain` with a base policy: what it leaves in the run's folder, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from test_base_cloning import SPECS, fill
from test_sac import make_specs

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.learning import pretrain_base as module
from hybrid_rl_ros.learning.base_cloning import clone_base
from hybrid_rl_ros.learning.policies.base_file import load_base
from hybrid_rl_ros.learning.pretrain import pretrain


def make_config(agent: str = 'base', **base) -> Config:
    settings = {'updates': 6, 'batch': 16, 'hidden': [16], 'validate_every': 3, 'validation_share': 0.25, **base}
    return Config.model_validate({'agent': agent, 'base': settings, 'train': {'device': 'cpu'}})


@pytest.mark.parametrize('agent', ['base', 'dsrl'])
def test_a_run_that_acts_by_a_base_policy_gets_one(tmp_path, agent):
    path = pretrain(make_config(agent), SPECS, fill(tmp_path / 'demos', episodes=4), tmp_path)
    network, specs = load_base(path)
    assert path == tmp_path / 'pretrained' / 'policy.safetensors' and specs == SPECS
    lines = [json.loads(line) for line in (path.parent / 'base_validation.jsonl').read_text().splitlines()]
    assert [line['update'] for line in lines] == [3, 6] and all(line['validation_loss'] > 0 for line in lines)
    assert not (path.parent / module.CHECKPOINT).exists()


def test_a_base_that_leaves_nothing_to_steer_is_told_of(tmp_path, caplog):
    demos = fill(tmp_path / 'demos', episodes=4, sides=(1.2, 1.2))
    pretrain(make_config('dsrl', updates=300), SPECS, demos, tmp_path)
    assert 'the base makes nearly the same of every noise (action spread 0.' in caplog.text


def test_a_killed_pretraining_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    demos = fill(tmp_path / 'demos', episodes=4)
    config = make_config(checkpoint_every=2)
    with ReplayStore.open(demos, read_only=True) as store:
        whole = clone_base(store, config, 'cpu', lambda *_: None)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(module, 'save_base', killed)
        pretrain(config, SPECS, demos, tmp_path)
    assert (tmp_path / 'pretrained' / module.CHECKPOINT).exists()
    network, _ = load_base(pretrain(config, SPECS, demos, tmp_path))
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in network.state_dict().items())


def test_a_base_does_not_see_what_is_for_critics_only(tmp_path):
    specs = make_specs(states=3, actions=2)
    config = make_config().model_copy(
        update={'observation': Config().observation.model_copy(update={'critic_only': ['s2']})}
    )
    network, seen = load_base(pretrain(config, specs, fill(tmp_path / 'demos', specs, episodes=4), tmp_path))
    assert seen.observation.state.names == ['s0', 's1'] and network.input_width == 2


def test_rollouts_need_the_simulated_arm():
    with pytest.raises(ValueError, match='base.rollouts: are of the simulated arm'):
        Config.model_validate({'base': {'rollouts': 5}, 'sim': None, 'clock': 'realtime'})


def test_measured_in_simulation_while_it_is_cloned(tmp_path):
    """Untrained as it is: what counts is that it acted, by the observation that its specs name."""
    state = ['ee.x', 'ee.y', 'ee.z', 'task.offset.x', 'task.offset.y', 'task.offset.z']
    config = make_config(rollouts=2, chunk=4).model_copy(
        update={
            'task': 'reach',
            'observation': Config().observation.model_copy(update={'state': state}),
            'episode': Config().episode.model_copy(update={'time_limit_steps': 5}),
        }
    )
    specs = resolve_specs(config)
    with ReplayStore.create(tmp_path / 'demos', specs, 100) as store:
        for index in range(40):
            seen = Observation(specs.observation.state.low + 0.01 * index)
            action = np.zeros(len(specs.action), np.float32)
            store.append(Step(index + 1, index // 10, seen, action, terminal=index % 10 == 9))
    pretrain(config, specs, tmp_path / 'demos', tmp_path)
    lines = (tmp_path / 'pretrained' / module.VALIDATION).read_text().splitlines()
    assert [json.loads(line)['success_rate'] for line in lines] == [0.0, 0.0]
