"""Numbers that a simulation knows and a robot does not: the critics see them, the policy is made without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_sac import make_batch, make_specs

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.config import Config, InferenceConfig, load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation, require_same_specs
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.acting import PolicyActor
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.behaviour_cloning import clone_behaviour

SPECS = make_specs(states=5, cameras=('front',))
HIDDEN = ['s3', 's4']
CONFIG = Config.model_validate(
    {
        'observation': {'critic_only': HIDDEN},
        'sac': {'hidden': [32, 32]},
        'bc': {'hidden': [16], 'updates': 20},
        'encoder': {'features': 8},
        'train': {'compile': 'off', 'device': 'cpu'},
    }
)
LIFT = Path(__file__).parents[2] / 'config' / 'sim_lift.yaml'


@pytest.fixture
def agent() -> SacAgent:
    return SacAgent(SPECS, CONFIG, 'cpu')


def test_the_actor_does_not_depend_on_what_only_the_critics_see_and_they_do(agent):
    batch = make_batch(states=5, cameras=('front',))
    other = make_batch(states=5, cameras=('front',))
    other.state[:, 3:] += 1.0
    noise = agent.draw_noise(batch)
    inputs, other_inputs = (agent.value.inputs(b.state, b.views) for b in (batch, other))
    for one, another in zip(agent.actor.sample(inputs, noise), agent.actor.sample(other_inputs, noise)):
        assert torch.equal(one, another)
    q, other_q = (agent.value(b.state, b.views, batch.action) for b in (batch, other))
    assert ((q - other_q).abs() > 1e-4).all()
    seen = agent.network.inputs(batch.state[:, :3], batch.views)
    assert torch.equal(seen, inputs[:, : agent.network.input_width]), 'the published network sees what the actor did'


def test_what_only_the_critics_see_is_learned_from():
    """A reward that follows a hidden number is foreseen; without that number it could not be."""
    fast = CONFIG.model_copy(update={'sac': CONFIG.sac.model_copy(update={'learning_rate': 3e-3})})
    agent = SacAgent(make_specs(states=5), fast, 'cpu')
    for _ in range(80):
        batch = make_batch(64, states=5, mask=0.0)
        batch.state = torch.randn(64, 5, generator=agent.generator)
        batch.reward = batch.state[:, 4].sign()
        metrics = agent.update(batch, 1)
    assert metrics['td_error'] < 0.4


def test_the_policy_has_specs_without_them_and_runs_where_nobody_knows_them(agent):
    policy = agent.policy()
    assert policy.specs == make_specs(states=3, cameras=('front',)) == SPECS.without_state(HIDDEN)
    data = policy.to_bytes(1)
    actor = PolicyActor(policy.specs, InferenceConfig(), seed=0, deterministic=True)
    actor.use(data, 'weights')
    observation = Observation(np.zeros(3, np.float32), {'front': np.zeros((32, 32, 3), np.uint8)})
    np.testing.assert_allclose(actor.act(observation), policy.act(observation), atol=1e-5)
    with pytest.raises(UserError, match="observation 's3' is missing"):
        PolicyActor(SPECS, InferenceConfig(), seed=0, deterministic=True).use(data, 'weights')


def test_cloning_leaves_them_out(tmp_path):
    policies = []
    for hidden in (0.0, 1.0):
        with ReplayStore.create(tmp_path / str(hidden), SPECS, 50) as demos:
            for number in range(40):
                rng = np.random.default_rng(number)
                state = np.append(rng.uniform(-1, 1, 3), [hidden, -hidden]).astype(np.float32)
                images = {'front': rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)}
                demos.append(Step(number + 1, 0, Observation(state, images), rng.uniform(-1, 1, 1).astype(np.float32)))
            policies.append(clone_behaviour(demos, CONFIG, 'cpu', lambda *_: None))
    assert policies[0].specs == SPECS.without_state(HIDDEN)
    assert policies[0].weights_sha256() == policies[1].weights_sha256()


def test_a_run_without_them_has_the_specs_of_a_policy_that_was_trained_with_them():
    trained = load_config(LIFT, ['observation.critic_only=[task.cube.x, task.cube.y]'])
    specs = resolve_specs(trained)
    assert specs.observation.state.names[-2:] == ['task.cube.x', 'task.cube.y'], 'stored like the others'
    deployed = resolve_specs(load_config(LIFT))
    require_same_specs(specs.without_state(trained.observation.critic_only), deployed, 'policy')


def test_a_robot_that_cannot_know_them_says_what_to_do():
    robot = ['sim=null', 'clock=realtime', 'safety.action_timeout_s=0.2', 'observation.critic_only=[task.cube.x]']
    with pytest.raises(UserError, match=r"critic_only: 'task.cube.x' is known.*set observation.critic_only=\[\]"):
        resolve_specs(load_config(LIFT, robot))


def test_a_name_is_either_the_policys_or_the_critics():
    with pytest.raises(UserError, match='ee.x is in state and in critic_only'):
        load_config(LIFT, ['observation.critic_only=[ee.x]'])
