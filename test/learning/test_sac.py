"""The agent's equations, against values computed by hand or known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.networks.mlp import CriticEnsemble, GaussianActor, Trunk


def make_specs(states: int = 2, actions: int = 1, cameras: tuple[str, ...] = (), size: int = 32) -> Specs:
    def dimensions(prefix: str, count: int) -> tuple[Dimension, ...]:
        return tuple(Dimension(name=f'{prefix}{i}', unit='1', low=-2, high=2) for i in range(count))

    images = tuple(ImageSpec(camera=camera, height=size, width=size) for camera in cameras)
    observation = ObservationSpec(state=VectorSpec(dimensions=dimensions('s', states)), images=images)
    return Specs(observation=observation, action=ActionSpec(dimensions=dimensions('a', actions)))


def make_agent(specs: Specs | None = None, mode: str = 'frozen', **settings) -> SacAgent:
    config = {'sac': {'hidden': [32, 32], **settings}, 'encoder': {'mode': mode, 'features': 8}, 'seed': 0}
    train = {'compile': 'off', 'device': 'cpu'}
    return SacAgent(specs or make_specs(), Config.model_validate({**config, 'train': train}), device='cpu')


def make_batch(
    size: int = 16, states: int = 2, actions: int = 1, mask: float = 1.0, cameras=(), discount: float = 0.97
) -> Batch:
    generator = torch.Generator().manual_seed(1)
    views = {c: torch.randint(0, 255, (size, 32, 32, 3), generator=generator, dtype=torch.uint8) for c in cameras}
    return Batch(
        state=torch.randn(size, states, generator=generator),
        views=views,
        action=torch.rand(size, actions, generator=generator) * 2 - 1,
        reward=torch.randn(size, generator=generator),
        discount=torch.full((size,), discount),
        mask=torch.full((size,), mask),
        next_state=torch.randn(size, states, generator=generator),
        next_views=views,
    )


def target_of(agent: SacAgent, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return agent.td_target(batch, agent.draw_noise(batch), agent.draw_subset())


def test_at_a_true_end_the_target_is_the_reward():
    batch = make_batch(mask=0.0)
    assert torch.equal(target_of(make_agent(), batch), batch.reward)


def test_a_time_limit_bootstraps_with_the_discounted_smaller_target():
    agent, batch = make_agent(), make_batch(mask=1.0, discount=0.9)
    noise = agent.draw_noise(batch)
    target = agent.td_target(batch, noise, agent.draw_subset())
    action, _ = agent.actor.sample(batch.next_state, noise)
    smaller = agent.target_value.critics(batch.next_state, action).min(0).values
    assert torch.allclose(target, batch.reward + 0.9 * smaller)


def test_the_entropy_backup_carries_discount_and_mask():
    batch = make_batch(mask=0.0)
    assert torch.equal(target_of(make_agent(entropy_backup=True), batch), batch.reward)
    # With the mask open, it is what the temperature takes for the next action's log-probability.
    agent, batch = make_agent(entropy_backup=True, initial_temperature=0.5), make_batch(discount=0.9)
    noise, subset = agent.draw_noise(batch), agent.draw_subset()
    _, log_prob = agent.actor.sample(batch.next_state, noise)
    with_entropy = agent.td_target(batch, noise, subset)
    without = make_agent(initial_temperature=0.5).td_target(batch, noise, subset)
    assert torch.allclose(without - with_entropy, 0.9 * 0.5 * log_prob, atol=1e-6)


def test_the_minimum_of_two_of_ten_is_drawn_without_replacement():
    """E[min of two independent N(0, 1)] = -1/sqrt(pi); with replacement it would be nearer to 0."""
    agent, generator = make_agent(critics=10, critic_subset=2), torch.Generator().manual_seed(0)
    draws = [torch.randn(10, 200, generator=generator)[agent.draw_subset()].min(0).values for _ in range(2000)]
    assert torch.stack(draws).mean().item() == pytest.approx(-1 / math.sqrt(math.pi), abs=0.01)
    subsets = torch.stack([agent.draw_subset() for _ in range(2000)])
    assert (subsets[:, 0] != subsets[:, 1]).all()
    assert torch.bincount(subsets.flatten(), minlength=10).min() > 300, 'each member is drawn as often as the others'


def test_layer_norm_bounds_the_value_of_any_action():
    critics = CriticEnsemble(2, 3, 1, Trunk([64, 64]))
    inputs = torch.randn(8, 3)
    bound = critics.weights[-1].norm(dim=1).squeeze(-1) * math.sqrt(64) + critics.biases[-1].squeeze().abs()
    q = critics(inputs, torch.full((8, 1), 1e6))
    assert (q.abs() <= bound[:, None]).all()


def test_the_log_probability_integrates_to_one_over_the_action_range():
    actor = GaussianActor(1, 1, Trunk([8]))
    torch.nn.init.constant_(actor.head.bias, -0.3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        action, log_prob = actor.sample(torch.zeros(200_000, 1), torch.randn(200_000, 1, generator=generator))
    # E[1/p(a)] over a ~ p is the length of the range, 2.
    inside = action.abs().squeeze() < 0.9
    assert (torch.exp(-log_prob)[inside].sum() / len(action)).item() == pytest.approx(1.8, abs=0.02)


def test_the_temperature_rises_below_the_target_entropy_and_falls_above_it():
    agent = make_agent(target_entropy_per_dim=-0.5)
    for log_prob, sign in ((torch.full((8,), 5.0), -1), (torch.full((8,), -5.0), 1)):
        assert math.copysign(1, agent.temperature_gradient(log_prob).item()) == sign


def test_a_bandit_with_a_known_best_action_is_solved():
    agent = make_agent(initial_temperature=0.001, learning_rate=1e-3)
    generator = torch.Generator().manual_seed(2)
    for _ in range(1500):
        batch = make_batch(64, mask=0.0)
        batch.action = torch.rand(64, 1, generator=generator) * 2 - 1
        batch.reward = -(batch.action[:, 0] - 0.4).square()
        agent.update(batch, 1)
    assert agent.actor.mode(torch.zeros(1, 2)).item() == pytest.approx(0.4, abs=0.1)


def test_frozen_encoders_are_unchanged_by_updates_and_trained_ones_are_not():
    specs = make_specs(cameras=('front',))
    for mode, changes in (('frozen', False), ('end_to_end', True)):
        agent = make_agent(specs, mode)
        before = [parameter.clone() for parameter in agent.encoders.parameters()]
        agent.update(make_batch(cameras=('front',)), 1)
        same = all(torch.equal(a, b) for a, b in zip(before, agent.encoders.parameters()))
        assert same is not changes


def test_a_policy_survives_its_bytes_bit_for_bit():
    specs = make_specs(cameras=('front',))
    policy = make_agent(specs).policy()
    again = type(policy).from_bytes(policy.to_bytes(version=7))
    observation = Observation(np.array([0.3, -0.2], np.float32), {'front': np.full((32, 32, 3), 90, np.uint8)})
    assert np.array_equal(policy.act(observation), again.act(observation))
    assert again.version == 7
    assert again.weights_sha256() == policy.weights_sha256()


def test_a_shifted_constant_image_is_itself_and_a_shift_moves_whole_pixels():
    rng = np.random.default_rng(0)
    constant = np.full((4, 16, 16, 3), 7, np.uint8)
    assert np.array_equal(random_shift(constant, 3, rng), constant)
    ramp = np.tile(np.arange(16, dtype=np.uint8)[None, None, :, None], (8, 16, 1, 3))
    steps = np.diff(random_shift(ramp, 3, rng)[:, 0, :, 0].astype(int), axis=1)
    assert set(np.unique(steps)) <= {0, 1}


def test_a_shifted_image_is_a_window_of_the_image_with_its_edge_repeated():
    images = np.random.default_rng(0).integers(0, 256, (64, 9, 12, 3), dtype=np.uint8)
    shifted = random_shift(images, 4, np.random.default_rng(1))
    offsets = np.random.default_rng(1).integers(0, 9, (64, 2))
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode='edge')
    windows = [image[row : row + 9, column : column + 12] for image, (row, column) in zip(padded, offsets)]
    assert np.array_equal(shifted, np.stack(windows))
