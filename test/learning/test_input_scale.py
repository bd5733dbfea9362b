"""What SAC's networks see of each number: mean 0 and deviation 1 over the demonstrations."""

from __future__ import annotations

import torch
from test_sac import make_agent, make_batch

from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.networks.ranges import LEAST_DEVIATION


def demonstrated() -> Batch:
    """One number around 0.5 that moves by a tenth, and one that stands still."""
    batch = make_batch(size=512)
    batch.state[:, 0] = 0.5 + 0.1 * batch.state[:, 0]
    batch.state[:, 1] = 0.2
    return batch


def scaled_agent(**settings) -> SacAgent:
    return make_agent(input_scale='demonstrations', **settings)


def test_every_input_has_mean_0_and_deviation_1_and_what_stood_still_is_not_blown_up():
    agent, batch = scaled_agent(), demonstrated()
    agent.standardise(batch)
    for inputs in (
        agent.network.inputs(batch.state, {}),
        agent.value.inputs(batch.state, {}),
        agent.target_value.inputs(batch.state, {}),
    ):
        assert torch.allclose(inputs.mean(0), torch.zeros(2), atol=1e-5)
        assert torch.allclose(inputs.std(0), torch.tensor([1.0, 0.0]), atol=1e-4)
    moved = batch.state + torch.tensor([0.0, 0.1])
    assert torch.allclose(agent.network.inputs(moved, {})[:, 1], torch.tensor(0.1 / LEAST_DEVIATION), atol=1e-3)


def test_a_cloned_actor_acts_as_before_and_is_held_to_what_it_was():
    batch = demonstrated()
    agent = scaled_agent(actor_init='bc')
    agent.use_actor(agent.policy())
    before = agent.actor.mode(agent.network.inputs(batch.state, {}))
    agent.standardise(batch)
    inputs = agent.network.inputs(batch.state, {})
    assert torch.allclose(agent.actor.mode(inputs), before, atol=1e-5)
    assert torch.allclose(agent.origin.mode(inputs), before, atol=1e-5)


def test_it_is_done_once_and_comes_back_with_a_checkpoint():
    agent = scaled_agent()
    agent.standardise(demonstrated())
    agent.standardise(make_batch(size=512))
    assert agent.network.ranges.centre[0].item() == torch.mean(demonstrated().state[:, 0]).item()
    again = scaled_agent()
    again.load_state_dict(agent.state_dict())
    for ranges in (again.network.ranges, again.value.ranges, again.target_value.ranges):
        assert torch.equal(ranges.centre, agent.network.ranges.centre)
        assert torch.equal(ranges.reach, agent.network.ranges.reach)


def test_where_the_specs_decide_nothing_is_changed():
    agent = make_agent()
    agent.standardise(demonstrated())
    assert agent.network.ranges.is_identity
