"""What a steered agent is given to learn from: chunks, noises, and demonstrations as often as anything else."""

from __future__ import annotations

import numpy as np
import pytest
from test_sac import make_specs

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.base import Sampling
from hybrid_rl_ros.learning.batch import NoiseBatch
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork, base_shape_of
from hybrid_rl_ros.learning.sampler import Source, SymmetricSampler

CHUNK = 2
SPECS = make_specs(states=2, actions=1).model_copy(update={'noise_steps': CHUNK})
CONFIG = Config.model_validate({'agent': 'dsrl', 'base': {'chunk': CHUNK}})
SAMPLING = Sampling(batch=64, demo_ratio='uniform', discount=0.5, n_step=CHUNK, chunk=CHUNK)


def fill(folder, steps: int, length: int, mark: float, noise: bool) -> ReplayStore:
    """Step k of the store has state (mark, k) / 100 and action k / 100; a chunk begins at every second step."""
    store = ReplayStore.create(folder, SPECS, 500)
    for number in range(steps):
        state, action = np.array([mark, number / 100], np.float32), np.array([number / 100], np.float32)
        place = number % length
        told = np.array([[number], [-number]], np.float32) if noise and place % 2 == 0 else None
        last = place == length - 1
        store.append(
            Step(number + 1, number // length, Observation(state), action, float(last), terminal=last, noise=told)
        )
    return store


def sources(tmp_path, sampling: Sampling, noise: bool = True) -> list[Source]:
    encoders = BaseNetwork(SPECS, base_shape_of(CONFIG)).encoders
    stores = fill(tmp_path / 'online', 44, 11, -1.0, noise), fill(tmp_path / 'demos', 132, 11, 1.0, noise)
    return [Source(store, encoders, CONFIG, sampling) for store in stores]


def test_a_demonstrated_transition_is_drawn_as_often_as_one_of_the_arms_own(tmp_path):
    online, demos = sources(tmp_path, SAMPLING)
    sampler = SymmetricSampler(online, demos, SAMPLING.batch, SAMPLING.demo_ratio)
    rng = np.random.default_rng(0)
    shares = [float((sampler.sample(4, 44, rng, 'cpu').state[:, 0] > 0).float().mean()) for _ in range(60)]
    # 120 of 160 transitions; the deviation of a mean of 60 x 256 draws is .0035.
    assert np.mean(shares) == pytest.approx(0.75, abs=0.011)
    assert sampler.demo_ratio == shares[-1]


def test_an_action_is_the_chunk_that_was_executed_and_its_rewards_are_summed(tmp_path):
    online, demos = sources(tmp_path, SAMPLING)
    batch = SymmetricSampler(online, demos, 64, 'uniform').sample(2, 44, np.random.default_rng(0), 'cpu')
    first = batch.state[:, 1] * 2.0 * 100
    last = (first.round() % 11) == 9
    # Behind the episode's last action the chunk repeats it; bounds are -2 to 2, and normalised.
    assert np.allclose(batch.action[:, 0] * 200, first, atol=1e-3)
    assert np.allclose(batch.action[:, 1] * 200, first + np.where(last, 0, 1), atol=1e-3)
    before_last = (first.round() % 11) == 8
    assert np.allclose(batch.reward, np.where(last, 1.0, np.where(before_last, 0.5, 0.0)))
    assert np.allclose(batch.mask, np.where(last | before_last, 0.0, 1.0))
    assert np.allclose(batch.discount, np.where(last, 0.5, 0.25))


def test_by_noise_only_steps_are_drawn_that_begin_a_chunk(tmp_path):
    sampling = Sampling(batch=64, demo_ratio=0.0, n_step=CHUNK, chunk=CHUNK, by_noise=True)
    online, _ = sources(tmp_path, sampling)
    batch = SymmetricSampler(online, None, 64, 0.0).sample(2, 44, np.random.default_rng(0), 'cpu')
    assert isinstance(batch, NoiseBatch)
    number = (batch.state[:, 1] * 200).round()
    assert ((number % 11) % 2 == 0).all()
    assert np.allclose(batch.noise, np.stack([number, -number], axis=1))


def test_a_store_without_any_noise_says_what_is_missing(tmp_path):
    sampling = Sampling(batch=8, demo_ratio=0.0, n_step=CHUNK, chunk=CHUNK, by_noise=True)
    online, _ = sources(tmp_path, sampling, noise=False)
    with pytest.raises(UserError, match=r'dsrl.variant: sac needs'):
        SymmetricSampler(online, None, 8, 0.0).sample(1, 44, np.random.default_rng(0), 'cpu')


def test_several_states_are_side_by_side_and_never_of_another_episode(tmp_path):
    sampling = Sampling(batch=64, demo_ratio='uniform', n_step=CHUNK, chunk=CHUNK, observations=2)
    online, demos = sources(tmp_path, sampling)
    batch = SymmetricSampler(online, demos, 64, 'uniform').sample(1, 44, np.random.default_rng(0), 'cpu')
    assert batch.state.shape == (64, 4)
    before, now = (batch.state[:, 1] * 200).round(), (batch.state[:, 3] * 200).round()
    assert np.allclose(before, now - np.where(now % 11 == 0, 0, 1))
