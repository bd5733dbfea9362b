"""Steering, against decoders and critics whose answer is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_sac import make_batch, make_specs
from torch import Tensor, nn

from hybrid_rl_ros.config import Config, RewardConfig
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.dsrl import DsrlAgent
from hybrid_rl_ros.learning.agents.value_scale import ValueScale
from hybrid_rl_ros.learning.batch import Batch, NoiseBatch
from hybrid_rl_ros.learning.policies.base_file import save_base
from hybrid_rl_ros.learning.policies.kinds import shape_of_agent
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.steered import steered_shape_of
from hybrid_rl_ros.learning.pretrained import begin_pretrained

STATES, ACTIONS, CHUNK = 2, 1, 2
SPECS = make_specs(STATES, ACTIONS)
GAMMA = 0.9


def make_config(base: dict | None = None, **settings) -> Config:
    return Config.model_validate(
        {
            'agent': 'dsrl',
            'base': {'chunk': CHUNK, 'hidden': [16], 'steps': 2, **(base or {})},
            'dsrl': {'hidden': [32, 32], 'discount': GAMMA, 'batch': 16, **settings},
            'train': {'compile': 'off', 'device': 'cpu'},
            'seed': 0,
        }
    )


def make_agent(base: dict | None = None, **settings) -> DsrlAgent:
    """With a base whose last layer is no longer zero, so that noise and observation both tell."""
    agent = DsrlAgent(SPECS, make_config(base, **settings), 'cpu')
    for parameter in agent.network.base.parameters():
        nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    return agent


def chunk_batch(size: int = 16, mask: float = 1.0) -> Batch:
    return make_batch(size, STATES, ACTIONS * CHUNK, mask, discount=GAMMA**CHUNK)


class Decoder(nn.Module):
    """A base policy that is a formula."""

    def __init__(self, formula) -> None:
        super().__init__()
        self._formula = formula

    def inputs(self, state: Tensor, views: dict[str, Tensor]) -> Tensor:
        return state

    def decode(self, inputs: Tensor, noise: Tensor) -> Tensor:
        return self._formula(noise)


class Judge(nn.Module):
    """Critics that are a formula of the action; the parameter is there to be counted."""

    def __init__(self, formula, members: int = 2) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))
        self._formula, self._members = formula, members

    def forward(self, inputs: Tensor, action: Tensor) -> Tensor:
        return self._formula(action).sum(-1).expand(self._members, -1) + 0.0 * self.idle


def with_formulas(decode, judge, bound: float, **settings) -> DsrlAgent:
    agent = make_agent({'chunk': 1}, bound=bound, learning_rate=3e-3, initial_temperature=1e-4, **settings)
    agent.network.base, agent.critics = Decoder(decode), Judge(judge)
    return agent


@pytest.mark.parametrize(('bound', 'best'), [(1.0, 0.5), (1.5, 0.6), (2.5, 0.8)])
def test_the_actor_goes_to_the_best_action_that_its_bound_lets_it_reach(bound, best):
    """a = .3 + .2 w and Q = -(a - .9)^2: w* = 3, which is out of every bound's reach."""
    agent = with_formulas(lambda w: 0.3 + 0.2 * w, lambda a: -((a - 0.9) ** 2), bound)
    batch = make_batch(64, STATES, 1)
    for _ in range(600):
        agent.update_actor(batch, agent.draw_noise(batch), agent.draw_noise(batch))
    steered = 0.3 + 0.2 * bound * agent.actor.mode(batch.state)
    assert steered.detach().numpy() == pytest.approx(best, abs=0.01)


def test_what_is_distilled_is_the_value_of_the_decoded_action_where_no_such_action_was_ever_done():
    """a = |w|: critics of noise must be even in it, -(|w| - 1)^2, although no action below 0 exists."""
    agent = with_formulas(torch.abs, lambda a: -((a - 1.0) ** 2), bound=2.0)
    inputs = torch.zeros(256, STATES)
    for _ in range(1500):
        agent.distil(inputs, 1.2 * agent.draw_noise(inputs))
    noise = torch.linspace(-1.8, 1.8, 25)[:, None]
    values = agent.noise_critics(inputs[:25], noise)[0]
    assert values.detach().numpy() == pytest.approx(-((noise[:, 0].abs() - 1.0) ** 2).numpy(), abs=0.12)
    assert values.detach().numpy() == pytest.approx(values.flip(0).detach().numpy(), abs=0.12)


