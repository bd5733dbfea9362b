"""What every engine runs: one function of fixed arrays, from a normalised observation to a normalised plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.policies.network import Network


class ActionGraph(nn.Module):
    """State (1, S), noise and uint8 images (1, H, W, 3) to a plan, as policies/network.py has it, in [-1, 1]."""

    def __init__(self, network: Network, cameras: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._cameras = tuple(cameras)

    def forward(self, state: Tensor, noise: Tensor, *images: Tensor) -> Tensor:
        inputs = self.network.inputs(state, dict(zip(self._cameras, images)))
        return self.network.plan(inputs, noise)


@dataclass(frozen=True)
class Buffers:
    """Where an engine reads its inputs and leaves its result: the same memory at every tick."""

    state: np.ndarray
    noise: np.ndarray
    images: dict[str, np.ndarray]
    plan: np.ndarray

    @classmethod
    def of(
        cls, specs: Specs, network: Network, make: Callable[[tuple[int, ...], type], np.ndarray] = np.zeros
    ) -> Buffers:
        """`make(shape, dtype)` allocates, for engines that want memory of a certain kind."""
        images = {image.camera: make((1, *image.shape), np.uint8) for image in specs.observation.images}
        state = make((1, network.observations * len(specs.observation.state)), np.float32)
        plan = make((network.plan_rows, len(specs.action)), np.float32)
        return cls(state, make(network.noise_shape, np.float32), images, plan)

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """By name, in the order of ActionGraph.forward."""
        return {'state': self.state, 'noise': self.noise, **self.images}


class Engine(Protocol):
    """Runs one architecture on its buffers. `load` swaps the weights, by the names of the network's state."""

    name: str
    buffers: Buffers

    def load(self, weights: Mapping[str, Tensor]) -> None: ...

    def run(self) -> None:
        """From the inputs in `buffers` to `buffers.plan`."""
