"""Networks of linear layers: the Gaussian actor and the batched ensemble of critics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_LOG_STD = math.log(1e-5)
MAX_LOG_STD = math.log(5.0)


ACTIVATIONS: dict[str, type[nn.Module]] = {'tanh': nn.Tanh, 'relu': nn.ReLU}


@dataclass(frozen=True)
class Trunk:
    """Hidden layers: their widths, and what follows each."""

    hidden: list[int]
    activation: str = 'tanh'
    layer_norm: bool = True

    def build(self, inputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for width in self.hidden:
            layers.append(nn.Linear(inputs, width))
            layers += [nn.LayerNorm(width)] if self.layer_norm else []
            layers.append(ACTIVATIONS[self.activation]())
            inputs = width
        return nn.Sequential(*layers)


class GaussianActor(nn.Module):
    """A tanh-squashed Gaussian over normalised actions in [-1, 1].

    Of an input (B, D) it sees the first `inputs` columns: behind them is what only the critics see.
    """

    def __init__(self, inputs: int, actions: int, trunk: Trunk) -> None:
        super().__init__()
        self.sees = inputs
        self.trunk = trunk.build(inputs)
        self.head = nn.Linear(trunk.hidden[-1], 2 * actions)
        nn.init.uniform_(self.head.weight, -1e-2, 1e-2)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(B, A) mean and log standard deviation before the tanh."""
        mean, log_std = self.head(self.trunk(inputs[:, : self.sees])).chunk(2, dim=-1)
        return mean, log_std.clamp(MIN_LOG_STD, MAX_LOG_STD)

    @property
    def first_layer(self) -> nn.Linear:
        return cast('nn.Linear', self.trunk[0])

    @torch.no_grad()
    def set_deviation(self, deviation: float) -> None:
        """Before the tanh, for every input."""
        self.head.weight.chunk(2)[1].zero_()
        self.head.bias.chunk(2)[1].fill_(math.log(deviation))

    def mode(self, inputs: Tensor) -> Tensor:
        return torch.tanh(self(inputs)[0])

    def sample(self, inputs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(B, A) action for standard normal `noise` (B, A), and (B,) its log-probability, by reparametrisation."""
        mean, log_std = self(inputs)
        return squashed(mean, log_std, noise)


def squashed(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Action (B, A) and log-probability (B,) of a tanh-squashed Gaussian whose standard normal draw is `noise`."""
    mean, log_std = mean.float(), log_std.float()
    unsquashed = mean + log_std.exp() * noise
    log_prob = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(x)^2) in a form that does not underflow for large |x|.
    log_prob = log_prob - 2.0 * (math.log(2.0) - unsquashed - F.softplus(-2.0 * unsquashed))
    return torch.tanh(unsquashed), log_prob.sum(-1)


def divergence(mean: Tensor, log_std: Tensor, other_mean: Tensor, other_log_std: Tensor) -> Tensor:
    """(B,) Kullback-Leibler divergence of a Gaussian from another; squashing both by the tanh leaves it as it is."""
    mean, log_std, other_mean, other_log_std = (x.float() for x in (mean, log_std, other_mean, other_log_std))
    ratio = log_std - other_log_std
    apart = (mean - other_mean) / other_log_std.exp()
    return (0.5 * ((2.0 * ratio).exp() + apart.square() - 1.0) - ratio).sum(-1)


class GripperValues(nn.Module):
    """What closing, keeping and opening the gripper are worth: (B, D) inputs to (B, 3) values.

    It is a part of the policy, and so sees what the actor sees of them.
    """

    def __init__(self, inputs: int, trunk: Trunk) -> None:
        super().__init__()
        self.sees = inputs
        self.trunk = trunk.build(inputs)
        self.head = nn.Linear(trunk.hidden[-1], 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.trunk(inputs[:, : self.sees]))

    def choice(self, inputs: Tensor) -> Tensor:
        """(B, 1) the best of -1, 0 and 1, always: exploring is for the other dimensions."""
        return self(inputs).argmax(-1, keepdim=True).float() - 1.0


class CriticEnsemble(nn.Module):
    """E independent critics evaluated as one: (B, D) inputs and (B, A) actions to (E, B) values.

    Of an action they see the first `actions` numbers: a gripper that is chosen comes behind them, and is not theirs.
    """

    def __init__(self, members: int, inputs: int, actions: int, trunk: Trunk) -> None:
        super().__init__()
        hidden = trunk.hidden
        self.acts = actions
        self.activation = ACTIVATIONS[trunk.activation]()
        widths = [inputs + actions, *hidden]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.gains = nn.ParameterList()
        self.offsets = nn.ParameterList()
        for fan_in, fan_out in zip(widths, [*hidden, 1]):
            bound = 1.0 / math.sqrt(fan_in)
            self.weights.append(nn.Parameter(torch.empty(members, fan_in, fan_out).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, fan_out)))
        for width in hidden if trunk.layer_norm else ():
            self.gains.append(nn.Parameter(torch.ones(members, 1, width)))
            self.offsets.append(nn.Parameter(torch.zeros(members, 1, width)))

    def forward(self, inputs: Tensor, actions: Tensor, members: Tensor | None = None) -> Tensor:
        """Of those `members` alone, if they are given: the others then cost nothing."""
        weights, biases = (self._of(members, values)[-1] for values in (self.weights, self.biases))
        return torch.baddbmm(biases, self.hidden(inputs, actions, members)[-1], weights).squeeze(-1)

    def hidden(self, inputs: Tensor, actions: Tensor, members: Tensor | None = None) -> list[Tensor]:
        """What each hidden layer makes of them, (E, B, width)."""
        every = (self.weights, self.biases, self.gains, self.offsets)
        weights, biases, gains, offsets = (self._of(members, values) for values in every)
        x = torch.cat([inputs, actions[..., : self.acts]], dim=-1)
        hidden = x.expand(weights[0].shape[0], *x.shape)
        layers = []
        for layer in range(len(weights) - 1):
            hidden = torch.bmm(hidden, weights[layer]) + biases[layer]
            if gains:
                hidden = F.layer_norm(hidden, hidden.shape[-1:]) * gains[layer] + offsets[layer]
            hidden = self.activation(hidden)
            layers.append(hidden)
        return layers

    def _of(self, members: Tensor | None, values: nn.ParameterList) -> list[Tensor]:
        return [value if members is None else value[members] for value in values]
