"""LayerNorm + tanh networks: the Gaussian actor and the batched ensemble of critics."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_LOG_STD = math.log(1e-5)
MAX_LOG_STD = math.log(5.0)


def trunk(inputs: int, hidden: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers)


class GaussianActor(nn.Module):
    """A tanh-squashed Gaussian over normalised actions in [-1, 1]; input (B, D)."""

    def __init__(self, inputs: int, actions: int, hidden: list[int]) -> None:
        super().__init__()
        self.trunk = trunk(inputs, hidden)
        self.head = nn.Linear(hidden[-1], 2 * actions)
        nn.init.uniform_(self.head.weight, -1e-2, 1e-2)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(B, A) mean and log standard deviation before the tanh."""
        mean, log_std = self.head(self.trunk(inputs)).chunk(2, dim=-1)
        return mean, log_std.clamp(MIN_LOG_STD, MAX_LOG_STD)

    def mode(self, inputs: Tensor) -> Tensor:
        return torch.tanh(self(inputs)[0])

    def sample(self, inputs: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """(B, A) action and (B,) its log-probability, by reparametrisation."""
        mean, log_std = self(inputs)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        unsquashed = mean + log_std.exp() * noise
        log_prob = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        # log(1 - tanh(x)^2) in a form that does not underflow for large |x|.
        log_prob = log_prob - 2.0 * (math.log(2.0) - unsquashed - F.softplus(-2.0 * unsquashed))
        return torch.tanh(unsquashed), log_prob.sum(-1)


class CriticEnsemble(nn.Module):
    """E independent critics evaluated as one: (B, D) inputs and (B, A) actions to (E, B) values."""

    def __init__(self, members: int, inputs: int, actions: int, hidden: list[int]) -> None:
        super().__init__()
        widths = [inputs + actions, *hidden]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.gains = nn.ParameterList()
        self.offsets = nn.ParameterList()
        for fan_in, fan_out in zip(widths, [*hidden, 1]):
            bound = 1.0 / math.sqrt(fan_in)
            self.weights.append(nn.Parameter(torch.empty(members, fan_in, fan_out).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, fan_out)))
        for width in hidden:
            self.gains.append(nn.Parameter(torch.ones(members, 1, width)))
            self.offsets.append(nn.Parameter(torch.zeros(members, 1, width)))

    def forward(self, inputs: Tensor, actions: Tensor) -> Tensor:
        x = torch.cat([inputs, actions], dim=-1)
        hidden = x.expand(self.weights[0].shape[0], *x.shape)
        for layer, (gain, offset) in enumerate(zip(self.gains, self.offsets)):
            hidden = torch.baddbmm(self.biases[layer], hidden, self.weights[layer])
            hidden = torch.tanh(F.layer_norm(hidden, hidden.shape[-1:]) * gain + offset)
        return torch.baddbmm(self.biases[-1], hidden, self.weights[-1]).squeeze(-1)
