"""The whole sampling loop of a base policy is one graph, whatever its method and denoiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_sac import make_specs

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.learning.bench_base import Decode, Refine
from hybrid_rl_ros.learning.bench_export import Exported
from hybrid_rl_ros.learning.networks.transformer import TransformerDenoiser
from hybrid_rl_ros.learning.networks.unet import UnetDenoiser
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork, base_shape_of

HIDDEN = {'mlp': [32, 32], 'unet': [8, 16], 'transformer': [16]}


def make_network(method: str, denoiser: str, **base) -> BaseNetwork:
    torch.manual_seed(0)
    settings = {'method': method, 'denoiser': denoiser, 'hidden': HIDDEN[denoiser], 'chunk': 5, 'steps': 3, **base}
    network = BaseNetwork(make_specs(states=2, actions=2), base_shape_of(Config.model_validate({'base': settings})))
    return network.requires_grad_(False).eval()


@pytest.mark.parametrize('denoiser', HIDDEN)
@pytest.mark.parametrize('method', ['ddpm', 'flow', 'mean_flow'])
def test_an_exported_sampler_gives_the_same_chunk_for_the_same_noise(method, denoiser):
    network = make_network(method, denoiser, observations=2)
    rng = np.random.default_rng(0)
    state, noise = (rng.standard_normal((1, width), np.float32) for width in (4, 10))
    exported = Exported(Decode(network), state=state, noise=noise)
    for _ in range(3):
        state, noise = (rng.standard_normal((1, width), np.float32) for width in (4, 10))
        expected = network.decode(network.inputs(torch.from_numpy(state), {}), torch.from_numpy(noise))
        np.testing.assert_allclose(exported(state, noise), expected.numpy(), atol=1e-4)


@pytest.mark.parametrize('method', ['ddpm', 'flow'])
def test_real_time_iteration_is_one_graph_too(method):
    rng = np.random.default_rng(0)
    state, noise, guess = (rng.standard_normal((1, width), np.float32) for width in (2, 10, 10))
    network = make_network(method, 'mlp', executed=2, refine=2)
    Exported(Refine(network), state=state, noise=noise, guess=guess)


@pytest.mark.parametrize('length', [1, 4, 5, 7])
def test_a_unet_takes_chunks_of_any_length(length):
    denoiser = UnetDenoiser(length, 2, 3, [8, 16, 16])
    noised = torch.randn(2, 2 * length)
    assert denoiser(noised, torch.zeros(2), torch.zeros(2, 3)).shape == noised.shape


@pytest.mark.parametrize('kind', [UnetDenoiser, TransformerDenoiser])
def test_every_action_of_a_chunk_may_depend_on_every_other(kind):
    torch.manual_seed(0)
    denoiser = kind(4, 2, 3, [8, 8])
    noised = torch.randn(1, 8, requires_grad=True)
    last = denoiser(noised, torch.zeros(1), torch.zeros(1, 3))[0, -1]
    gradient = torch.autograd.grad(last, noised)[0].reshape(4, 2)
    assert (gradient.abs().sum(dim=1) > 0).all()
