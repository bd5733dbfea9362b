"""Acting as a base policy: which actions of a chunk are done, and what real-time iteration begins with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_sac import make_specs

from hybrid_rl_ros.config import Config, InferenceConfig
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.learning.acting import Moment, PolicyActor
from hybrid_rl_ros.learning.policies.base_actor import BaseActor
from hybrid_rl_ros.learning.policies.base_file import base_policy
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork, base_shape_of
from hybrid_rl_ros.learning.policies.warm_start import WarmStart

SPECS = make_specs(states=2, actions=2)


def make_network(**base) -> BaseNetwork:
    torch.manual_seed(0)
    config = Config.model_validate({'base': {'hidden': [16], 'chunk': 6, 'executed': 2, **base}})
    return BaseNetwork(SPECS, base_shape_of(config)).requires_grad_(False).eval()


def observation(value: float) -> Observation:
    return Observation(np.full(2, value, np.float32))


def play(actor: BaseActor, values: list[float]) -> np.ndarray:
    return np.stack([actor.act(observation(value)) for value in values])


def test_a_guess_is_what_is_left_with_its_tail_repeated():
    warm = WarmStart()
    chunk = np.arange(8.0).reshape(4, 2)
    assert warm.guess(0) is None
    warm.keep(chunk, step=3)
    np.testing.assert_array_equal(warm.guess(3), chunk)
    np.testing.assert_array_equal(warm.guess(5), chunk[[2, 3, 3, 3]])


@pytest.mark.parametrize('step', [2, 7, 30])
def test_nothing_is_guessed_where_nothing_of_the_chunk_is_left(step):
    warm = WarmStart()
    warm.keep(np.zeros((4, 2)), step=3)
    assert warm.guess(step) is None


def test_an_episode_does_not_begin_with_the_end_of_the_last_one():
    warm = WarmStart()
    warm.keep(np.zeros((4, 2)), step=0)
    warm.reset()
    assert warm.guess(0) is None


def test_the_first_actions_of_each_chunk_are_done_and_a_new_one_is_of_what_is_seen_then():
    network, values = make_network(), [0.1, 0.7, -0.5, 0.3]
    actions = play(BaseActor(network, SPECS, seed=5), values)
    generator = torch.Generator().manual_seed(5)
    for begin in (0, 2):
        inputs = network.inputs(torch.full((1, 2), values[begin] / 2.0), {})
        chunk = network.decode(inputs, torch.randn(1, 12, generator=generator)).reshape(6, 2)
        np.testing.assert_allclose(actions[begin : begin + 2], 2.0 * chunk[:2], atol=1e-6)


def test_a_history_repeats_the_first_state_and_holds_the_newest_last():
    network = make_network(observations=3, executed=1)
    states = []
    inputs = network.inputs
    network.inputs = lambda state, views: states.append(2.0 * state[0, ::2].numpy()) or inputs(state, views)
    actor = BaseActor(network, SPECS, seed=0)
    play(actor, [0.1, 0.2, 0.3, 0.4])
    actor.reset()
    play(actor, [0.5])
    expected = [[0.1, 0.1, 0.1], [0.1, 0.1, 0.2], [0.1, 0.2, 0.3], [0.2, 0.3, 0.4], [0.5, 0.5, 0.5]]
    np.testing.assert_allclose(states, expected, atol=1e-6)


@pytest.mark.parametrize('method', ['flow', 'ddpm'])
def test_only_an_episodes_first_chunk_is_made_from_noise(method):
    actor = BaseActor(make_network(method=method, refine=2), SPECS, seed=0)
    play(actor, [0.0] * 6)
    assert actor.calls == 10 + 2 + 2
    actor.reset()
    play(actor, [0.0] * 2)
    assert actor.calls == 14 + 10, 'after a reset, a full pass'


def test_a_refined_chunk_begins_as_the_rest_of_the_last_one_shifted_by_the_steps_done():
    network = make_network(refine=2)
    guesses = []
    refine = network.refine
    network.refine = lambda inputs, guess, noise: guesses.append(guess.clone()) or refine(inputs, guess, noise)
    actor = BaseActor(network, SPECS, seed=5)
    play(actor, [0.3] * 3)
    inputs = network.inputs(torch.full((1, 2), 0.15), {})
    noise = torch.randn(1, 12, generator=torch.Generator().manual_seed(5))
    chunk = network.decode(inputs, noise).reshape(6, 2)
    torch.testing.assert_close(guesses[0].reshape(6, 2), chunk[[2, 3, 4, 5, 5, 5]])


def test_refining_all_of_the_way_of_a_flow_is_decoding():
    network = make_network(refine=9, refine_share=1.0)
    inputs, noise = network.inputs(torch.randn(3, 2), {}), torch.randn(3, 12)
    refined = network.refine(inputs, torch.rand(3, 12), noise)
    network.sample_as(network.shape.model_copy(update={'steps': 9}))
    torch.testing.assert_close(refined, network.decode(inputs, noise))


def test_without_deviation_the_noise_is_zero():
    network = make_network(executed=6)
    actions = play(BaseActor(network, SPECS, seed=1, deviation=0.0), [0.4] * 6)
    chunk = network.decode(network.inputs(torch.full((1, 2), 0.2), {}), torch.zeros(1, 12))
    np.testing.assert_allclose(actions, 2.0 * chunk.reshape(6, 2), atol=1e-6)


def test_a_mean_flow_has_nothing_to_refine():
    with pytest.raises(ValueError, match='saves nothing'):
        make_network(method='mean_flow', refine=1)


@pytest.mark.parametrize('engine', ['eager', 'onnx'])
@pytest.mark.parametrize('method', ['flow', 'ddpm'])
def test_inference_node_iterates_as_the_actor_without_ros_does(engine, method):
    network = make_network(method=method, refine=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3.0)
    actor = PolicyActor(SPECS, InferenceConfig(engine=engine), seed=0, deterministic=True)
    actor.use(base_policy(network, SPECS).to_bytes(1), 'test')
    values = [0.1, 0.7, -0.5, 0.3, 0.2, 0.9]
    for stretch in range(2):
        alone = play(BaseActor(network, SPECS, seed=0, deviation=0.0), values)
        moments = [Moment(stretch, 100 + step) for step in (0, 2, 4)]
        planned = [actor.plan(observation(values[m.step - 100]), moment=m).actions[:2] for m in moments]
        # DDPM's first steps divide by a signal share of 0.15, and so multiply rounding.
        np.testing.assert_allclose(np.concatenate(planned), alone, atol=1e-5 if method == 'flow' else 1e-3)
    from_noise = actor.plan(observation(values[4])).actions
    assert np.abs(from_noise[:2] - planned[-1]).max() > 5e-3
    for moment in (Moment(1, 100), Moment(2, 105)):
        again = actor.plan(observation(values[4]), moment=moment).actions
        np.testing.assert_array_equal(again, from_noise)
