"""A small denoiser of action chunks that attends from each action to all others, the time and the condition."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hybrid_rl_ros.base_config import HEADS
from hybrid_rl_ros.learning.networks.time_features import TIME_FEATURES, TimeFeatures

WIDER = 4


class TransformerDenoiser(nn.Module):
    """As denoiser.py has it. Tokens: the time, the condition, and each action of the chunk."""

    def __init__(self, length: int, actions: int, condition: int, layers: list[int]) -> None:
        super().__init__()
        self._form, width = (length, actions), layers[0]
        self.time = TimeFeatures()
        self.of_time = nn.Linear(TIME_FEATURES, width)
        self.of_condition = nn.Linear(condition, width)
        self.of_action = nn.Linear(actions, width)
        self.places = nn.Parameter(0.02 * torch.randn(1, 2 + length, width))
        self.layers = nn.ModuleList(Layer(width) for _ in layers)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, actions)

    def forward(self, noised: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        told = [self.of_time(self.time(time))[:, None], self.of_condition(condition)[:, None]]
        tokens = torch.cat([*told, self.of_action(noised.reshape(-1, *self._form))], dim=1) + self.places
        for layer in self.layers:
            tokens = layer(tokens)
        return self.head(self.norm(tokens[:, 2:])).reshape(noised.shape)


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention, self.before_wider = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixed = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.wider = nn.Sequential(nn.Linear(width, WIDER * width), nn.GELU(), nn.Linear(WIDER * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.joined(self._attended(self.mixed(self.before_attention(tokens))))
        return tokens + self.wider(self.before_wider(tokens))

    def _attended(self, mixed: Tensor) -> Tensor:
        # Written out: PyTorch's fused attention cannot be differentiated forwards, which mean flow needs.
        batch, count, width = mixed.shape
        query, key, value = mixed.reshape(batch, count, 3, HEADS, width // 3 // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        shares = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1)
        return (shares @ value).transpose(1, 2).reshape(batch, count, width // 3)
