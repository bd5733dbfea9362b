"""The gripper as one of three choices: its targets, its penalty, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_sac import make_batch

from hybrid_rl_ros.config import Config, InferenceConfig
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.learning.acting import PolicyActor
from hybrid_rl_ros.learning.agents.gripper_critic import labels
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import PolicyShape

STATE = (
    Dimension(name='s', unit='1', low=-1, high=1),
    Dimension(name='gripper.opening', unit='1', low=0, high=1),
)
ACTION = tuple(Dimension(name=name, unit='1', low=-1, high=1) for name in ('ee.dx', 'ee.dy', 'gripper'))
SPECS = Specs(observation=ObservationSpec(state=VectorSpec(dimensions=STATE)), action=ActionSpec(dimensions=ACTION))
CLOSE, KEEP, OPEN = -1.0, 0.0, 1.0


def make_config(**sac) -> dict:
    return {
        'sac': {'hidden': [32, 32], 'gripper': 'dqn', **sac},
        'observation': {'state': ['gripper.opening']},
        'action': {'gripper_mode': 'discrete'},
        'train': {'compile': 'off', 'device': 'cpu'},
    }


def make_agent(**sac) -> SacAgent:
    return SacAgent(SPECS, Config.model_validate(make_config(**sac)), 'cpu')


def commanded(gripper: list[float], openings: list[float], mask: float = 0.0) -> Batch:
    """A batch with these commands at these openings, normalised."""
    batch = make_batch(len(gripper), states=2, actions=3, mask=mask)
    batch.action[:, -1] = torch.tensor(gripper)
    batch.state[:, 1] = torch.tensor(openings)
    return batch


def test_a_command_is_rounded_as_the_action_space_takes_it():
    assert labels(torch.tensor([-1.0, -0.51, -0.5, 0.0, 0.5, 0.51, 1.0])).tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_only_a_command_that_moves_the_fingers_is_a_change():
    wide, holding, closed = 1.0, 0.0, -1.0
    commands = [(CLOSE, wide, 1), (CLOSE, holding, 0), (CLOSE, closed, 0), (KEEP, wide, 0), (KEEP, closed, 0)]
    commands += [(OPEN, wide, 0), (OPEN, holding, 1), (OPEN, closed, 1)]
    gripper, openings, expected = zip(*commands)
    assert make_agent().gripper.changes(commanded(gripper, openings)).tolist() == list(expected)


def test_the_target_is_the_reward_with_the_penalty_and_the_targets_value_of_the_online_choice():
    agent = make_agent(gripper_penalty=-0.5)
    critic, batch = agent.gripper, commanded([OPEN, OPEN] * 8, [1.0, -1.0] * 8, mask=1.0)
    torch.nn.init.normal_(critic.target_values.head.weight)
    target = critic.td_target(batch, batch.next_state)
    choice = critic.values(batch.next_state).argmax(-1)
    followed = critic.target_values(batch.next_state)[torch.arange(16), choice]
    penalty = torch.tensor([0.0, -0.5] * 8)
    assert torch.allclose(target, batch.reward + penalty + batch.discount * followed)
    batch.mask[:] = 0.0
    assert torch.allclose(critic.td_target(batch, batch.next_state), batch.reward + penalty)


def test_the_penalty_is_no_concern_of_the_arms_critics():
    batch = commanded([OPEN] * 16, [-1.0] * 16)
    targets = []
    for penalty in (0.0, -5.0):
        agent = make_agent(gripper_penalty=penalty)
        targets.append(agent.td_target(batch, agent.draw_noise(batch), agent.draw_subset()))
    assert torch.equal(*targets)
    other = commanded([CLOSE] * 16, [-1.0] * 16)
    values = [agent.value(b.state, b.views, b.action) for b in (batch, other)]
    assert torch.equal(*values), 'the command is none of theirs either'
    assert agent.actor(batch.state)[0].shape == (16, 2) and agent.target_entropy == -0.5 * 2


def learned_choices(agent: SacAgent, reward, states: list[list[float]], updates: int = 120) -> list[float]:
    """What the policy does with the gripper in `states` after a bandit with `reward(state, gripper)`."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(updates):
        batch = make_batch(64, states=2, actions=3, mask=0.0)
        batch.state = torch.rand(64, 2, generator=generator) * 2 - 1
        batch.state[:, 1] = batch.state[:, 1].sign()
        batch.action = torch.rand(64, 3, generator=generator) * 2 - 1
        batch.action[:, -1] = torch.randint(-1, 2, (64,), generator=generator)
        batch.reward = reward(batch.state, batch.action[:, -1])
        torch.no_grad()(agent.update_gripper)(batch)
    observations = [Observation(SPECS.observation.state.denormalise(np.array(s, np.float32))) for s in states]
    return [float(agent.policy().act(observation)[0, -1]) for observation in observations]


