"""One small convolutional encoder per camera."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import ImageSpec


class CameraEncoder(nn.Module):
    """(B, H, W, 3) uint8 to (B, features) in [-1, 1]: conv 4x4/4, conv 3x3/2, linear, LayerNorm, tanh."""

    def __init__(self, spec: ImageSpec, features: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten()
        )
        with torch.no_grad():
            width = self.convolutions(torch.zeros(1, 3, spec.height, spec.width)).shape[1]
        self.head = nn.Sequential(nn.Linear(width, features), nn.LayerNorm(features), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        scaled = images.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return self.head(self.convolutions(scaled))


class Encoders(nn.Module):
    """All cameras' encoders; {camera: (B, H, W, 3) uint8} to (B, cameras * features)."""

    def __init__(self, specs: tuple[ImageSpec, ...], features: int) -> None:
        super().__init__()
        self.cameras = nn.ModuleDict({spec.camera: CameraEncoder(spec, features) for spec in specs})
        self.width = features * len(specs)

    def forward(self, images: dict[str, Tensor], batch: int) -> Tensor:
        if not self.cameras:
            return torch.zeros(batch, 0, device=self.device)
        return torch.cat([encoder(images[camera]) for camera, encoder in self.cameras.items()], dim=-1)

    @property
    def device(self) -> torch.device:
        return next((parameter.device for parameter in self.parameters()), torch.device('cpu'))
