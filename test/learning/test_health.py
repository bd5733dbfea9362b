"""Learning that goes wrong is noticed, put back and told; nothing of it leaves the learner."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch
from test_sac import make_agent, make_batch
from test_update_loop import CONFIG, SPECS, make_step, weights

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.checkpoint import load_newest_checkpoint
from hybrid_rl_ros.learning.health import KEEP_EVERY_UPDATES, VALUE_MARGIN, Health, not_finite
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.sampler import SymmetricSampler
from hybrid_rl_ros.learning.update_loop import Done, UpdateLoop

POISONED_AT = 20


def healthy(agent: SacAgent, **settings) -> Health:
    health = Health(agent, Config.model_validate(settings))
    health.begin()
    return health


def poisoned(**fields: float) -> Batch:
    batch = make_batch()
    for name, value in fields.items():
        getattr(batch, name)[0] = value
    return batch


@pytest.mark.parametrize(
    ('fields', 'seen'),
    [
        ({'reward': 1e30}, 'critic_loss is inf with rewards up to 1e+30'),
        ({'reward': float('nan')}, 'is nan'),
        ({'state': float('nan')}, 'is nan'),
        ({'reward': 1e6}, 'a reward of 1e+06 was drawn, where the largest before was'),
        ({'next_state': float('inf')}, 'is nan'),
    ],
)
def test_a_poisoned_batch_is_undone_and_told_in_one_line(fields, seen, caplog):
    agent = make_agent()
    health = healthy(agent)
    good = {name: value.clone() for name, value in agent.state_dict().items()}
    assert health.sound(agent.update(make_batch(), 1))
    with caplog.at_level(logging.WARNING):
        assert not health.sound(agent.update(poisoned(**fields), 1))
    assert health.rollbacks == 1 and seen in health.complaint
    (line,) = caplog.messages
    assert seen in line and line.endswith('the weights are put back by 2 updates (rollback 1)')
    now = agent.state_dict()
    assert all(torch.equal(value, now[name]) for name, value in good.items() if name != 'generator')
    # What is drawn next is something else than what went wrong.
    assert not torch.equal(good['generator'], now['generator'])
    assert agent.updates == 0


def test_the_first_of_several_updates_is_looked_at_too():
    agent = make_agent()
    health = healthy(agent)
    assert health.sound(agent.update(make_batch(64), 4))
    batch = make_batch(64)
    batch.reward[0] = 1e30
    assert not health.sound(agent.update(batch, 4))


def test_weights_that_are_not_finite_are_found_where_the_metrics_say_nothing():
    agent = make_agent()
    health = healthy(agent)
    agent.value.critics.weights[0].data[0, 0, 0] = float('nan')
    assert health.sound({}), 'not looked for after every job'
    assert not health.sound({}, thorough=True)
    assert health.complaint.startswith('critics/weights.0 is not finite')
    assert not not_finite(agent.state_dict())


def test_a_copy_is_taken_only_of_what_is_good_and_ends_the_row():
    agent = make_agent()
    health = healthy(agent, train={'max_rollbacks': 1})
    assert not health.sound({'q': float('nan')})
    agent.updates = KEEP_EVERY_UPDATES
    assert health.sound({'q': 0.1}) and not health.complaint
    agent.updates += 7
    assert not health.sound({'q': float('nan')}), 'the second time, and again the first in a row'
    assert agent.updates == KEEP_EVERY_UPDATES
    with pytest.raises(
        UserError, match='learning went wrong 2 times in a row, last because q is nan; docs/learning.md'
    ):
        health.sound({'q': float('nan')})


@pytest.mark.parametrize('discount', [0.5, 0.97])
def test_the_limit_is_what_the_rewards_allow(discount):
    """Three in every step is worth 3 / (1 - discount) at most."""
    health = healthy(make_agent(), sac={'discount': discount}, reward={'success_reward': 3.0})
    limit = VALUE_MARGIN * 3.0 / (1.0 - discount)
    for name in ('largest_target', 'td_error'):
        assert health.sound({name: limit * 0.99})
        assert not health.sound({name: limit * 1.01})
    # A larger one in the data raises it.
    assert health.sound({'largest_target': limit * 1.9, 'largest_reward': 6.0})


def test_the_bonus_of_the_entropy_counts_among_the_rewards():
    health = healthy(make_agent(), sac={'entropy_backup': True, 'discount': 0.9})
    metrics = {'largest_target': 250.0, 'temperature': 1.0, 'entropy': -2.0}
    assert health.sound(metrics)
    assert not health.sound(metrics | {'temperature': 0.1})


@pytest.mark.parametrize('rewards', [[0.0, 1.0], [1e-3, 100.0], [1500.0, 2000.0], [0.0, 5000.0]])
def test_the_first_success_is_no_fault(rewards):
    health = healthy(make_agent())
    assert all(health.sound({'largest_reward': reward, 'largest_target': reward * 2}) for reward in rewards)


def run_poisoned(
    folder: Path, steps: int, monkeypatch: pytest.MonkeyPatch, poisoned_jobs: set[int]
) -> tuple[UpdateLoop, list[Done]]:
    """The loop after `steps`, a batch of the jobs before these sequence numbers holding a reward of 1e30."""
    sample = SymmetricSampler.sample

    def poison(self, updates, before_sequence, rng, device):
        batch = sample(self, updates, before_sequence, rng, device)
        if before_sequence in poisoned_jobs:
            batch.reward[0] = 1e30
        return batch

    monkeypatch.setattr(SymmetricSampler, 'sample', poison)
    exists = (folder / 'replay').exists()
    store = ReplayStore.open(folder / 'replay') if exists else ReplayStore.create(folder / 'replay', SPECS, 200)
    done: list[Done] = []
    loop = UpdateLoop(CONFIG, SPECS, folder, None, store, done.append)
    loop.store = store
    for number in range(store.sequence, steps):
        store.append(make_step(number))
    loop.start()
    # Ends once its queue is empty.
    loop._jobs.put(None)
    loop._thread.join()
    monkeypatch.undo()
    return loop, done


def test_a_run_goes_on_after_a_poisoned_batch_and_publishes_finite_weights_only(tmp_path, monkeypatch):
    loop, done = run_poisoned(tmp_path, 40, monkeypatch, {POISONED_AT})
    loop.raise_if_failed()
    by_sequence = {one.job.before_sequence: one for one in done}
    assert by_sequence[POISONED_AT].metrics == {} and by_sequence[POISONED_AT + 2].metrics['critic_loss'] < 10
    assert 'critic_loss is inf' in by_sequence[POISONED_AT].complaint
    assert [one.rollbacks for one in done] == [int(one.job.before_sequence >= POISONED_AT) for one in done]
    published = [one.policy for one in done if one.policy is not None]
    assert len(published) == 6
    for data in published:
        Policy.from_bytes(data)
    loop.stop()
    loop.store.close()


def test_a_run_with_a_rollback_resumes_bit_for_bit(tmp_path, monkeypatch):
    """Also where the kill came long after it: the checkpoint written at the rollback is what is gone on from."""
    loop, _ = run_poisoned(tmp_path / 'a', 24, monkeypatch, {POISONED_AT})
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    expected = weights(loop)
    loop.store.close()
    assert load_newest_checkpoint(tmp_path / 'b' / 'checkpoints')[1]['before_sequence'] == POISONED_AT
    resumed, done = run_poisoned(tmp_path / 'b', 24, monkeypatch, set())
    found = weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert done[-1].rollbacks == 1
    resumed.store.close()


def test_poison_in_every_batch_stops_the_learner_and_leaves_finite_weights_on_disk(tmp_path, monkeypatch):
    loop, done = run_poisoned(tmp_path, 40, monkeypatch, set(range(POISONED_AT, 41)))
    with pytest.raises(UserError, match='learning went wrong 6 times in a row, last because critic_loss is inf'):
        loop.stop()
    assert done[-2].rollbacks == 5
    tensors, head = load_newest_checkpoint(tmp_path / 'checkpoints')
    assert not not_finite(tensors) and head['health']['rollbacks'] == 5
    Policy.load(tmp_path / 'policy.safetensors')
    loop.store.close()


def test_what_is_saved_at_the_end_is_finite(tmp_path, monkeypatch):
    loop, _ = run_poisoned(tmp_path, 40, monkeypatch, set())
    next(loop.agent.actor.parameters()).data.fill_(float('inf'))
    loop.stop()
    assert not not_finite(load_newest_checkpoint(tmp_path / 'checkpoints')[0])
    loop.store.close()


def test_a_spoilt_checkpoint_is_refused(tmp_path):
    agent = make_agent()
    agent.log_temperature.fill_(float('nan'))
    with pytest.raises(UserError, match='log_temperature is not finite before any update'):
        Health(agent, Config()).begin()
