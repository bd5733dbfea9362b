"""ResNet encoders: their arithmetic, the weights that they take from a file, and what is frozen of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from test_sac import make_batch, make_specs
from torch import Tensor, nn

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.resnet import KERNELS, ResNet, SpatialEmbeddings
from hybrid_rl_ros.learning.networks.resnet_weights import load_weights
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import PolicyShape

SPECS = make_specs(cameras=('front', 'wrist'))


def published_weights(kind: str = 'resnet10') -> dict[str, Tensor]:
    """Random tensors with the names and shapes of torchvision's state dict."""
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {'fc.weight': torch.zeros(1000, 512), 'fc.bias': torch.zeros(1000)}
    for name, module in ResNet(kind, fixed_norm=True).named_modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            weights[f'{name}.weight'] = torch.randn(module.weight.shape, generator=generator) / fan_in**0.5
        elif hasattr(module, 'bias') and name != 'pixels':
            for part in ('weight', 'bias', 'running_mean', 'running_var'):
                weights[f'{name}.{part}'] = torch.rand(module.bias.shape, generator=generator) + 0.5
            weights[f'{name}.num_batches_tracked'] = torch.tensor(7)
    return weights


def make_encoders(kind: str = 'resnet10', fixed_norm: bool = True) -> Encoders:
    shape = PolicyShape(features=8, hidden=[16], encoder=kind, fixed_norm=fixed_norm)
    return Encoders(SPECS.observation.images, shape)


def write(folder: Path, weights: dict[str, Tensor]) -> Path:
    safetensors.torch.save_file(weights, folder / 'weights.safetensors')
    return folder / 'weights.safetensors'


def images(count: int = 3, size: int = 64) -> Tensor:
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def reference_map(weights: dict[str, Tensor], pixels: Tensor, blocks: int) -> Tensor:
    """He et al. 2016 with batch normalisation as PyTorch evaluates it, written out."""

    def normalised(x: Tensor, name: str) -> Tensor:
        mean, variance, gain, offset = (
            weights[f'{name}.{part}'] for part in ('running_mean', 'running_var', 'weight', 'bias')
        )
        return F.batch_norm(x, mean, variance, gain, offset)

    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((pixels / 255.0 - mean) / deviation).permute(0, 3, 1, 2)
    x = F.relu(normalised(F.conv2d(x, weights['conv1.weight'], stride=2, padding=3), 'bn1'))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in range(blocks):
            name, stride = f'layer{stage}.{block}', 2 if stage > 1 and block == 0 else 1
            inner = F.conv2d(x, weights[f'{name}.conv1.weight'], stride=stride, padding=1)
            inner = F.conv2d(F.relu(normalised(inner, f'{name}.bn1')), weights[f'{name}.conv2.weight'], padding=1)
            if f'{name}.downsample.0.weight' in weights:
                x = normalised(
                    F.conv2d(x, weights[f'{name}.downsample.0.weight'], stride=stride), f'{name}.downsample.1'
                )
            x = F.relu(normalised(inner, f'{name}.bn2') + x)
    return x


def test_resnet18_has_as_many_parameters_as_the_published_one_without_its_classifier():
    count = sum(parameter.numel() for parameter in ResNet('resnet18', fixed_norm=False).parameters())
    assert count == 11_689_512 - 513_000


