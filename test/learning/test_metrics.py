"""What is told of learning, and where it goes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch
from test_sac import make_agent, make_batch
from test_update_loop import CONFIG, SPECS, make_step

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.mean_metrics import MeanMetrics
from hybrid_rl_ros.learning.measures import dead_unit_fraction, intervention_rate
from hybrid_rl_ros.learning.metrics_log import MetricsLog
from hybrid_rl_ros.learning.update_loop import Done, UpdateLoop

TOLD = {'q', 'target', 'largest_target', 'largest_reward', 'td_error', 'critic_loss', 'actor_loss', 'entropy'}
TOLD |= {'temperature', 'action_saturation', 'dead_unit_fraction', 'demo_ratio', 'intervention_rate'}


@pytest.mark.parametrize(('activation', 'bias'), [('relu', -1e3), ('tanh', 1e3)])
def test_units_that_are_always_off_or_always_at_one_end_are_dead(activation, bias):
    agent = make_agent(hidden=[8, 4], activation=activation, critic_layer_norm=False)
    for biases in agent.value.critics.biases[:2]:
        biases.data.fill_(0.5)
    agent.value.critics.biases[0].data[1, 0, :3] = bias
    # 3 of 2 members' 12 units each.
    assert dead_unit_fraction(agent.value, make_batch(256)) == pytest.approx(3 / 24)


def test_no_unit_is_dead_at_first():
    assert dead_unit_fraction(make_agent().value, make_batch(64)) == 0.0


def test_means_are_over_the_updates_that_know_a_number():
    metrics = MeanMetrics()
    value = torch.tensor(1.0)
    metrics.add({'q': value, 'target': torch.tensor(5.0)})
    value.fill_(3.0)
    metrics.add({'q': value, 'target': torch.tensor(7.0)})
    metrics.add({'entropy': torch.tensor(-2.0)})
    assert metrics.floats() == {'q': 2.0, 'target': 6.0, 'entropy': -2.0}


def test_a_job_tells_all_of_it_at_every_twentieth_step(tmp_path):
    """Of 45 steps, 41 complete a transition and updates begin with the tenth: two are measured, at 20 and at 40."""
    done: list[Done] = []
    with ReplayStore.create(tmp_path / 'replay', SPECS, 200) as store:
        loop = UpdateLoop(CONFIG, SPECS, tmp_path, None, store, done.append)
        for number in range(45):
            store.append(replace(make_step(number, reward=0.5), intervention=number < 9))
        loop.start()
        loop.stop()
    measured = [one for one in done if one.job.measure]
    assert [one.job.env_steps for one in measured] == [20, 40]
    assert all(one.metrics.keys() == TOLD for one in measured)
    assert measured[0].metrics['demo_ratio'] == 0.5, 'a person did some of it'
    assert measured[0].metrics['largest_reward'] == 0.5
    steps = measured[0].job.before_sequence
    assert measured[0].metrics['intervention_rate'] == pytest.approx(9 / steps)


def test_the_intervention_rate_is_of_the_last_thousand_steps(tmp_path):
    with ReplayStore.create(tmp_path, SPECS, 1100) as store:
        assert intervention_rate(store, 0) == 0.0
        for number in range(1050):
            store.append(replace(make_step(number), intervention=number % 10 < 3))
        assert intervention_rate(store, 1050) == pytest.approx(0.3)
        assert intervention_rate(store, 3) == 1.0


def test_metrics_come_as_lines_with_the_updates_per_second(tmp_path, monkeypatch):
    clock = iter([0.0, 10.0, 12.0])
    monkeypatch.setattr('hybrid_rl_ros.learning.metrics_log.time.monotonic', lambda: next(clock))
    log = MetricsLog(tmp_path, False, 0)
    log.write(20, 80, {'q': 0.25})
    assert log.write(40, 160, {'q': 0.5}) == 40.0
    assert log.write(40, 160, {'q': 0.5}) is None, 'the end of the run, just after'
    log.close()
    lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    assert lines == [
        {'env_steps': 20, 'updates': 80, 'wall_s': 10.0, 'q': 0.25},
        {'env_steps': 40, 'updates': 160, 'wall_s': 12.0, 'q': 0.5, 'updates_per_s': 40.0},
    ]
    assert not (tmp_path / 'tensorboard').exists()


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = MetricsLog(tmp_path, True, 0)
    for step in (20, 40):
        log.write(step, 4 * step, {'q': step / 10})
    log.close()
    events = EventAccumulator(str(tmp_path / 'tensorboard')).Reload()
    assert [(event.step, event.value) for event in events.Scalars('learner/q')] == [(20, 2.0), (40, 4.0)]
    assert [event.value for event in events.Scalars('learner/updates')] == [80, 160]


def test_without_the_package_there_is_nothing_or_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)
    MetricsLog(tmp_path, 'auto', 0).close()
    assert not (tmp_path / 'tensorboard').exists()
    with pytest.raises(UserError, match=r"tensorboard: true needs .* pip install 'hybrid_rl_ros\[tensorboard\]'"):
        MetricsLog(tmp_path, True, 0)


@pytest.mark.parametrize(('given', 'meant'), [('auto', 'auto'), (True, True), (False, False), ('off', False)])
def test_tensorboard_is_a_word_or_a_switch(given, meant):
    assert Config.model_validate({'train': {'tensorboard': given}}).train.tensorboard is meant
