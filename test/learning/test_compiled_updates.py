"""A compiled update gives the numbers of the plain one, and Adam those of PyTorch's."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from test_sac import make_batch, make_specs
from torch._dynamo.exc import TorchDynamoException
from torch.func import functional_call, grad

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.compiling import Compiled
from hybrid_rl_ros.learning.networks.adam import Adam, Parameters
from hybrid_rl_ros.learning.networks.resnet import BasicBlock


def make_agent(how: str, precision: str = 'fp32', mode: str = 'end_to_end', kind: str = 'small') -> SacAgent:
    sac = {'hidden': [32, 32], 'critics': 4, 'critic_subset': 2, 'critic_updates_per_actor_update': 2}
    train = {'compile': how, 'precision': precision}
    config = Config.model_validate({'sac': sac, 'encoder': {'mode': mode, 'features': 8, 'kind': kind}, 'train': train})
    return SacAgent(make_specs(cameras=('front',)), config, 'cpu')


@pytest.fixture(autouse=True)
def compiling(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The other tests run without."""
    monkeypatch.delenv('TORCHDYNAMO_DISABLE', raising=False)
    with torch._dynamo.config.patch(disable=False):
        yield


def test_adam_is_pytorchs_adam():
    generator = torch.Generator().manual_seed(0)
    ours = {'a': torch.randn(5, 3, generator=generator), 'b': torch.randn(3, generator=generator)}
    theirs = [torch.nn.Parameter(value.clone()) for value in ours.values()]
    adam, peer = Adam(ours, 1e-2), torch.optim.Adam(theirs, 1e-2)
    for _ in range(50):
        gradients = {name: torch.randn(value.shape, generator=generator) for name, value in ours.items()}
        for parameter, gradient in zip(theirs, gradients.values()):
            parameter.grad = gradient.clone()
        adam.step(ours, gradients)
        peer.step()
    for value, parameter in zip(ours.values(), theirs):
        assert torch.allclose(value, parameter, atol=1e-6)


@pytest.mark.slow
def test_thirty_compiled_updates_end_where_plain_ones_do():
    agents = {how: make_agent(how) for how in ('on', 'off')}
    for agent in agents.values():
        for _ in range(15):
            metrics = agent.update(make_batch(32, cameras=('front',)), 2)
        assert metrics['critic_loss'] > 0
    compiled, plain = agents['on'].state_dict(), agents['off'].state_dict()
    assert compiled.keys() == plain.keys()
    for name, value in plain.items():
        assert torch.allclose(compiled[name].float(), value.float(), atol=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['frozen', pytest.param('end_to_end', marks=pytest.mark.long)])
def test_compiled_updates_of_a_resnet_end_where_plain_ones_do(mode):
    agents = {how: make_agent(how, mode=mode, kind='resnet10') for how in ('on', 'off')}
    for agent in agents.values():
        batch = make_batch(16, cameras=('front',))
        if mode == 'frozen':
            maps = {camera: values.half() for camera, values in agent.encoders.trunks(batch.views).items()}
            batch.views = batch.next_views = maps
        for _ in range(3):
            agent.update(batch, 2)
    compiled, plain = agents['on'].state_dict(), agents['off'].state_dict()
    for name, value in plain.items():
        # The first steps of Adam are of the learning rate's size whatever the gradient's, and of its sign.
        assert torch.allclose(compiled[name].float(), value.float(), atol=2e-3), name


@pytest.mark.slow
def test_a_resnets_block_compiles_with_its_gradient_in_16_bits():
    block = BasicBlock(32, 64, 2, fixed_norm=False).to(memory_format=torch.channels_last)

    def loss(parameters: Parameters, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast('cpu', torch.bfloat16):
            return functional_call(block, parameters, (x,)).float().square().mean()

    def gradients(x: torch.Tensor) -> Parameters:
        return grad(loss)(dict(block.named_parameters()), x)

    x = torch.randn(4, 32, 16, 16, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    plain = gradients(x)
    for name, value in Compiled(gradients, 'on', 'cpu')(x).items():
        assert (value - plain[name]).norm() < 0.02 * plain[name].norm(), name


def test_16_bits_learn_much_the_same():
    states = {}
    for precision in ('fp32', 'bf16'):
        agent = make_agent('off', precision)
        for _ in range(10):
            agent.update(make_batch(64, cameras=('front',)), 2)
        states[precision] = agent.state_dict()
    assert all(value.dtype == states['fp32'][name].dtype for name, value in states['bf16'].items())
    for name, value in states['fp32'].items():
        if name.startswith('network/actor'):
            assert torch.allclose(states['bf16'][name], value, atol=0.02), name


def test_what_cannot_be_compiled_runs_as_it_is_unless_it_was_asked_for():
    def breaks_the_graph(value: torch.Tensor) -> torch.Tensor:
        return value + float(copy.deepcopy(print) is print) if value.sum().item() > 0 else value

    assert Compiled(breaks_the_graph, 'auto', 'cpu')(torch.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(UserError, match='train.compile=on: the update cannot be compiled here'):
        Compiled(breaks_the_graph, 'on', 'cpu')(torch.ones(2))


def test_what_a_compiler_complains_of_is_named_and_not_its_command(monkeypatch):
    def refused(*_: object) -> None:
        command, complaint = '-D MACRO ' * 100, "x.cpp:122: error: conflicting declaration 'auto a'"
        raise TorchDynamoException(f'CppCompileError: C++ compile error\n\nCommand:\n{command}\n{complaint}')

    monkeypatch.setattr(torch, 'compile', lambda *_, **__: refused)
    with pytest.raises(UserError, match="here: CppCompileError: C.*error: conflicting declaration 'auto a'$") as raised:
        Compiled(torch.neg, 'on', 'cpu')(torch.ones(2))
    assert '\n' not in str(raised.value) and len(str(raised.value)) < 400