@pytest.mark.parametrize(
    ('other', 'complaint'),
    [
        ({'chunk': 3}, 'chunk 2, and its base was made with chunk 3'),
        ({'method': 'ddpm'}, 'method flow, and its base was made with method ddpm'),
        ({'hidden': [8]}, r'hidden \[16\], and its base was made with hidden \[8\]'),
    ],
)
def test_a_base_of_another_shape_or_method_is_refused(tmp_path, other, complaint):
    config = make_config(other)
    base = Policy.build(SPECS, steered_shape_of(config).base, 'base')
    save_base(base.network, SPECS, tmp_path / 'policy.safetensors')
    agent = make_agent()
    with pytest.raises(UserError, match=complaint) as error:
        begin_pretrained(agent, make_config(), tmp_path)
    assert '\n' not in str(error.value)


def test_a_base_may_be_steered_with_other_steps_of_its_sampler(tmp_path):
    base = Policy.build(SPECS, steered_shape_of(make_config()).base, 'base')
    save_base(base.network, SPECS, tmp_path / 'policy.safetensors')
    agent = make_agent({'steps': 5, 'executed': 1})
    begin_pretrained(agent, make_config(), tmp_path)
    assert all(torch.equal(value, base.network.state_dict()[n]) for n, value in agent.network.base.state_dict().items())


def test_a_base_without_cameras_was_made_with_any_encoder(tmp_path):
    shape = steered_shape_of(make_config()).base.model_copy(
        update={'encoder': 'keypoints', 'stride': 4, 'features': 12}
    )
    base = Policy.build(SPECS, shape, 'base')
    save_base(base.network, SPECS, tmp_path / 'policy.safetensors')
    begin_pretrained(make_agent(), make_config(), tmp_path)


@pytest.mark.parametrize('variant', ['na', 'sac'])
def test_steering_leaves_the_base_as_it_was(variant):
    agent, batch = make_agent(variant=variant), chunk_batch()
    if variant == 'sac':
        batch = NoiseBatch(**vars(batch), noise=torch.randn(16, CHUNK))
    before = {name: tensor.clone() for name, tensor in agent.network.base.state_dict().items()}
    critics = {name: tensor.clone() for name, tensor in agent.critics.state_dict().items()}
    agent.update(batch, 4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in agent.network.base.state_dict().items())
    assert not all(torch.equal(tensor, critics[name]) for name, tensor in agent.critics.state_dict().items())


@pytest.mark.parametrize('noise', ['per_step', 'tiled'])
@pytest.mark.parametrize('gate', [True, False])
def test_with_no_bound_left_the_action_is_the_bases_own_without_noise(gate, noise):
    agent = make_agent(bound=0.0, gate=gate, noise=noise)
    observation = Observation(np.array([0.3, -0.7], np.float32))
    base = Policy(agent.network.base, SPECS, {'kind': 'base', 'shape': {}})
    for sampled in (False, True):
        plan = agent.policy().plan(observation, deterministic=not sampled)
        np.testing.assert_allclose(plan.actions, base.plan(observation).actions, rtol=0, atol=1e-6 if gate else 0)
        np.testing.assert_array_equal(plan.noise, np.zeros((CHUNK, ACTIONS)))


def test_the_plan_is_what_the_base_makes_of_the_noise_that_it_tells():
    agent = make_agent()
    observation = Observation(np.array([0.3, -0.7], np.float32))
    plan = agent.policy().plan(observation, deterministic=False, generator=torch.Generator().manual_seed(2))
    state = torch.from_numpy(observation.state)[None] / 2.0
    decoded = agent.network.decode(agent.network.inputs(state, {}), torch.from_numpy(plan.noise).reshape(1, -1))
    np.testing.assert_allclose(plan.actions.reshape(-1), 2.0 * decoded[0].numpy(), atol=1e-6)
    assert np.abs(plan.noise).max() <= 1.5


