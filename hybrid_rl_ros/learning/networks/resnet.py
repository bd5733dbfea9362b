"""ResNet-10 and ResNet-18 as encoders: a trunk that ends in a map, and a head of learned weightings of its places."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import ImageSpec
from hybrid_rl_ros.learning.policies.shape import PolicyShape

BLOCKS = {'resnet10': (1, 1, 1, 1), 'resnet18': (2, 2, 2, 2)}
WIDTHS = (64, 128, 256, 512)
CHANNELS_PER_GROUP = 16
# Weightings per channel, as SERL has them.
KERNELS = 8
# Per channel, of pixels in [0, 1]: what published weights expect, and what spreads them over [-1, 1].
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CENTRED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class ChannelAffine(nn.Module):
    """(B, C, H, W) times `weight` plus `bias`, both (C,) and never trained: a batch normalisation that stands still."""

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Not parameters: they are statistics of other images, and follow no gradient and no moving average.
        self.register_buffer('weight', torch.ones(channels))
        self.register_buffer('bias', torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class GroupNorm(nn.GroupNorm):
    """In fp32 where the rest is in bf16, as autocast has it on a GPU.

    On a CPU it leaves them in bf16, and then inductor (PyTorch 2.13) writes C++ that does not compile: where a block
    adds the outputs of two of them, both biases' gradients are the same sum, stored twice under one name.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; names as torchvision has them."""

    def __init__(self, inputs: int, width: int, stride: int, fixed_norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = _norm(width, fixed_norm)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = _norm(width, fixed_norm)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), _norm(width, fixed_norm))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class ResNet(nn.Module):
    """(B, H, W, 3) uint8 to the last stage's map (B, 512, H / 32, W / 32), rounded up.

    `fixed_norm`, for published weights: their batch normalisation with its running statistics, and ImageNet's scaling
    of pixels. Without, group normalisation: a moving average of weights is a network again, and a frame's features do
    not depend on the frames beside it.
    """

    def __init__(self, kind: str, fixed_norm: bool) -> None:
        super().__init__()
        self.pixels = ChannelAffine(3)
        mean, deviation = map(torch.tensor, IMAGENET if fixed_norm else CENTRED)
        self.pixels.weight.copy_(1.0 / (255.0 * deviation))
        self.pixels.bias.copy_(-mean / deviation)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = _norm(64, fixed_norm)
        inputs = WIDTHS[0]
        for stage, (blocks, width) in enumerate(zip(BLOCKS[kind], WIDTHS), start=1):
            layers = []
            for block in range(blocks):
                layers.append(BasicBlock(inputs, width, 2 if stage > 1 and block == 0 else 1, fixed_norm))
                inputs = width
            self.add_module(f'layer{stage}', nn.Sequential(*layers))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, images: Tensor) -> Tensor:
        x = self.pixels(images.permute(0, 3, 1, 2).float())
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f'layer{stage}')(x)
        return x


class SpatialEmbeddings(nn.Module):
    """A map (B, C, H, W) to (B, C * KERNELS): every channel's values weighted by place, KERNELS times."""

    def __init__(self, channels: int, places: int) -> None:
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(channels, places, KERNELS) / math.sqrt(places))

    def forward(self, maps: Tensor) -> Tensor:
        by_channel = maps.flatten(2).to(self.kernels.dtype).transpose(0, 1)
        return torch.bmm(by_channel, self.kernels).transpose(0, 1).flatten(1)


class ResnetEncoder(nn.Module):
    """(B, H, W, 3) uint8, or the map that `trunk` made of it, to (B, features) in [-1, 1]."""

    def __init__(self, spec: ImageSpec, shape: PolicyShape) -> None:
        super().__init__()
        self.resnet = ResNet(shape.encoder, shape.fixed_norm)
        places = math.ceil(spec.height / 32) * math.ceil(spec.width / 32)
        self.head = nn.Sequential(
            SpatialEmbeddings(WIDTHS[-1], places),
            nn.Linear(WIDTHS[-1] * KERNELS, shape.features),
            nn.LayerNorm(shape.features),
            nn.Tanh(),
        )

    def trunk(self, images: Tensor) -> Tensor:
        return self.resnet(images)

    def forward(self, view: Tensor) -> Tensor:
        return self.head(self.resnet(view) if view.dtype == torch.uint8 else view)

    def trunk_parameters(self) -> list[nn.Parameter]:
        return list(self.resnet.parameters())


def _norm(channels: int, fixed: bool) -> nn.Module:
    return ChannelAffine(channels) if fixed else GroupNorm(channels // CHANNELS_PER_GROUP, channels)
