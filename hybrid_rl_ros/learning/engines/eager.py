"""The network as PyTorch runs it, operation by operation."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.engines.action_graph import ActionGraph, Buffers
from hybrid_rl_ros.learning.policies.network import Network


class EagerEngine:
    def __init__(self, network: Network, specs: Specs, device: str = 'cpu', why: str = '') -> None:
        """`why` no faster engine is used, for the log."""
        self.name = f'PyTorch eager on {device}' + (f' ({why})' if why else '')
        self.buffers = Buffers.of(specs, network)
        self._device = device
        self._inputs = [torch.from_numpy(array) for array in self.buffers.inputs.values()]
        self._plan = torch.from_numpy(self.buffers.plan)
        self._graph = ActionGraph(copy.deepcopy(network).to(device), tuple(self.buffers.images))

    def load(self, weights: Mapping[str, Tensor]) -> None:
        self._graph.network.load_state_dict(weights)

    @torch.inference_mode()
    def run(self) -> None:
        self._plan.copy_(self._graph(*(tensor.to(self._device) for tensor in self._inputs)))
