"""The network as one CUDA graph over static memory: one launch a tick instead of one an operation."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.engines.action_graph import ActionGraph, Buffers
from hybrid_rl_ros.learning.policies.network import Network

WARM_UP_RUNS = 3


class CudaGraphEngine:
    def __init__(self, network: Network, specs: Specs) -> None:
        """Raises RuntimeError if there is no GPU or the network cannot be captured."""
        self.name = f'CUDA graph on {torch.cuda.get_device_name()}'
        self.buffers = Buffers.of(specs, network, _pinned)
        self._module = ActionGraph(copy.deepcopy(network).to('cuda'), tuple(self.buffers.images))
        self._host_inputs = [torch.from_numpy(array) for array in self.buffers.inputs.values()]
        self._inputs = [tensor.to('cuda') for tensor in self._host_inputs]
        self._host_plan = torch.from_numpy(self.buffers.plan)
        self._stream = torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        self._graph = torch.cuda.CUDAGraph()
        with torch.no_grad():
            # Libraries allocate and choose kernels in the first runs, which a capture does not allow.
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP_RUNS):
                    self._module(*self._inputs)
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._plan = self._module(*self._inputs)
        torch.cuda.synchronize()

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Into the captured memory: the graph knows addresses, not modules."""
        with torch.cuda.stream(self._stream):
            self._module.network.load_state_dict(weights)
        self._stream.synchronize()

    @torch.no_grad()
    def run(self) -> None:
        with torch.cuda.stream(self._stream):
            for device, host in zip(self._inputs, self._host_inputs):
                device.copy_(host, non_blocking=True)
            self._graph.replay()
            self._host_plan.copy_(self._plan, non_blocking=True)
        self._stream.synchronize()


def _pinned(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Page-locked memory, which the GPU copies from by itself; the array keeps it alive."""
    kind = torch.uint8 if dtype == np.uint8 else torch.float32
    return torch.zeros(shape, dtype=kind, pin_memory=True).numpy()