def test_the_gate_takes_the_noise_whose_actions_the_critics_think_the_most_of():
    agent = make_agent({'chunk': 1}, bound=1.5)
    agent.network.base, agent.network.critics = Decoder(lambda w: 0.5 * w), Judge(lambda a: -((a - 0.4) ** 2))
    noise = torch.randn(agent.network.noise_shape, generator=torch.Generator().manual_seed(5))
    inputs = torch.zeros(1, STATES)
    candidates = agent.network.candidates(inputs, noise)
    chosen = agent.network.plan(inputs, noise)[0, 0]
    assert len(candidates) == 1 + 1 + 4 + 4
    assert candidates[0] == 0
    assert float((chosen - 0.4).abs()) == float((0.5 * candidates - 0.4).abs().min())


def test_at_a_true_end_the_target_is_the_reward_and_at_a_time_limit_it_bootstraps_over_the_whole_chunk():
    agent = make_agent()
    batch = chunk_batch(mask=0.0)
    batch.reward = torch.rand(16)
    noise = agent.draw_noise(batch)
    assert torch.allclose(agent.scale.value(agent.td_target(batch, noise)), batch.reward, atol=1e-5)
    batch.mask[:] = 1.0
    batch.reward[:] = 0.0
    inputs = agent.network.inputs(batch.next_state, {})
    steered = agent.config.bound * agent.actor.sample(inputs, noise)[0]
    q = agent.network.critics(inputs, agent.network.decode(inputs, steered)).min(0).values
    expected = GAMMA**CHUNK * agent.scale.value(q)
    got = agent.scale.value(agent.td_target(batch, noise))
    assert torch.allclose(got, expected.clamp(0.0, 1.0), atol=1e-5)


def test_a_success_reward_of_one_is_learned_as_minus_one_for_every_chunk_before_it():
    scale = ValueScale.of(RewardConfig(), discount=GAMMA, chunk=CHUNK)
    chunks = torch.arange(6)
    value = (GAMMA**CHUNK) ** chunks.double()
    cost = torch.tensor([-sum((GAMMA**CHUNK) ** i for i in range(int(n))) for n in chunks]).double()
    assert torch.allclose(scale.scaled(value), cost)
    assert torch.allclose(scale.value(cost), value)
    # Never to succeed, and to fail for good, are both the lowest there is.
    assert float(scale.scaled(torch.zeros(()))) == pytest.approx(-1.0 / (1.0 - GAMMA**CHUNK))


def test_rewards_of_another_kind_are_left_as_they_are():
    scale = ValueScale.of(RewardConfig(shaping={'distance': -1.0}), discount=GAMMA, chunk=CHUNK)
    assert float(scale.scaled(torch.tensor(123.0))) == 123.0


def test_another_agent_with_the_saved_state_goes_on_with_the_same_numbers():
    first, second = make_agent(), DsrlAgent(SPECS, make_config(), 'cpu')
    batch = chunk_batch()
    first.update(batch, 4)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    assert first.update(batch, 2) == second.update(batch, 2)
    assert first.policy().weights_sha256() == second.policy().weights_sha256()


@pytest.mark.parametrize('cameras', [(), ('front', 'wrist')], ids=['state', 'two cameras'])
def test_a_steered_policy_comes_back_from_its_file_and_acts_the_same(cameras):
    specs, rng = make_specs(STATES, ACTIONS, cameras), np.random.default_rng(1)
    agent = DsrlAgent(specs, make_config(), 'cpu')
    batch = make_batch(16, STATES, ACTIONS * CHUNK, cameras=cameras)
    agent.update(batch, 2)
    policy = agent.policy()
    again = Policy.from_bytes(policy.to_bytes(3))
    images = {camera: rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for camera in cameras}
    observation = Observation(np.array([0.1, 0.2], np.float32), images)
    np.testing.assert_array_equal(policy.plan(observation).actions, again.plan(observation).actions)
    assert (again.kind, again.version) == ('dsrl', 3)
    assert shape_of_agent(make_config()).model_dump(mode='json') == policy.head['shape']
