"""Who acts before there is anything learned."""

from __future__ import annotations

import numpy as np
import pytest
from test_sac import make_specs

from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.acting import WarmUp
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import PolicyShape

SPECS = make_specs()
OBSERVATION = Observation(np.array([0.3, -0.2], np.float32), {})
LOW, HIGH = np.array(SPECS.action.low), np.array(SPECS.action.high)


@pytest.fixture
def cloned(tmp_path):
    path = tmp_path / 'policy.safetensors'
    Policy.build(SPECS, PolicyShape(features=8, hidden=[16]), 'bc').save(path)
    return path


def actions(warm_up: WarmUp, count: int = 2000) -> np.ndarray:
    return np.array([warm_up.act(OBSERVATION) for _ in range(count)])


def test_without_a_cloned_policy_actions_are_uniform_over_their_range(tmp_path):
    drawn = actions(WarmUp(SPECS, tmp_path / 'none.safetensors', 0.3, seed=1))
    np.testing.assert_allclose(drawn.mean(0), (LOW + HIGH) / 2, atol=0.05 * (HIGH - LOW).max())
    np.testing.assert_allclose(drawn.std(0), (HIGH - LOW) / np.sqrt(12), rtol=0.05)


def test_without_noise_the_cloned_policy_acts_as_it_is(cloned):
    np.testing.assert_array_equal(
        actions(WarmUp(SPECS, cloned, 0.0, seed=1), 3)[2], Policy.load(cloned).act(OBSERVATION)[0]
    )


def test_noise_is_a_fraction_of_half_the_range_and_stays_inside_it(cloned):
    mode = Policy.load(cloned).act(OBSERVATION)[0]
    drawn = actions(WarmUp(SPECS, cloned, 0.1, seed=1))
    np.testing.assert_allclose((drawn - mode).std(0), 0.1 * (HIGH - LOW) / 2, rtol=0.1)
    wild = actions(WarmUp(SPECS, cloned, 5.0, seed=1))
    assert (wild >= LOW).all() and (wild <= HIGH).all()


def test_a_cloned_policy_of_other_specs_is_refused(cloned):
    with pytest.raises(UserError, match=str(cloned)):
        WarmUp(make_specs(cameras=('front',)), cloned, 0.3, seed=1)
