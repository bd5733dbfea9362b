"""Weights that are bad, of other specs or not newer are refused, and the old ones go on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_sac import make_specs

from hybrid_rl_ros.config import InferenceConfig
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.acting import PolicyActor
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import PolicyShape

SPECS = make_specs()
OBSERVATION = Observation(np.array([0.3, -0.2], np.float32), {})


def make_policy(specs=SPECS, hidden=(16,)) -> Policy:
    return Policy.build(specs, PolicyShape(features=8, hidden=list(hidden)), 'sac')


@pytest.fixture
def actor():
    actor = PolicyActor(SPECS, InferenceConfig(), seed=0, deterministic=True)
    actor.use(make_policy().to_bytes(5), 'weights')
    return actor


def refused(actor: PolicyActor, data: bytes) -> str:
    """The line with which `data` was refused; what acts is unchanged."""
    action, sha256 = actor.act(OBSERVATION), actor.weights_sha256
    with pytest.raises(UserError) as error:
        actor.use(data, 'weights')
    assert (actor.version, actor.weights_sha256) == (5, sha256)
    np.testing.assert_array_equal(actor.act(OBSERVATION), action)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_newer_weights_are_taken_with_their_version_and_hash(actor):
    policy = make_policy()
    actor.use(policy.to_bytes(6), 'weights')
    assert (actor.version, actor.weights_sha256) == (6, policy.weights_sha256())
    np.testing.assert_allclose(actor.act(OBSERVATION), policy.act(OBSERVATION), atol=1e-5)


@pytest.mark.parametrize('version', [0, 4, 5])
def test_a_version_that_is_not_newer_is_refused(actor, version):
    assert f'version {version} is not newer than 5' in refused(actor, make_policy().to_bytes(version))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_not_finite_are_refused(actor, value):
    policy = make_policy()
    policy.network.actor.head.weight.data[0, 3] = value
    assert 'are not finite' in refused(actor, policy.to_bytes(6))


def test_other_specs_are_refused_with_what_differs(actor):
    assert "camera 'front' is not expected" in refused(actor, make_policy(make_specs(cameras=('front',))).to_bytes(6))
    assert "action 'a1' is not expected" in refused(actor, make_policy(make_specs(actions=2)).to_bytes(6))


def test_any_flipped_bit_is_refused(actor):
    data = make_policy().to_bytes(6)
    rng = np.random.default_rng(0)
    for position in rng.choice(len(data), 300, replace=False):
        spoilt = bytearray(data)
        spoilt[position] ^= 1 << rng.integers(8)
        refused(actor, bytes(spoilt))


@pytest.mark.parametrize('keep', [0, 7, 100, -1])
def test_a_truncated_message_is_refused(actor, keep):
    refused(actor, make_policy().to_bytes(6)[:keep])


def test_weights_of_other_shapes_than_their_head_says_are_refused(actor, monkeypatch):
    """Well-formed and with a sum that holds, as a learner with a mistake in it would write them."""
    policy, wider = make_policy(), make_policy(hidden=(17,))
    policy.network = wider.network
    assert 'shapes' in refused(actor, policy.to_bytes(6))


def test_reading_a_policy_leaves_the_global_random_numbers_alone():
    data = make_policy().to_bytes(1)
    before = torch.random.get_rng_state()
    Policy.from_bytes(data)
    assert torch.equal(torch.random.get_rng_state(), before)
