"""From stored episodes to the first online update: what is learned before, what acts first, and what stays the same."""

from __future__ import annotations

import copy
import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_resnet import published_weights, write
from test_sac import make_agent, make_batch
from test_update_loop import SPECS, make_step, run_to, weights

from hybrid_rl_ros.config import Config, ObservationConfig
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.acting import WarmUp
from hybrid_rl_ros.learning.agents.cal_ql import CalQlAgent
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.offline import OfflineSampler
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.pretrain import pretrain
from hybrid_rl_ros.learning.pretrained import begin_as, begin_pretrained
from hybrid_rl_ros.learning.sampler import Source
from hybrid_rl_ros.recording import _keep_whole_episodes

SETTINGS = {
    'sac': {'hidden': [16, 16], 'batch': 16, 'updates_per_step': 2, 'actor_init': 'bc', 'critic_warm_up_updates': 4},
    'encoder': {'features': 8},
    'bc': {'updates': 20, 'batch': 16},
    'train': {'warm_up_steps': 5, 'publish_every_steps': 5, 'compile': 'off', 'device': 'cpu'},
}


def make_config(**offline) -> Config:
    return Config.model_validate({**SETTINGS, 'offline': {'updates': 12, 'batch': 16, **offline}})


def make_store(folder: Path, steps: int, reward: float = 0.0) -> Path:
    with ReplayStore.create(folder, SPECS, 200) as store:
        for number in range(steps):
            store.append(make_step(number, reward))
    return folder


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory) -> tuple[Config, Path]:
    folder = tmp_path_factory.mktemp('offline')
    data = [str(make_store(folder / 'any', 40))]
    config = make_config(method='cal_ql', online='wsrl', warm_up_steps=10, data=data)
    pretrain(config, SPECS, make_store(folder / 'demos', 30), folder / 'run')
    return config, folder / 'run'


@pytest.fixture
def wsrl(pretrained, tmp_path) -> tuple[Config, Path]:
    """A run folder with what was learned offline, and its configuration: 10 steps of warm-up."""
    config, run = pretrained
    return config, Path(shutil.copytree(run, tmp_path / 'run'))


def test_the_pretrained_agent_is_the_same_to_the_bit_until_the_warm_up_is_over(wsrl):
    config, run = wsrl
    loop = run_to(run, 10, config)
    before, offline = weights(loop), Policy.load(run / 'pretrained' / 'policy.safetensors')
    assert loop.env_steps == 9 and loop.updates == 0
    assert loop.agent.policy().weights_sha256() == offline.weights_sha256()
    started = SacAgent(SPECS, config, 'cpu')
    begin_pretrained(started, config, run / 'pretrained')
    assert all(torch.equal(value, before[name]) for name, value in started.state_dict().items())
    loop.stop()
    loop.store.close()
    loop = run_to(run, 13, config)
    assert loop.updates == 2 * 2 and loop.agent.policy().weights_sha256() != offline.weights_sha256()
    loop.stop()
    loop.store.close()


def test_what_acts_first_draws_from_the_pretrained_policy_itself(wsrl):
    _, run = wsrl
    path = run / 'pretrained' / 'policy.safetensors'
    observation = Observation(np.zeros(2, np.float32), {'front': np.zeros((32, 32, 3), np.uint8)})
    warm_up, policy = WarmUp(SPECS, path, 0.3, seed=4, sampled=True), Policy.load(path)
    generator = torch.Generator().manual_seed(4)
    for _ in range(3):
        expected = policy.act(observation, deterministic=False, generator=generator)[0]
        assert np.array_equal(warm_up.act(observation), expected)


def test_after_the_warm_up_nothing_is_drawn_from_what_was_stored_before(tmp_path):
    config = make_config(method='cal_ql', online='wsrl')
    assert config.demo_ratio == 0.0 and config.warm_up_steps == 500
    assert make_config(method='cal_ql').demo_ratio == 0.5
    with pytest.raises(ValueError, match='needs the critics of method: cal_ql'):
        make_config(online='wsrl')


def test_a_cloned_actor_begins_as_the_clone_and_rests_until_the_critics_know_it(tmp_path):
    config = make_config()
    pretrain(config, SPECS, make_store(tmp_path / 'demos', 30), tmp_path / 'run')
    cloned = Policy.load(tmp_path / 'run' / 'pretrained' / 'policy.safetensors').network.actor.state_dict()
    inputs = torch.randn(5, 10)
    assert not Config().clones_actor and Config.model_validate({'offline': {'method': 'cal_ql'}}).clones_actor
    # From the fifth transition on two updates a step, of which the first four are of the critics alone.
    for steps, same in ((6, True), (7, True), (9, False)):
        loop = run_to(tmp_path / 'run', steps, config)
        actor = loop.agent.actor
        assert all(torch.equal(value, cloned[name]) for name, value in actor.state_dict().items()) is same, steps
        if same:
            assert torch.allclose(actor(inputs)[1], torch.tensor(0.15).log())
        loop.stop()
        loop.store.close()


