"""Every engine gives what the network gives, before and after a swap of weights."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from test_sac import make_specs

from hybrid_rl_ros.config import InferenceConfig
from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.acting import PolicyActor
from hybrid_rl_ros.learning.engines import onnx_runtime
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import PolicyShape

MLP, TWO_CAMERAS = make_specs(states=7, actions=4), make_specs(states=7, actions=4, cameras=('front', 'wrist'))
SHAPE = PolicyShape(features=16, hidden=[64, 64])
EAGER, ONNX = InferenceConfig(engine='eager'), InferenceConfig(engine='onnx')
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
ENGINES = [pytest.param(ONNX, id='onnx'), pytest.param(InferenceConfig(device='cuda'), id='cuda', marks=needs_gpu)]
both_specs = pytest.mark.parametrize('specs', [MLP, TWO_CAMERAS], ids=['mlp', 'two cameras'])


def make_policy(specs: Specs, seed: int) -> Policy:
    """Of weights that are all different, biases and gains too, with actions all over the range."""
    policy = Policy.build(specs, SHAPE, 'sac')
    generator = torch.Generator().manual_seed(seed)
    for parameter in policy.network.parameters():
        parameter.normal_(std=0.3, generator=generator)
    return policy


def observations(specs: Specs, count: int = 10) -> list[Observation]:
    rng = np.random.default_rng(0)
    return [
        Observation(
            rng.uniform(-2, 2, len(specs.observation.state)).astype(np.float32),
            {image.camera: rng.integers(0, 256, image.shape, dtype=np.uint8) for image in specs.observation.images},
        )
        for _ in range(count)
    ]


def make_actor(specs: Specs, config: InferenceConfig, deterministic: bool = True, seed: int = 3) -> PolicyActor:
    actor = PolicyActor(specs, config, seed, deterministic)
    actor.prepare(SHAPE, 'sac')
    return actor


def actions(actor: PolicyActor, specs: Specs) -> np.ndarray:
    return np.concatenate([actor.act(observation) for observation in observations(specs)])


@both_specs
@pytest.mark.parametrize('config', [pytest.param(EAGER, id='eager'), *ENGINES])
def test_an_engine_gives_the_policys_own_mode_and_samples(specs, config):
    policy = make_policy(specs, seed=1)
    for deterministic in (True, False):
        actor = make_actor(specs, config, deterministic)
        actor.use(policy.to_bytes(1), 'test')
        generator = torch.Generator().manual_seed(3)
        expected = [policy.act(observation, deterministic, generator) for observation in observations(specs)]
        np.testing.assert_allclose(actions(actor, specs), np.concatenate(expected), atol=1e-5)


@pytest.mark.parametrize('fixed_norm', [False, True], ids=['from scratch', 'loaded'])
@pytest.mark.parametrize('config', ENGINES)
def test_a_resnet_acts_the_same_by_every_engine(config, fixed_norm):
    specs = make_specs(states=7, actions=4, cameras=('front',), size=64)
    shape = PolicyShape(features=16, hidden=[64], encoder='resnet10', fixed_norm=fixed_norm)
    actor = PolicyActor(specs, config, 3, deterministic=True)
    actor.prepare(shape, 'sac')
    for version in (1, 2):
        policy = Policy.build(specs, shape, 'sac')
        actor.use(policy.to_bytes(version), 'test')
        expected = [policy.act(observation) for observation in observations(specs, 3)]
        found = [actor.act(observation) for observation in observations(specs, 3)]
        np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), atol=1e-5)


@both_specs
@pytest.mark.parametrize('config', ENGINES)
def test_swapped_weights_act_as_if_they_had_been_the_first(specs, config):
    first, second = make_policy(specs, seed=1), make_policy(specs, seed=2)
    actor, fresh, eager = (make_actor(specs, c) for c in (config, config, EAGER))
    actor.use(first.to_bytes(1), 'test')
    before = actions(actor, specs)
    actor.use(second.to_bytes(2), 'test')
    fresh.use(second.to_bytes(2), 'test')
    eager.use(second.to_bytes(2), 'test')
    np.testing.assert_array_equal(actions(actor, specs), actions(fresh, specs))
    np.testing.assert_allclose(actions(actor, specs), actions(eager, specs), atol=1e-5)
    actor.use(first.to_bytes(3), 'test')
    np.testing.assert_array_equal(actions(actor, specs), before)


def test_the_same_seed_gives_the_same_samples_to_the_bit():
    data = make_policy(TWO_CAMERAS, seed=1).to_bytes(1)
    runs = []
    for _ in range(2):
        actor = make_actor(TWO_CAMERAS, ONNX, deterministic=False)
        actor.use(data, 'test')
        runs.append(actions(actor, TWO_CAMERAS))
    np.testing.assert_array_equal(*runs)


def test_the_graph_is_exported_once_for_an_architecture_and_again_for_another():
    actor = make_actor(MLP, ONNX)
    prepared = actor.engine
    for version in (1, 2):
        actor.use(make_policy(MLP, seed=version).to_bytes(version), 'test')
    assert actor.engine is prepared
    other = Policy.build(MLP, PolicyShape(features=16, hidden=[32]), 'sac')
    actor.use(other.to_bytes(3), 'test')
    assert actor.engine is not prepared
    observation = observations(MLP)[0]
    np.testing.assert_allclose(actor.act(observation), other.act(observation), atol=1e-5)


def test_an_action_is_not_overwritten_by_the_next_one():
    actor = make_actor(MLP, ONNX)
    actor.use(make_policy(MLP, seed=1).to_bytes(1), 'test')
    one, two = observations(MLP)[:2]
    first = actor.act(one)
    kept = first.copy()
    actor.act(two)
    np.testing.assert_array_equal(first, kept)


def test_without_onnxruntime_auto_acts_eagerly_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    monkeypatch.delitem(sys.modules, 'hybrid_rl_ros.learning.engines.onnx_runtime', raising=False)
    actor = make_actor(MLP, InferenceConfig())
    assert 'eager' in actor.engine.name and 'onnxruntime' in actor.engine.name
    with pytest.raises(UserError, match='pip install onnxruntime'):
        make_actor(MLP, ONNX)


def test_an_export_that_computes_something_else_is_not_used(monkeypatch):
    def export_wrongly(*arguments) -> bytes:
        with monkeypatch.context() as patch:
            patch.setattr(torch, 'tanh', torch.sigmoid)
            return export(*arguments)

    export = onnx_runtime._export
    monkeypatch.setattr(onnx_runtime, '_export', export_wrongly)
    actor = make_actor(MLP, InferenceConfig())
    assert 'eager' in actor.engine.name and 'differs from the network' in actor.engine.name


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')
def test_a_gpu_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match='inference.device=cuda'):
        make_actor(MLP, InferenceConfig(device='cuda'))


def test_onnx_on_a_gpu_is_refused_where_it_is_configured():
    with pytest.raises(ValueError, match='engine: onnx runs on device: cpu'):
        InferenceConfig(engine='onnx', device='cuda')
