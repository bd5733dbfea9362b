"""A network whose weights are the mean of another's over its last updates (Polyak and Juditsky 1992)."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar('Network', bound=nn.Module)


class RunningMean(Generic[Network]):
    """`network` forgets exponentially, over about `window` updates; before so many, all count the same.

    With a window of 1 it is the very network that is followed.
    """

    def __init__(self, followed: Network, window: int) -> None:
        self._followed, self._window = followed, window
        self.network = followed if window == 1 else copy.deepcopy(followed).requires_grad_(False)

    @torch.no_grad()
    def follow(self, updates: int) -> None:
        """`updates`: which of its updates the followed network has just had, from 1."""
        if self._window == 1:
            return
        if updates == 1:
            # Buffers too: they are chosen before the first update, and stay.
            self.network.load_state_dict(self._followed.state_dict())
            return
        pairs = zip(self.network.parameters(), self._followed.parameters())
        means, newest = zip(*((mean, new) for mean, new in pairs if new.requires_grad))
        torch._foreach_lerp_(list[Tensor](means), list[Tensor](newest), 1.0 / min(updates, self._window))