def test_a_bandit_is_learned_where_opening_is_best_in_one_state_and_closing_in_the_other():
    chosen = learned_choices(
        make_agent(learning_rate=3e-3), lambda state, gripper: gripper * state[:, 0].sign(), [[0.7, 0.0], [-0.7, 0.0]]
    )
    assert chosen == [OPEN, CLOSE]


def test_the_penalty_keeps_the_fingers_where_they_are_when_nothing_is_to_be_had():
    agent = make_agent(learning_rate=3e-3, gripper_penalty=-0.3)
    wide, closed = learned_choices(agent, lambda state, gripper: torch.zeros(64), [[0.0, 1.0], [0.0, -1.0]])
    assert wide != CLOSE and closed != OPEN
    values = agent.gripper.values(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
    assert torch.allclose(values, torch.tensor([[-0.3, 0.0, 0.0], [0.0, 0.0, -0.3]]), atol=0.06)


def test_every_part_of_it_is_in_the_checkpoint():
    agent, again = make_agent(), make_agent()
    agent.update(commanded([OPEN] * 16, [-1.0] * 16), 2)
    again.load_state_dict(agent.state_dict())
    batch = commanded([CLOSE, KEEP] * 8, [1.0] * 16)
    for one in (agent, again):
        one.update(batch, 2)
    first, second = agent.state_dict(), again.state_dict()
    assert any(name.startswith('gripper_target/') for name in first)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize('deterministic', [True, False])
def test_onnx_and_eager_choose_alike(deterministic):
    policy = Policy.build(SPECS, PolicyShape(features=8, hidden=[32], gripper='dqn'), 'sac')
    generator = torch.Generator().manual_seed(0)
    for head in (policy.network.actor.head, policy.network.gripper.head):
        head.weight.normal_(generator=generator)
        head.bias.zero_()
    data = policy.to_bytes(1)
    rng = np.random.default_rng(0)
    observations = [Observation(rng.uniform(-3, 3, 2).astype(np.float32)) for _ in range(50)]
    taken = {}
    for engine in ('onnx', 'eager'):
        actor = PolicyActor(SPECS, InferenceConfig(engine=engine), seed=3, deterministic=deterministic)
        actor.use(data, 'test')
        taken[engine] = np.concatenate([actor.act(observation) for observation in observations])
    np.testing.assert_allclose(taken['onnx'], taken['eager'], atol=1e-5)
    assert len(set(taken['onnx'][:, -1].tolist())) > 1 and set(taken['onnx'][:, -1].tolist()) <= {CLOSE, KEEP, OPEN}
    again = Policy.from_bytes(data)
    generator = torch.Generator().manual_seed(3)
    own = np.concatenate([again.act(observation, deterministic, generator) for observation in observations])
    np.testing.assert_allclose(own, taken['eager'], atol=1e-6)


@pytest.mark.parametrize(
    ('change', 'needed'),
    [
        ({'action': {'gripper_mode': 'continuous'}}, 'gripper_mode: discrete'),
        ({'action': {'gripper_mode': 'discrete', 'gripper': False}}, 'gripper: true'),
        ({'observation': {'state': ['ee.x']}}, 'gripper.opening in observation.state'),
        ({'offline': {'method': 'cal_ql'}}, 'sac.actor_init: random'),
    ],
)
def test_a_configuration_without_what_it_needs_is_refused(change, needed):
    with pytest.raises(ValueError, match=f'sac.gripper: dqn needs.*{needed}'):
        Config.model_validate({**make_config(), **change})


@pytest.mark.slow
def test_compiled_updates_end_where_plain_ones_do(monkeypatch):
    monkeypatch.delenv('TORCHDYNAMO_DISABLE', raising=False)
    states = {}
    with torch._dynamo.config.patch(disable=False):
        for how in ('on', 'off'):
            config = {**make_config(), 'train': {'compile': how, 'device': 'cpu'}}
            agent = SacAgent(SPECS, Config.model_validate(config), 'cpu')
            for _ in range(10):
                metrics = agent._update_gripper(commanded([CLOSE, KEEP, OPEN, OPEN] * 8, [1.0, -1.0] * 16, mask=1.0))
            assert metrics['gripper_loss'] > 0 and metrics['gripper_changes'] == 0.5
            states[how] = agent.state_dict()
    for name, value in states['off'].items():
        assert torch.allclose(states['on'][name].float(), value.float(), atol=1e-4), name
