"""A denoiser of action chunks by 1-D convolutions over time, as in diffusion policy (Chi et al. 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hybrid_rl_ros.base_config import GROUPS
from hybrid_rl_ros.learning.networks.time_features import TIME_FEATURES, TimeFeatures

KERNEL = 5
TOLD = 128


class UnetDenoiser(nn.Module):
    """As denoiser.py has it. `channels` of each level; from one to the next, time is halved.

    A chunk whose length cannot be halved so often is filled up with zeros, and what becomes of these is cut off.
    """

    def __init__(self, length: int, actions: int, condition: int, channels: list[int]) -> None:
        super().__init__()
        self._form = (actions, length)
        self._filled = -length % 2 ** (len(channels) - 1)
        self.time = TimeFeatures()
        self.told = nn.Sequential(nn.Linear(TIME_FEATURES + condition, TOLD), nn.Mish(), nn.Linear(TOLD, TOLD))
        levels = list(zip([actions, *channels], channels))
        self.down = nn.ModuleList(_two_blocks(before, after) for before, after in levels)
        self.shrink = nn.ModuleList(nn.Conv1d(width, width, 3, stride=2, padding=1) for width in channels[:-1])
        self.middle = _two_blocks(channels[-1], channels[-1])
        self.stretch = nn.ModuleList(
            nn.ConvTranspose1d(above, below, 4, stride=2, padding=1) for below, above in zip(channels, channels[1:])
        )
        self.up = nn.ModuleList(_two_blocks(2 * width, width) for width in channels)
        self.head = nn.Conv1d(channels[0], actions, 1)

    def forward(self, noised: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        actions, length = self._form
        told = self.told(torch.cat([self.time(time), condition], dim=-1))
        x = noised.reshape(-1, length, actions).transpose(1, 2)
        x = F.pad(x, (0, self._filled)) if self._filled else x
        passed = []
        for level, blocks in enumerate(self.down):
            x = _apply(blocks, x if level == 0 else self.shrink[level - 1](x), told)
            passed.append(x)
        x = _apply(self.middle, x, told)
        for level in reversed(range(len(self.up))):
            x = _apply(self.up[level], torch.cat([x, passed[level]], dim=1), told)
            x = self.stretch[level - 1](x) if level else x
        return self.head(x)[:, :, :length].transpose(1, 2).reshape(noised.shape)


class FilmBlock(nn.Module):
    """Two convolutions beside a straight way; between them, each channel is scaled and shifted by what is told."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = _convolution(before, after)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(TOLD, 2 * after))
        self.second = _convolution(after, after)
        self.straight = nn.Conv1d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.film(told)[:, :, None].chunk(2, dim=1)
        return self.second((1.0 + scale) * self.first(x) + shift) + self.straight(x)


def _convolution(before: int, after: int) -> nn.Sequential:
    # Normalised by groups: with averaged weights, the statistics of a batch would be of other weights.
    convolution = nn.Conv1d(before, after, KERNEL, padding=KERNEL // 2)
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, after), nn.Mish())


def _two_blocks(before: int, after: int) -> nn.ModuleList:
    return nn.ModuleList([FilmBlock(before, after), FilmBlock(after, after)])


def _apply(blocks: nn.Module, x: Tensor, told: Tensor) -> Tensor:
    for block in blocks.children():
        x = block(x, told)
    return x
