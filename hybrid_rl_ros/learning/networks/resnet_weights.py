"""Reading a ResNet's published weights: safetensors with the names of torchvision, which timm shares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import safetensors
import torch
from torch import Tensor

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.resnet import ChannelAffine, ResnetEncoder

# What wrappers put before the names: DataParallel, Lightning, a detector's backbone.
PREFIX = r'((?:(?:model|backbone|module)\.)*)'
TRUNK = re.compile(r'(conv1|bn1|layer\d+)\.')
# Of the batch normalisation in PyTorch, and so of every published ResNet.
EPSILON = 1e-5


def load_weights(encoders: Encoders, path: Path) -> None:
    """Give every camera's trunk the weights in a file. Raises UserError for a file that does not fit."""
    found = _trunk_of(_read(path), path)
    for _, encoder in encoders.each():
        resnet = cast(ResnetEncoder, encoder).resnet
        resnet.load_state_dict(_fitted(resnet, found, path), strict=True)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(path, 'pt') as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except OSError as error:
        raise UserError(f'encoder.weights: {path.resolve()}: cannot be read: {error.strerror or error}') from None
    except safetensors.SafetensorError as error:
        raise UserError(f'encoder.weights: {path.resolve()}: expected a safetensors file ({error})') from None


def _trunk_of(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The trunk's tensors by their names without the wrappers'; classifiers and counters are left out."""
    stems = {match[1] for name in tensors if (match := re.fullmatch(PREFIX + r'conv1\.weight', name))}
    if len(stems) > 1:
        raise UserError(f'encoder.weights: {path}: holds several ResNets: {", ".join(sorted(stems))}; expected one')
    if not stems:
        deep = any(re.fullmatch(PREFIX + r'conv1\.0\.weight', name) for name in tensors)
        why = 'its stem is deep (conv1.0.weight), as that of resnet10t or resnet18d' if deep else 'no conv1.weight'
        raise UserError(f"encoder.weights: {path}: {why}; expected torchvision's names, conv1.weight and so on")
    stem = stems.pop()
    names = {name: name.removeprefix(stem) for name in tensors if name.startswith(stem)}
    return {
        short: tensors[name].float()
        for name, short in names.items()
        if TRUNK.match(short) and not short.endswith('num_batches_tracked')
    }


def _fitted(resnet: torch.nn.Module, found: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """`found` as the network's own state, each batch normalisation's statistics and gains as one affine map."""
    own = resnet.state_dict()
    left = dict(found)

    def take(name: str, shape: torch.Size) -> Tensor:
        if name not in left:
            raise UserError(f'encoder.weights: {path}: {name} is missing; expected it of shape {tuple(shape)}')
        tensor = left.pop(name)
        if tensor.shape != shape or not torch.isfinite(tensor).all():
            what = f'is of shape {tuple(tensor.shape)}' if tensor.shape != shape else 'is not finite'
            raise UserError(f'encoder.weights: {path}: {name} {what}; expected shape {tuple(shape)}, finite')
        return tensor

    fitted = {name: value for name, value in own.items() if name.startswith('pixels.')}
    for name, module in resnet.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            fitted[f'{name}.weight'] = take(f'{name}.weight', module.weight.shape)
        elif isinstance(module, ChannelAffine) and name != 'pixels':
            parts = ('weight', 'bias', 'running_mean', 'running_var')
            gain, offset, mean, variance = (take(f'{name}.{part}', module.weight.shape) for part in parts)
            fitted[f'{name}.weight'] = gain / (variance + EPSILON).sqrt()
            fitted[f'{name}.bias'] = offset - mean * fitted[f'{name}.weight']
    if left:
        raise UserError(f'encoder.weights: {path}: {min(left)} has no place in encoder.kind; is it a larger ResNet?')
    return fitted
