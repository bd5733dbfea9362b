"""One encoder per camera: a trunk, which may be frozen and its output kept, and a head on top of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import ImageSpec
from hybrid_rl_ros.learning.networks.keypoints import KeypointEncoder
from hybrid_rl_ros.learning.networks.resnet import ResnetEncoder
from hybrid_rl_ros.learning.policies.shape import PolicyShape


class SmallEncoder(nn.Module):
    """(B, H, W, 3) uint8 to (B, features) in [-1, 1], all of it trunk: convolutions 4x4/4 and 3x3/2, a linear layer."""

    def __init__(self, spec: ImageSpec, features: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten()
        )
        with torch.no_grad():
            width = self.convolutions(torch.zeros(1, 3, spec.height, spec.width)).shape[1]
        self.head = nn.Sequential(nn.Linear(width, features), nn.LayerNorm(features), nn.Tanh())

    def trunk(self, images: Tensor) -> Tensor:
        scaled = images.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return self.head(self.convolutions(scaled))

    def forward(self, view: Tensor) -> Tensor:
        return self.trunk(view) if view.dtype == torch.uint8 else view

    def trunk_parameters(self) -> list[nn.Parameter]:
        return list(self.parameters())


Encoder = SmallEncoder | KeypointEncoder | ResnetEncoder


class Encoders(nn.Module):
    """All cameras' encoders; {camera: (B, H, W, 3) uint8, or what `trunks` made of it} to (B, cameras * features)."""

    def __init__(self, specs: tuple[ImageSpec, ...], shape: PolicyShape) -> None:
        super().__init__()
        self.cameras = nn.ModuleDict({spec.camera: _encoder(spec, shape) for spec in specs})
        self.width = shape.features * len(specs)

    def forward(self, views: dict[str, Tensor], batch: int) -> Tensor:
        if not self.cameras:
            return torch.zeros(batch, 0, device=self.device)
        return torch.cat([encoder(views[camera]) for camera, encoder in self.cameras.items()], dim=-1)

    def trunks(self, images: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is kept of frames whose trunks are frozen."""
        return {camera: encoder.trunk(images[camera]) for camera, encoder in self.each()}

    def freeze_trunks(self) -> None:
        for _, encoder in self.each():
            for parameter in encoder.trunk_parameters():
                parameter.requires_grad_(False)

    def each(self) -> Iterable[tuple[str, Encoder]]:
        return cast('Iterable[tuple[str, Encoder]]', self.cameras.items())

    @property
    def device(self) -> torch.device:
        return next((parameter.device for parameter in self.parameters()), torch.device('cpu'))


def _encoder(spec: ImageSpec, shape: PolicyShape) -> Encoder:
    if shape.encoder == 'small':
        return SmallEncoder(spec, shape.features)
    if shape.encoder == 'keypoints':
        return KeypointEncoder(spec, shape.features, shape.stride)
    return ResnetEncoder(spec, shape)
