"""The two measures on data whose conditional spreads are known."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.data.quality import action_divergence, local_variance, measure_quality, transition_diversity
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step

STEPS = 4000


def uniform_states(dimensions: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (STEPS, dimensions))


@pytest.mark.parametrize(('states', 'actions'), [(1, 1), (3, 2), (12, 7)])
def test_the_noise_of_a_linear_policy_is_recovered_to_a_tenth(states, actions):
    """a = K s + N(0, 0.2^2) in d dimensions has divergence 0.04 d, however much the state varies."""
    rng = np.random.default_rng(1)
    state = uniform_states(states)
    action = state @ rng.normal(size=(states, actions)) + rng.normal(0, 0.2, (STEPS, actions))
    assert np.nanmean(action_divergence(action, state)) == pytest.approx(0.04 * actions, rel=0.1)


def test_a_deterministic_linear_policy_has_none():
    state = uniform_states(3)
    assert np.nanmax(action_divergence(state @ np.ones((3, 2)), state)) < 1e-20


def test_a_deterministic_curved_policy_has_next_to_none():
    """What is left is the curvature inside a cell, where the action's plain variance is 0.25."""
    state = uniform_states(2)
    assert np.nanmean(action_divergence(np.sin(3 * state[:, :1]) * state[:, 1:], state)) < 2e-3


def test_two_equally_frequent_actions_at_plus_and_minus_one_give_one():
    action = np.random.default_rng(1).choice([-1.0, 1.0], (STEPS, 1))
    assert np.nanmean(action_divergence(action, uniform_states(2))) == pytest.approx(1.0, rel=0.05)


def test_a_residual_is_the_one_that_leaving_its_point_out_would_scale():
    """By hand: inputs -1, 0, 1 and outputs 0, 3, 0 leave residuals -1, 2, -1 with leverages 5/6, 1/3, 5/6."""
    found = local_variance(np.array([[-1.0], [0.0], [1.0]]), np.array([[0.0], [3.0], [0.0]]))
    assert found[:, 0].tolist() == pytest.approx([6.0, 6.0, 6.0])


def test_a_mean_stays_unbiased_where_a_cell_has_hardly_more_points_than_parameters():
    rng = np.random.default_rng(2)
    means = [np.nanmean(local_variance(rng.normal(size=(16, 8)), rng.normal(size=(16, 1)))) for _ in range(1000)]
    assert np.mean(means) == pytest.approx(1.0, rel=0.1)


def test_too_few_points_give_no_figure():
    assert np.isnan(local_variance(uniform_states(5)[:6], np.ones((6, 1)))).all()


def test_a_dimension_that_never_changes_makes_no_difference():
    rng = np.random.default_rng(1)
    state = uniform_states(2)
    action = rng.normal(0, 0.3, (STEPS, 1))
    wider = np.concatenate([state, np.full((STEPS, 1), 0.7)], 1)
    assert np.nanmean(action_divergence(action, wider)) == pytest.approx(0.09, rel=0.05)


def test_determined_transitions_have_no_diversity_and_random_ones_have_one():
    rng = np.random.default_rng(1)
    state, action = uniform_states(2), rng.uniform(-1, 1, (STEPS, 2))
    determined = state + 0.05 * action
    random = state + rng.normal(0, 0.05, (STEPS, 2))
    assert np.nanmax(transition_diversity(state, action, determined)) < 1e-20
    assert np.nanmean(transition_diversity(state, action, random)) == pytest.approx(1.0, rel=0.05)


def test_diversity_is_the_unexplained_share_of_the_motion():
    """Half of the change's variance is the action's, half is noise; a dimension that rests does not count."""
    rng = np.random.default_rng(1)
    state, action = uniform_states(3), rng.normal(0, 1, (STEPS, 1))
    change = np.concatenate([action + rng.normal(0, 1, (STEPS, 1)), np.zeros((STEPS, 2))], 1) * 0.01
    assert np.nanmean(transition_diversity(state, action, state + change)) == pytest.approx(0.5, rel=0.05)


def test_the_noisy_episode_of_a_store_has_the_figures_of_its_noise(tmp_path):
    """In the units of the spec: noise of 1 cm where the bounds are +-10 cm is 0.1, its variance 0.01."""
    specs = Specs(
        observation=ObservationSpec(state=VectorSpec(dimensions=(Dimension(name='x', unit='m', low=0, high=2),))),
        action=ActionSpec(dimensions=(Dimension(name='dx', unit='m', low=-0.1, high=0.1),)),
    )
    rng = np.random.default_rng(0)
    with ReplayStore.create(tmp_path / 's', specs, 2000) as store:
        for number in range(2000):
            episode, last = number // 200, number % 200 == 199
            x = rng.uniform(0, 2)
            noise = rng.normal(0, 0.02 if episode == 7 else 0.005)
            action = 0.0 if last else 0.05 * (1 - x) + noise
            step = Step(number + 1, episode, Observation(np.array([x])), np.array([action]), terminal=last)
            store.append(step)
        quality = measure_quality(store)
    divergence = {number: each.action_divergence for number, each in quality.episodes.items()}
    assert divergence.pop(7) == pytest.approx(0.2**2, rel=0.3)
    assert np.mean(list(divergence.values())) == pytest.approx(0.05**2, rel=0.3)
    assert quality.overall.action_divergence == pytest.approx((9 * 0.05**2 + 0.2**2) / 10, rel=0.2)


def test_a_store_too_small_for_its_dimensions_has_no_figures(tmp_path):
    specs = Specs(
        observation=ObservationSpec(state=VectorSpec(dimensions=(Dimension(name='x', unit='m', low=0, high=2),))),
        action=ActionSpec(dimensions=(Dimension(name='dx', unit='m', low=-1, high=1),)),
    )
    with ReplayStore.create(tmp_path / 's', specs, 10) as store:
        store.append(Step(1, 0, Observation(np.zeros(1)), np.zeros(1)))
        quality = measure_quality(store)
    assert (quality.overall.action_divergence, quality.overall.transition_diversity) == (None, None)
    assert quality.episodes[0] == quality.overall
