"""What every policy's network offers to the engines that run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_rl_ros.learning.networks.encoder import Encoders


@dataclass(frozen=True)
class Plan:
    """What a policy makes of one observation: actions (h, A) in physical units, the first due at once.

    noise (h, A) is what a steered policy decoded them from; None for others.
    """

    actions: np.ndarray
    noise: np.ndarray | None = None


class Network(nn.Module, ABC):
    """From a normalised observation to a chunk of h normalised actions.

    The state is `observations` states side by side, the newest last. `noise_shape` is that of the standard normal
    numbers that a plan takes: they are drawn outside, so that every engine makes the same of them.
    """

    encoders: Encoders
    observations: int = 1
    chunk: int = 1
    noise_shape: tuple[int, int]
    tells_noise: bool = False
    needs_eager: bool = False
    """Whether it cannot be exported, as it runs what already was."""

    @abstractmethod
    def inputs(self, state: Tensor, views: dict[str, Tensor]) -> Tensor:
        """(B, D): what the policy acts on, of the state (B, S) and images."""

    @abstractmethod
    def plan(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """(h, A) for inputs (1, D); below it, if the network `tells_noise`, the (h, A) that it was decoded from."""

    def mode_noise(self) -> Tensor:
        """The noise, of `noise_shape`, that stands for none."""
        return torch.zeros(self.noise_shape)

    @property
    def plan_rows(self) -> int:
        return 2 * self.chunk if self.tells_noise else self.chunk
