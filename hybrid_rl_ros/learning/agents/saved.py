"""What learners that adapt a temperature have in common: their policy, and their state as flat tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from hybrid_rl_ros.learning.checkpoint import flatten, load_flat
from hybrid_rl_ros.learning.policies.network import Network
from hybrid_rl_ros.learning.policies.policy import Policy


class SavedAgent(ABC):
    """`network` acts; `_policy` says of which specs and shape it is."""

    network: Network
    log_temperature: Tensor
    updates: int
    generator: torch.Generator
    _policy: Policy

    @abstractmethod
    def _parts(self) -> dict[str, nn.Module]:
        """Everything with weights or moments, by the name that it is saved under."""

    def policy(self) -> Policy:
        return self.policy_of(self.network)

    def policy_of(self, network: Network) -> Policy:
        self._policy = Policy(network, self._policy.specs, self._policy.head)
        self._policy.network.to('cpu')
        return self._policy

    def state_dict(self) -> dict[str, Tensor]:
        return flatten(self._parts()) | {
            'log_temperature': self.log_temperature.clone(),
            'updates': torch.tensor(self.updates),
            'generator': self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        load_flat(self._parts(), state)
        self.log_temperature.copy_(state['log_temperature'])
        self.updates = int(state['updates'])
        self.generator.set_state(state['generator'])
