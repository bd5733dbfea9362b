"""Where things are: feature points in the image (Levine et al. 2016, end-to-end training of visuomotor policies)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import ImageSpec

# Of the first convolution, times its stride: what a coarser map saves, its features must not cost.
CHANNELS_TIMES_STRIDE = 64
# Of the first update: a map's largest value, some four deviations up, outweighs all others together.
SHARPNESS = 4.0


class KeypointEncoder(nn.Module):
    """(B, H, W, 3) uint8 to (B, features) in [-1, 1]: x and y of features / 2 points, all of it trunk.

    Each point is the mean place under the softmax of one map, which is standardised over the image first: how sharp it
    looks then does not depend on the first weights, and a handful of demonstrations moves it to what matters. The maps
    are `stride` pixels apart.
    """

    def __init__(self, spec: ImageSpec, features: int, stride: int = 2) -> None:
        super().__init__()
        points, channels = features // 2, CHANNELS_TIMES_STRIDE // stride
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, channels, 5, stride=stride, padding=2), nn.ReLU(), nn.Conv2d(channels, points, 3, padding=1)
        )
        self.log_sharpness = nn.Parameter(torch.full((points, 1), math.log(SHARPNESS)))
        height, width = math.ceil(spec.height / stride), math.ceil(spec.width / stride)
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing='ij')
        self.places: Tensor
        self.register_buffer('places', torch.stack([x.flatten(), y.flatten()], dim=1))

    def trunk(self, images: Tensor) -> Tensor:
        scaled = images.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        maps = self.convolutions(scaled).flatten(2).float()
        spread = (maps.var(-1, keepdim=True) + 1e-6).sqrt()
        weights = torch.softmax((maps - maps.mean(-1, keepdim=True)) / spread * self.log_sharpness.exp(), dim=-1)
        return (weights @ self.places).flatten(1)

    def forward(self, view: Tensor) -> Tensor:
        return self.trunk(view) if view.dtype == torch.uint8 else view

    def trunk_parameters(self) -> list[nn.Parameter]:
        return list(self.parameters())
