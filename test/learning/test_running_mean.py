"""The policy that acts has the mean weights of the last updates."""

from __future__ import annotations

import pytest
import torch
from test_sac import make_agent, make_batch, make_specs
from torch import nn

from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.networks.running_mean import RunningMean
from hybrid_rl_ros.learning.policies.policy import Policy


def followed_through(mean: RunningMean[nn.Linear], followed: nn.Linear, biases: list[float]) -> float:
    for update, bias in enumerate(biases, start=1):
        with torch.no_grad():
            followed.bias.fill_(bias)
        mean.follow(update)
    return float(mean.network.bias)


def test_the_first_updates_count_the_same_and_a_window_later_old_ones_are_forgotten():
    followed = nn.Linear(1, 1)
    mean = RunningMean(followed, window=4)
    assert followed_through(mean, followed, [8.0]) == 8.0
    assert followed_through(mean, followed, [8.0, 0.0, 1.0, 3.0]) == pytest.approx(3.0)
    # A fourth of the newest, three fourths of what was.
    assert followed_through(mean, followed, [8.0, 0.0, 1.0, 3.0, 7.0]) == pytest.approx(0.75 * 3.0 + 0.25 * 7.0)


def test_a_window_of_1_is_the_network_itself():
    followed = nn.Linear(1, 1)
    assert RunningMean(followed, window=1).network is followed


def weights(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in policy.network.state_dict().items()}


def head_bias(agent: SacAgent) -> torch.Tensor:
    return agent.network.actor.head.bias.detach().clone()


def test_an_agents_policy_is_the_mean_of_what_its_actor_was():
    agent, batch = make_agent(averaged_updates=500), make_batch()
    actors = []
    for _ in range(5):
        agent.update(batch, 1)
        actors.append(head_bias(agent))
    acts = agent.policy().network.actor.head.bias
    assert torch.allclose(acts, torch.stack(actors).mean(0), atol=1e-7)
    assert not torch.allclose(acts, actors[-1], atol=1e-7)


def test_encoders_that_learn_are_averaged_with_the_actor_and_frozen_ones_are_as_they_are():
    for mode, learns in (('end_to_end', True), ('frozen', False)):
        agent, batch = make_agent(make_specs(cameras=('front',)), mode), make_batch(cameras=('front',))
        if not learns:
            batch.views = batch.next_views = agent.encoders.trunks(batch.views)
        for _ in range(3):
            agent.update(batch, 1)
        own, acts = agent.encoders.state_dict(), agent.policy().network.encoders.state_dict()
        assert any(not torch.equal(own[name], acts[name]) for name in own) == learns


def test_before_the_first_update_the_policy_is_what_was_begun_with():
    agent = make_agent()
    cloned = make_agent().policy()
    nn.init.normal_(cloned.network.actor.head.weight, generator=torch.Generator().manual_seed(3))
    agent.use_actor(cloned)
    assert torch.equal(agent.policy().network.actor.head.weight, cloned.network.actor.head.weight)


def test_ranges_that_were_fitted_before_the_first_update_are_the_policys():
    agent, batch = make_agent(input_scale='demonstrations'), make_batch()
    agent.standardise(batch)
    agent.update(batch, 1)
    assert torch.equal(agent.policy().network.ranges.centre, agent.network.ranges.centre)
    assert not agent.policy().network.ranges.is_identity


def test_a_restored_agent_acts_and_goes_on_as_the_one_that_was_saved():
    agent, batch = make_agent(), make_batch()
    agent.update(batch, 1)
    agent.update(batch, 1)
    restored = make_agent()
    restored.load_state_dict(agent.state_dict())
    for _ in range(2):
        ours, theirs = weights(agent.policy()), weights(restored.policy())
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        agent.update(batch, 1)
        restored.update(batch, 1)


def test_frozen_weights_are_saved_once_and_restored_everywhere():
    specs, batch = make_specs(cameras=('front',)), make_batch(cameras=('front',))
    agent, restored = make_agent(specs, 'frozen'), make_agent(specs, 'frozen')
    batch.views = batch.next_views = agent.encoders.trunks(batch.views)
    agent.update(batch, 1)
    state = agent.state_dict()
    frozen = [name for name, value in agent.network.named_parameters() if not value.requires_grad]
    assert frozen and not any(f'{copy}/{name}' in state for copy in ('averaged', 'target_value') for name in frozen)
    with torch.no_grad():
        for value in restored.network.parameters():
            value.add_(1.0)
    restored.load_state_dict(state)
    copies = agent.value.encoders, restored.averaged.network.encoders, restored.target_value.encoders
    for name in frozen:
        one, *others = (encoders.state_dict()[name.removeprefix('encoders.')] for encoders in copies)
        assert all(torch.equal(one, other) for other in others), name


def test_a_checkpoint_from_before_there_were_means_goes_on_as_its_own_mean():
    agent, batch = make_agent(averaged_updates=1), make_batch()
    agent.update(batch, 1)
    agent.update(batch, 1)
    state = agent.state_dict()
    assert not any(name.startswith('averaged/') for name in state)
    restored = make_agent()
    restored.load_state_dict(state)
    assert torch.equal(restored.policy().network.actor.head.bias, head_bias(agent))


@pytest.mark.parametrize('preset', ['rlpd', 'serl', 'hil_serl', 'sac'])
def test_the_published_presets_act_on_the_last_weights(preset):
    agent, batch = make_agent(preset=preset, batch=16), make_batch()
    agent.update(batch, 1)
    agent.update(batch, 1)
    assert torch.equal(agent.policy().network.actor.head.bias, head_bias(agent))
