"""The critics on top of the encoders: what the temporal-difference loss trains as one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.mlp import CriticEnsemble
from hybrid_rl_ros.learning.networks.ranges import Ranges


class ValueNetwork(nn.Module):
    """State (B, S), views and action (B, A) to (E, B) values; the policy sees the state's first `shared` numbers."""

    def __init__(self, encoders: Encoders, ranges: Ranges, critics: CriticEnsemble, shared: int) -> None:
        super().__init__()
        self.encoders, self.ranges, self.critics, self.shared = encoders, ranges, critics, shared

    def inputs(self, state: Tensor, views: dict[str, Tensor]) -> Tensor:
        """(B, D): the policy's inputs, as PolicyNetwork has them, and behind them what only the critics see."""
        features = self.encoders(views, len(state))
        seen = self.ranges(torch.cat([state[:, : self.shared], features], dim=-1))
        return torch.cat([seen, state[:, self.shared :]], dim=-1)

    def of_each(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """(E, K, B) values of K actions (K, B, A) for each of the inputs (B, D)."""
        every = inputs.expand(len(actions), *inputs.shape)
        return self.critics(every.flatten(0, 1), actions.flatten(0, 1)).unflatten(1, actions.shape[:2])

    def forward(self, state: Tensor, views: dict[str, Tensor], action: Tensor) -> Tensor:
        """`action` may be K for each input, (K, B, A): then (E, K, B)."""
        inputs = self.inputs(state, views)
        return self.critics(inputs, action) if action.dim() == 2 else self.of_each(inputs, action)
