"""A base policy and its steering through the whole graph."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from graph_runs import REACH, hybrid_rl, overrides

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.policies.policy import Policy

SMALL = [
    'agent=dsrl',
    'train.env_steps=60',
    'train.warm_up_steps=15',
    'train.checkpoint_every_steps=20',
    'eval.episodes=2',
    'episode.time_limit_steps=20',
    'reward.shaping={}',
    'base.updates=60',
    'base.hidden=[32]',
    'base.chunk=3',
    'dsrl.hidden=[32]',
    'dsrl.batch=16',
    'dsrl.first_updates=10',
]


def run(*arguments: str) -> None:
    process = hybrid_rl(*arguments)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['na', pytest.param('sac', marks=pytest.mark.long)])
def test_steering_trains_stores_its_noise_and_evaluates(tmp_path, variant):
    demos, folder = tmp_path / 'demos', tmp_path / 'run'
    reach = ['--config', REACH, *overrides('reward.shaping={}')]
    run('record', *reach, '--episodes', '4', '--expert', 'reach', '--out', str(demos))
    settings = [*SMALL, f'demos={demos}', f'dsrl.variant={variant}']
    run('train', '--config', REACH, '--run', str(folder), *overrides(*settings))
    summary = json.loads((folder / 'summary.json').read_text())
    assert (summary['agent'], summary['dropped_steps'], summary['eval_episodes']) == ('dsrl', 0, 2)
    assert summary['updates'] == 10 + summary['env_steps'] - 15 + 1

    base = Policy.load(folder / 'pretrained' / 'policy.safetensors')
    steered = Policy.load(folder / 'policy.safetensors')
    for name, weights in base.network.state_dict().items():
        assert torch.equal(weights, steered.network.state_dict()[f'base.{name}']), name
    with ReplayStore.open(folder / 'replay', read_only=True) as store:
        for episode in store.episodes():
            rows = store.episode_rows(episode.episode)
            noises = store.noises(rows)
            begins = ~np.isnan(noises[:, 0, 0])
            # A plan at every third step from the start on; from the last observation nothing was executed.
            assert begins[:-1].tolist() == [step % 3 == 0 for step in range(len(rows) - 1)]
            for first in np.flatnonzero(begins[:-1]):
                state = store.specs.observation.state.normalise(store.states(rows[first : first + 1]))
                inputs = base.network.inputs(torch.from_numpy(state.astype(np.float32)), {})
                decoded = base.network.decode(inputs, torch.from_numpy(noises[first]).reshape(1, -1))
                planned = store.specs.action.denormalise(decoded.numpy().reshape(3, 3))
                executed = store.actions(rows[first:-1][:3])
                np.testing.assert_allclose(executed, planned[: len(executed)], atol=1e-5)
