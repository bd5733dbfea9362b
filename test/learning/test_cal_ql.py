"""Calibrated Q-learning's loss, where its value or gradient is known."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch
from test_sac import make_agent as make_sac_agent
from test_sac import make_batch, make_specs

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.learning.agents.cal_ql import CalQlAgent, OfflineBatch
from hybrid_rl_ros.learning.batch import Batch

ACTIONS = 4


def make_agent(sac: dict | None = None, compiled: str = 'off', **offline) -> CalQlAgent:
    settings = {'method': 'cal_ql', 'actions': ACTIONS, **offline}
    config = {'sac': {'hidden': [32, 32], **(sac or {})}, 'encoder': {'features': 8}, 'seed': 0, 'offline': settings}
    train = {'compile': compiled, 'device': 'cpu'}
    return CalQlAgent(make_specs(), Config.model_validate({**config, 'train': train}), device='cpu')


def make_offline(batch: Batch, return_to_go: float = 0.0) -> OfflineBatch:
    known = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return OfflineBatch(**known, return_to_go=torch.full((len(batch),), return_to_go))


def candidate_values(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(2, 3 * ACTIONS, 16, generator=generator, requires_grad=True)
    return torch.randn(2, 16, generator=generator), q, torch.randn(3 * ACTIONS, 16, generator=generator)


def test_where_the_data_earned_more_the_policys_actions_are_left_alone():
    q_data, q, log_density = candidate_values()
    for floor in (q[:, ACTIONS:].detach().amax(), torch.tensor(10.0)):
        agent = make_agent(value_scale=1.0)
        gap, raised = agent.conservative_gap(q_data, q, log_density, floor.expand(16))
        (gradient,) = torch.autograd.grad(gap, q)
        assert (gradient[:, ACTIONS:] == 0).all() and (gradient[:, :ACTIONS] > 0).any() and raised == 1


def test_without_a_return_to_hold_to_it_is_conservative_q_learning_to_the_bit():
    states = []
    for calibrated in (True, False):
        agent, batch = make_agent(calibrated=calibrated), make_offline(make_batch(), -math.inf)
        for _ in range(3):
            agent.update(batch, 1)
        states.append(agent.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_without_the_conservative_loss_it_is_sac():
    ours, sac = make_agent(alpha=0.0, max_target_backup=False), make_sac_agent()
    batch = make_batch()
    noise, subset = ours.draw_critic_noise(batch), ours.draw_subset()
    ours.update_critics(make_offline(batch), noise, subset)
    sac.update_critics(batch, noise[0, 0], subset)
    for (name, value), peer in zip(ours.value.named_parameters(), sac.value.parameters()):
        assert torch.allclose(value, peer, atol=1e-6), name


def test_the_target_takes_the_best_of_the_next_actions():
    agent, batch = make_agent(), make_batch(discount=0.9)
    noise, subset = agent.draw_critic_noise(batch)[0], agent.draw_subset()
    target = agent.td_target(batch, noise, subset)
    single = make_agent(max_target_backup=False)
    each = torch.stack([single.td_target(batch, noise[index : index + 1], subset) for index in range(ACTIONS)])
    assert torch.allclose(target, each.max(0).values, atol=1e-6)


def test_values_so_many_times_larger_give_the_same_gap_as_the_scale():
    q_data, q, log_density = candidate_values()
    floor = torch.zeros(16)
    large, _ = make_agent(value_scale=1.0).conservative_gap(7 * q_data, 7 * q, log_density, floor)
    scaled, _ = make_agent(value_scale=7.0).conservative_gap(q_data, q, log_density, floor)
    assert scaled.item() == pytest.approx(large.item(), rel=1e-5)


def test_equal_values_everywhere_leave_the_logarithm_of_how_many_there_were():
    """With the densities as weights, a soft maximum over K draws of each kind estimates the volume of the actions."""
    log_density = torch.full((3 * ACTIONS, 16), -math.log(2.0))
    ones = torch.ones(2, 3 * ACTIONS, 16)
    gap, _ = make_agent().conservative_gap(torch.ones(2, 16), ones, log_density, torch.zeros(16))
    assert gap.item() == pytest.approx(math.log(3 * ACTIONS * 2.0), rel=1e-5)


def test_densities_stay_finite_for_actions_at_the_end_of_their_range():
    agent, batch = make_agent(), make_offline(make_batch())
    torch.nn.init.constant_(agent.actor.head.bias, 60.0)
    actions, log_density = agent.candidates(batch, agent.draw_critic_noise(batch)[1:])
    assert actions.abs().max() <= 0.99999 and log_density.isfinite().all()
    assert torch.equal(log_density[:ACTIONS], torch.full((ACTIONS, 16), -math.log(2.0)))


def test_an_action_that_the_data_lacks_comes_to_be_worth_less_than_the_datas():
    """One state, one action in the data, no reward ever: only the conservative loss tells the actions apart."""
    agent = make_agent(sac={'learning_rate': 3e-3}, value_scale=10.0)
    batch = make_offline(make_batch(64, mask=0.0), -1.0)
    batch.state.zero_()
    batch.action.fill_(0.5)
    batch.reward.zero_()
    for _ in range(60):
        agent.update(batch, 1)
    with torch.no_grad():
        held, lacked = agent.value(batch.state, {}, torch.tensor([[[0.5]], [[-0.5]]]).expand(2, 64, 1)).mean((0, 2))
    assert held > lacked + 0.02


def test_a_chosen_gripper_is_left_out_of_the_actions_and_learns_beside_them():
    from test_gripper_critic import SPECS, make_config

    config = make_config(actor_init='random') | {'offline': {'method': 'cal_ql', 'actions': ACTIONS}}
    agent = CalQlAgent(SPECS, Config.model_validate(config), device='cpu')
    batch = make_offline(make_batch(states=2, actions=3))
    assert agent.draw_critic_noise(batch).shape == (4, ACTIONS, 16, 2)
    metrics = agent.update(batch, 2)
    assert metrics['conservative_gap'] > 0 and 'gripper_loss' in metrics


@pytest.mark.slow
def test_compiled_updates_end_where_plain_ones_do(monkeypatch):
    monkeypatch.delenv('TORCHDYNAMO_DISABLE', raising=False)
    with torch._dynamo.config.patch(disable=False):
        agents = [make_agent(compiled=how) for how in ('on', 'off')]
        for agent in agents:
            agent.hold_to_actor()
            for _ in range(10):
                agent.update(make_offline(make_batch(32), 0.1), 2)
    compiled, plain = (agent.state_dict() for agent in agents)
    for name, value in plain.items():
        assert torch.allclose(compiled[name].float(), value.float(), atol=1e-4), name
