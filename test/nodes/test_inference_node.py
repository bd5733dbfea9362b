"""inference_node alone, as a process, with this process in place of the rest of the graph."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rclpy
import torch
from inference_surroundings import Surroundings

from hybrid_rl_ros.bringup import node_status, prepare_run, resolve_specs
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.policies.kinds import shape_of_agent
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import PolicyShape
from hybrid_rl_ros.process_environment import node_environment
from hybrid_rl_ros.ros.messages import NS_PER_S

CONFIG = Path(__file__).parents[2] / 'config' / 'sim_reach_state.yaml'
SMALL = ['sac.hidden=[32, 32]', 'encoder.features=8', 'control_rate_hz=1', 'safety.action_timeout_s=2']
CAMERAS = 'observation.cameras={front: {width: 32, height: 32}, wrist: {width: 32, height: 32}}'
MINUTE = 60 * NS_PER_S


@contextmanager
def inference_node(run: Path, *settings: str) -> Iterator[tuple[Surroundings, subprocess.Popen[bytes]]]:
    config = load_config(CONFIG, [*SMALL, *settings])
    specs = resolve_specs(config)
    prepare_run(run, config, specs)
    command = [sys.executable, '-m', 'hybrid_rl_ros.nodes.inference_node', '--ros-args', '-p', f'run_dir:={run}']
    environment = node_environment(share_folder('config') / 'fastdds.xml', threads=1)
    rclpy.init()
    with open(run / 'log', 'wb') as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    surroundings = Surroundings(run, specs)
    try:
        surroundings.wait_for_matches()
        yield surroundings, process
        assert process.poll() is None, (run / 'log').read_text()
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        surroundings.close()
        rclpy.shutdown()


def make_policy(specs: Specs, seed: int = 1, relative_frame: bool = False) -> Policy:
    """Acts all over the range and with next to no noise, so that an action tells whose it is."""
    policy = Policy.build(specs, PolicyShape(features=8, hidden=[32, 32], relative_frame=relative_frame), 'sac')
    head = policy.network.actor.head
    head.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(seed))
    head.bias[len(specs.action) :] = -100.0
    return policy


def other_specs(specs: Specs) -> Specs:
    first, *rest = specs.action.dimensions
    action = specs.action.model_copy(update={'dimensions': (first.model_copy(update={'high': 9.0}), *rest)})
    return specs.model_copy(update={'action': action})


@pytest.mark.slow
@pytest.mark.parametrize('cameras', [[], [CAMERAS]], ids=['state', 'two cameras'])
def test_bad_weights_are_refused_and_the_arm_goes_on_with_the_old_ones(tmp_path, cameras):
    with inference_node(tmp_path, 'clock=lockstep', *cameras) as (graph, _):
        good, newer, spoilt = (make_policy(graph.specs, seed) for seed in (1, 2, 3))
        spoilt.network.actor.trunk[0].weight[3, 1] = float('nan')
        corrupt = bytearray(newer.to_bytes(4))
        corrupt[-5] ^= 1
        bad = {
            'corrupt': bytes(corrupt),
            'cut off': newer.to_bytes(4)[:1000],
            'not finite': spoilt.to_bytes(4),
            'other specs': make_policy(other_specs(graph.specs)).to_bytes(4),
            'not newer': newer.to_bytes(3),
            'empty': b'',
        }
        graph.require_acts(good, data=good.to_bytes(3), version=3, stamp=NS_PER_S)
        for number, (what, data) in enumerate(bad.items(), 2):
            graph.require_acts(good, data=data, version=3, stamp=number * NS_PER_S)
            graph.wait(lambda n=number: graph.count('rejected_weights') == n - 1)
            assert 'keeping the previous weights' in (tmp_path / 'log').read_text().splitlines()[-1], what
        status = node_status(tmp_path, 'inference_node')
        assert (status['policy_version'], status['weights_sha256']) == (3, good.weights_sha256())
        assert status['inference_engine'].startswith('onnxruntime')

        graph.require_acts(newer, data=newer.to_bytes(4), version=4, stamp=100 * NS_PER_S)
        graph.wait(lambda: node_status(tmp_path, 'inference_node')['weights_sha256'] == newer.weights_sha256())


def test_in_lock_step_every_observation_is_acted_on(tmp_path):
    with inference_node(tmp_path, 'clock=lockstep') as (graph, process):
        graph.publish_weights(make_policy(graph.specs).to_bytes(1))
        stamps = [number * NS_PER_S for number in range(1, 31)]
        process.send_signal(signal.SIGSTOP)
        for stamp in stamps:
            graph.observe(stamp)
        process.send_signal(signal.SIGCONT)
        graph.action_for(stamps[-1])
        assert [stamp for stamp, _ in graph.actions] == stamps


@pytest.mark.real_time
def test_in_real_time_a_backlog_is_dropped_and_only_the_newest_observation_acted_on(tmp_path):
    with inference_node(tmp_path, 'clock=realtime') as (graph, process):
        graph.publish_weights(make_policy(graph.specs).to_bytes(1))
        # More than an hour old, but for the last: it is of the future, and so not late on the slowest machine.
        stamps = [graph.now() - (120 - number) * MINUTE for number in range(30)] + [graph.now() + MINUTE]
        process.send_signal(signal.SIGSTOP)
        for stamp in stamps:
            graph.observe(stamp)
        process.send_signal(signal.SIGCONT)
        graph.action_for(stamps[-1])
        assert [stamp for stamp, _ in graph.actions] == stamps[-1:]
        graph.wait(lambda: graph.count('dropped_observations') + graph.count('dropped_actions') == len(stamps) - 1)


@pytest.mark.real_time
def test_in_real_time_timings_and_drops_are_in_the_diagnostics_status(tmp_path):
    with inference_node(tmp_path, 'clock=realtime') as (graph, _):
        graph.publish_weights(make_policy(graph.specs).to_bytes(1))
        for number in range(1, 4):
            stamp = graph.now() + number * MINUTE
            graph.observe(stamp)
            graph.action_for(stamp)
        graph.wait(lambda: graph.count('actions') == 3)
        seen = {'inference': 3, 'period': 2, 'observation_age': 3}
        # Stock of the timings is taken every two seconds.
        graph.wait(lambda: {n: t['n'] for n, t in node_status(tmp_path, 'inference_node')['timings'].items()} == seen)


def test_where_eager_is_asked_for_the_node_acts_so_and_says_it(tmp_path):
    with inference_node(tmp_path, 'clock=lockstep', 'inference.engine=eager') as (graph, _):
        policy = make_policy(graph.specs)
        graph.require_acts(policy, data=policy.to_bytes(1), version=1, stamp=NS_PER_S)
        assert 'the policy runs by PyTorch eager on cpu' in (tmp_path / 'log').read_text()


def test_a_policy_without_what_only_the_critics_see_is_given_its_own_numbers(tmp_path):
    hidden = ['task.target.x', 'task.target.y']
    with inference_node(tmp_path, 'clock=lockstep', f'observation.critic_only=[{", ".join(hidden)}]') as (graph, _):
        policy = make_policy(graph.specs.without_state(hidden))
        assert graph.publish_weights(policy.to_bytes(1)) == 1
        observation = graph.observe(NS_PER_S)
        observation.state = observation.state[:-2]
        np.testing.assert_allclose(graph.action_for(NS_PER_S), policy.act(observation)[0], atol=1e-4)


def test_a_chunk_is_played_step_by_step_with_its_noise_told_once_and_left_when_an_episode_begins(tmp_path):
    """Plans at the steps marked *, each of three actions and two states: *1 2 3 *4 5 | *6."""
    settings = ['agent=base', 'base.chunk=3', 'base.hidden=[16]', 'base.observations=2']
    with inference_node(tmp_path, 'clock=lockstep', *settings) as (graph, _):
        config = load_config(CONFIG, [*SMALL, *settings])
        policy = Policy.build(graph.specs, shape_of_agent(config), 'base')
        for parameter in policy.network.parameters():
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
        assert graph.publish_weights(policy.to_bytes(1)) == 1
        states, plans = {}, {1: [1, 1], 4: [3, 4], 6: [6, 6]}
        planned = np.zeros((3, 3))
        for step, begins in enumerate([1, 1, 1, 4, 4, 6], 1):
            stamp = step * NS_PER_S
            states[step] = graph.observe(stamp, seed=step, resets=1.0 if step < 6 else 2.0).state
            action = graph.action_for(stamp)
            assert (stamp in graph.noises) == (step == begins)
            if step == begins:
                seen = graph.specs.observation.state.normalise(np.stack([states[s] for s in plans[step]]))
                noise = torch.from_numpy(graph.noises[stamp])[None]
                inputs = policy.network.inputs(torch.from_numpy(seen.astype(np.float32)).reshape(1, -1), {})
                decoded = policy.network.decode(inputs, noise).reshape(3, 3).numpy()
                planned = graph.specs.action.denormalise(decoded)
            np.testing.assert_allclose(action, planned[step - begins], atol=1e-5)


@pytest.mark.real_time
def test_what_is_planned_outlives_a_hold_for_want_of_an_action_but_no_other(tmp_path):
    """Otherwise a policy that plans for longer than the arm waits is held, plans anew, and is held again."""
    settings = ['agent=base', 'base.chunk=200', 'base.executed=100', 'base.hidden=[16]']
    with inference_node(tmp_path, 'clock=realtime', *settings) as (graph, _):
        policy = Policy.build(graph.specs, shape_of_agent(load_config(CONFIG, [*SMALL, *settings])), 'base')
        assert graph.publish_weights(policy.to_bytes(1)) == 1
        # Of the future, and so in time on the slowest machine.
        stamps = iter(range(graph.now() + MINUTE, graph.now() + 2 * MINUTE, NS_PER_S))

        def planned_anew() -> bool:
            stamp = next(stamps)
            graph.observe(stamp)
            graph.spin(0.3)
            return stamp in graph.noises

        assert any(planned_anew() for _ in range(20))
        for message in ('policy', 'hold: no action', 'hold: no action yet'):
            graph.say_safety(message)
            assert not any(planned_anew() for _ in range(3)), message
        graph.say_safety('hold: no episode')
        assert any(planned_anew() for _ in range(10))


def test_a_relative_policy_looks_from_where_the_episode_began(tmp_path):
    state = 'observation.state=[ee.x, ee.y, ee.z, ee.yaw, task.offset.x, task.offset.y, task.offset.z]'
    with inference_node(tmp_path, 'clock=lockstep', 'sac.relative_frame=true', state) as (graph, _):
        policy = make_policy(graph.specs, relative_frame=True)
        assert graph.publish_weights(policy.to_bytes(1)) == 1
        observations = []
        for number, (resets, began) in enumerate([(1.0, 0), (1.0, 0), (1.0, 0), (2.0, 3), (2.0, 3)]):
            stamp = (number + 1) * NS_PER_S
            observations.append(graph.observe(stamp, seed=number, resets=resets))
            expected = policy.act(observations[-1], start=observations[began].state)[0]
            np.testing.assert_allclose(graph.action_for(stamp), expected, atol=1e-4)