@pytest.mark.parametrize(('kind', 'blocks'), [('resnet10', 1), ('resnet18', 2)])
def test_loaded_weights_give_the_map_of_the_network_that_they_are_of(tmp_path, kind, blocks):
    encoders, weights = make_encoders(kind), published_weights(kind)
    load_weights(encoders, write(tmp_path, weights))
    with torch.no_grad():
        expected = reference_map(weights, images(), blocks)
        found = encoders.trunks({'front': images(), 'wrist': images()})
    assert expected.shape == (3, 512, 2, 2)
    for camera in ('front', 'wrist'):
        torch.testing.assert_close(found[camera], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    front, wrist = (dict(encoder.named_parameters()) for _, encoder in encoders.each())
    assert all(front[name].data_ptr() != wrist[name].data_ptr() for name in front), 'a copy for each camera'


def test_wrappers_prefixes_classifiers_and_other_heads_are_seen_through(tmp_path):
    weights = published_weights()
    wrapped = {f'module.backbone.{name}': value for name, value in weights.items()} | {'head.weight': torch.ones(3)}
    plain, other = make_encoders(), make_encoders()
    load_weights(plain, write(tmp_path, weights))
    load_weights(other, write(tmp_path, wrapped))
    for ours, theirs in zip(plain.each(), other.each()):
        assert all(torch.equal(a, b) for a, b in zip(ours[1].resnet.parameters(), theirs[1].resnet.parameters()))


def without(name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        (without('layer2.0.downsample.0.weight'), r'layer2.0.downsample.0.weight is missing; .* \(128, 64, 1, 1\)'),
        (without('bn1.running_var'), r'bn1.running_var is missing'),
        (lambda w: w | {'conv1.weight': torch.ones(64, 3, 3, 3)}, r'conv1.weight is of shape \(64, 3, 3, 3\); .*7, 7'),
        (lambda w: w | {'bn1.bias': torch.full((64,), float('nan'))}, 'bn1.bias is not finite'),
        (lambda w: w | {'layer1.1.conv1.weight': torch.ones(1)}, 'layer1.1.conv1.weight has no place in encoder.kind'),
        (lambda w: without('conv1.weight')(w) | {'conv1.0.weight': torch.ones(1)}, 'its stem is deep .*resnet10t'),
        (lambda w: {'embedder.weight': torch.ones(1)}, 'no conv1.weight'),
        (lambda w: w | {'module.conv1.weight': torch.ones(1)}, 'holds several ResNets'),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_one_line_that_names_the_tensor(tmp_path, change, complaint):
    path = write(tmp_path, change(published_weights()))
    with pytest.raises(UserError, match=complaint) as refused:
        load_weights(make_encoders(), path)
    assert str(path) in str(refused.value) and '\n' not in str(refused.value)


def test_a_file_that_is_gone_or_of_another_format_is_refused_with_one_line(tmp_path):
    (tmp_path / 'resnet.pth').write_bytes(b'PK\x03\x04 a pickle')
    for name, complaint in (('gone.safetensors', 'cannot be read'), ('resnet.pth', 'expected a safetensors file')):
        with pytest.raises(UserError, match=complaint) as refused:
            load_weights(make_encoders(), tmp_path / name)
        assert str(tmp_path / name) in str(refused.value) and '\n' not in str(refused.value)


def test_a_frames_map_does_not_depend_on_the_frames_beside_it():
    network = ResNet('resnet10', fixed_norm=False)
    together, alone = network(images(4)), network(images(4)[2:3])
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-4)


def test_a_kernel_that_is_one_at_one_place_reads_that_place():
    head = SpatialEmbeddings(channels=5, places=6)
    maps = torch.randn(4, 5, 2, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        head.kernels.zero_()
        head.kernels[:, 4, 2] = 1.0
        read = head(maps).unflatten(1, (5, KERNELS))
    assert torch.equal(read[:, :, 2], maps[:, :, 1, 1]) and read.abs().sum() == read[:, :, 2].abs().sum()


def test_the_critics_train_the_head_of_a_frozen_trunk_and_nothing_else_of_the_encoder():
    specs = make_specs(cameras=('front',))
    encoder = {'kind': 'resnet10', 'features': 8}
    config = Config.model_validate({'sac': {'hidden': [16]}, 'encoder': encoder, 'train': {'compile': 'off'}})
    agent, batch = SacAgent(specs, config, 'cpu'), make_batch(8, cameras=('front',))
    with torch.no_grad():
        batch.views = batch.next_views = {c: m.half() for c, m in agent.encoders.trunks(batch.views).items()}
    before = {name: value.clone() for name, value in agent.encoders.state_dict().items()}
    agent.update(batch, 1)
    for name, value in agent.encoders.state_dict().items():
        assert torch.equal(value, before[name]) == ('.resnet.' in name), name
    again = Policy.from_bytes(agent.policy().to_bytes(1))
    assert all(
        torch.equal(again.network.state_dict()[f'encoders.{name}'], agent.encoders.state_dict()[name])
        for name in before
    )
