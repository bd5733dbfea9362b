"""The agent's equations, against values computed by hand or known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hybrid_rl_ros.config import EncoderConfig, SacConfig
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.learning.agents.sac import SacAgent, random_subset_min
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.networks.mlp import CriticEnsemble, GaussianActor


def make_specs(states: int = 2, actions: int = 1, cameras: tuple[str, ...] = ()) -> Specs:
    def dimensions(prefix: str, count: int) -> tuple[Dimension, ...]:
        return tuple(Dimension(name=f'{prefix}{i}', unit='1', low=-2, high=2) for i in range(count))

    images = tuple(ImageSpec(camera=camera, height=32, width=32) for camera in cameras)
    observation = ObservationSpec(state=VectorSpec(dimensions=dimensions('s', states)), images=images)
    return Specs(observation=observation, action=ActionSpec(dimensions=dimensions('a', actions)))


def make_agent(specs: Specs | None = None, mode: str = 'frozen', **settings) -> SacAgent:
    config = SacConfig(hidden=[32, 32], **settings)
    return SacAgent(specs or make_specs(), config, EncoderConfig(mode=mode, features=8), seed=0, device='cpu')


def make_batch(size: int = 16, states: int = 2, actions: int = 1, mask: float = 1.0, cameras=()) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = {c: torch.randint(0, 255, (size, 32, 32, 3), generator=generator, dtype=torch.uint8) for c in cameras}
    return Batch(
        inputs=torch.randn(size, states, generator=generator),
        action=torch.rand(size, actions, generator=generator) * 2 - 1,
        reward=torch.randn(size, generator=generator),
        mask=torch.full((size,), mask),
        next_inputs=torch.randn(size, states, generator=generator),
        images=images,
        next_images=images,
    )


def test_at_a_true_end_the_target_is_the_reward():
    batch = make_batch(mask=0.0)
    assert torch.equal(make_agent().td_target(batch), batch.reward)


def test_a_time_limit_bootstraps_with_the_discounted_smaller_target():
    agent, batch = make_agent(discount=0.9), make_batch(mask=1.0)
    state = agent.generator.get_state()
    target = agent.td_target(batch)
    agent.generator.set_state(state)
    action, _ = agent.actor.sample(batch.next_inputs, agent.generator)
    smaller = agent.target_critics(batch.next_inputs, action).min(0).values
    assert torch.allclose(target, batch.reward + 0.9 * smaller)


def test_the_entropy_backup_carries_discount_and_mask():
    batch = make_batch(mask=0.0)
    assert torch.equal(make_agent(entropy_backup=True).td_target(batch), batch.reward)


def test_the_minimum_of_two_of_ten_is_drawn_without_replacement():
    """E[min of two independent N(0, 1)] = -1/sqrt(pi); with replacement it would be nearer to 0."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack(
        [random_subset_min(torch.randn(10, 200, generator=generator), 2, generator).mean() for _ in range(2000)]
    )
    assert draws.mean().item() == pytest.approx(-1 / math.sqrt(math.pi), abs=0.01)


def test_layer_norm_bounds_the_value_of_any_action():
    critics = CriticEnsemble(2, 3, 1, [64, 64])
    inputs = torch.randn(8, 3)
    bound = critics.weights[-1].norm(dim=1).squeeze(-1) * math.sqrt(64) + critics.biases[-1].squeeze().abs()
    q = critics(inputs, torch.full((8, 1), 1e6))
    assert (q.abs() <= bound[:, None]).all()


def test_the_log_probability_integrates_to_one_over_the_action_range():
    actor = GaussianActor(1, 1, [8])
    torch.nn.init.constant_(actor.head.bias, -0.3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        action, log_prob = actor.sample(torch.zeros(200_000, 1), generator)
    # E[1/p(a)] over a ~ p is the length of the range, 2.
    inside = action.abs().squeeze() < 0.9
    assert (torch.exp(-log_prob)[inside].sum() / len(action)).item() == pytest.approx(1.8, abs=0.02)


def test_the_temperature_rises_below_the_target_entropy_and_falls_above_it():
    agent = make_agent(target_entropy_per_dim=-0.5)
    for log_prob, sign in ((torch.full((8,), 5.0), -1), (torch.full((8,), -5.0), 1)):
        agent.log_temperature.grad = None
        agent.temperature_loss(log_prob).backward()
        assert math.copysign(1, agent.log_temperature.grad.item()) == sign


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
        width = 2 if changes else 2 + 8
        agent.update(make_batch(states=width, cameras=('front',)), 1)
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