def test_stores_are_drawn_from_as_often_as_they_are_large_each_row_with_its_own_return(tmp_path):
    folders = [make_store(tmp_path / 'a', 30, -1.0), make_store(tmp_path / 'b', 90, 2.0)]
    config = make_config(method='cal_ql')
    agent = SacAgent(SPECS, config, 'cpu')
    stores = [ReplayStore.open(folder, read_only=True) for folder in folders]
    sampler = OfflineSampler([Source(store, agent.encoders, config, agent.sampling) for store in stores], discount=0.99)
    batch = sampler.sample(4000, np.random.default_rng(0), 'cpu')
    assert (batch.reward < 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.allclose(batch.return_to_go[batch.reward < 0], torch.tensor(-100.0))
    assert batch.return_to_go[batch.reward > 0].min() >= 2.0
    assert (batch.reward[:400] < 0).any() and (batch.reward[:400] > 0).any()
    for store in stores:
        store.close()


@pytest.mark.parametrize('wrong, ends_well', [({2}, True), (set(range(100)), False)], ids=['once', 'always'])
def test_offline_updates_that_go_wrong_are_undone_and_made_again_or_end_with_one_line(
    tmp_path, monkeypatch, wrong, ends_well
):
    update, calls = CalQlAgent.update, itertools.count()

    def sometimes_wrong(agent, batch, updates):
        if next(calls) in wrong:
            batch.reward[0] = float('nan')
        return update(agent, batch, updates)

    monkeypatch.setattr(CalQlAgent, 'update', sometimes_wrong)
    config, demos = make_config(method='cal_ql', updates=40), make_store(tmp_path / 'demos', 30)
    if ends_well:
        policy = Policy.load(pretrain(config, SPECS, demos, tmp_path / 'run'))
        assert all(value.isfinite().all() for value in policy.network.state_dict().values())
        # The third ten had gone wrong: what was kept was the beginning, and all forty came after it.
        assert next(calls) == 3 + 4
    else:
        with pytest.raises(UserError, match='learning went wrong 6 times in a row, last because critic_loss is nan'):
            pretrain(config, SPECS, demos, tmp_path / 'run')


def test_an_agent_of_another_size_is_refused_with_one_line(wsrl):
    config, run = wsrl
    other = Config.model_validate({**SETTINGS, 'sac': {**SETTINGS['sac'], 'hidden': [8, 8]}})
    expected = 'agent.safetensors: is not of this configuration .* to pretrain again'
    with pytest.raises(UserError, match=expected) as error:
        begin_pretrained(SacAgent(SPECS, other, 'cpu'), other, run / 'pretrained')
    assert '\n' not in str(error.value)


def test_offline_too_the_policy_does_not_see_what_only_the_critics_do(tmp_path):
    config = make_config(method='cal_ql')
    config = config.model_copy(update={'observation': ObservationConfig(critic_only=['s1'])})
    path = pretrain(config, SPECS, make_store(tmp_path / 'demos', 30), tmp_path / 'run')
    assert Policy.load(path).specs == SPECS.without_state(['s1'])
    agent = SacAgent(SPECS, config, 'cpu')
    begin_pretrained(agent, config, path.parent)
    assert agent.policy().weights_sha256() == Policy.load(path).weights_sha256()


@pytest.mark.parametrize('start', ['online', 'offline'])
def test_where_no_encoders_were_cloned_they_begin_with_the_weights_of_the_file(tmp_path, start):
    path = write(tmp_path, published_weights())
    encoder = {'kind': 'resnet10', 'weights': str(path), 'features': 8, 'pretraining': 'none'}
    settings = {**SETTINGS, 'sac': {'hidden': [16]}, 'encoder': encoder}
    config = Config.model_validate(settings)
    agent = SacAgent(SPECS, config, 'cpu')
    if start == 'online':
        begin_pretrained(agent, config, tmp_path / 'pretrained')
    else:
        begin_as(agent, SacAgent(SPECS, config.model_copy(update={'seed': 5}), 'cpu').policy(), config)
    for encoders in (agent.encoders, agent.target_value.encoders):
        resnet = dict(encoders.each())['front'].resnet
        assert torch.equal(resnet.conv1.weight, published_weights()['conv1.weight'])


def test_a_recording_of_everything_keeps_failures_and_never_half_an_episode(tmp_path):
    for keep, expected in (('success', [0]), ('all', [0, 1])):
        with ReplayStore.create(tmp_path / keep, SPECS, 100) as store:
            for number in range(25):
                ended = {'terminal': number == 9, 'truncated': number == 19}
                store.append(replace(make_step(number), **ended))
        assert _keep_whole_episodes(tmp_path / keep, keep) == len(expected)
        with ReplayStore.open(tmp_path / keep, read_only=True) as store:
            assert [episode.episode for episode in store.episodes()] == expected


def test_a_pretrained_actor_is_pulled_back_by_its_divergence_less_with_every_update():
    agent = make_agent(actor_pull=0.5, actor_pull_updates=100)
    agent.hold_to_actor()
    batch = make_batch()
    noise = agent.draw_noise(batch)
    parameters = dict(agent.actor.named_parameters())
    agent.pull.fill_(agent._pull_now())
    parameters['head.bias'].data[0] += 0.3
    deviation = agent.origin(batch.state)[1].exp()
    without, _ = make_free(agent).actor_loss(parameters, batch.state, noise)
    pulled, _ = agent.actor_loss(parameters, batch.state, noise)
    # Of Gaussians that are 0.3 apart with one deviation: half the square of that in deviations.
    assert (pulled - without).item() == pytest.approx(0.5 * (0.5 * (0.3 / deviation) ** 2).mean().item(), rel=1e-4)
    agent.updates, agent.actor_rests_until = 60, 10
    assert agent._pull_now() == pytest.approx(0.25)
    agent.updates = 500
    assert agent._pull_now() == 0.0


def make_free(agent: SacAgent) -> SacAgent:
    free = copy.copy(agent)
    free.origin = None
    return free
