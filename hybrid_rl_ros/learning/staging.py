"""How a batch's arrays reach the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Staging:
    """Arrays to fill, and the tensors on the device that are made of them.

    For a GPU they are pinned memory, which is copied without the host waiting. There are two sets of it, used in turn,
    so that the next batch is laid out while the last is on its way; a set is given out again when its copies are done.
    On the CPU the arrays are new and the tensors are the arrays.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        sets = 2 if torch.device(device).type == 'cuda' else 0
        self._sets = [PinnedSet(torch.cuda.Event()) for _ in range(sets)]
        self._filling: dict[str, Tensor] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Memory with anything in it, for the part `name` of the batch that comes next."""
        wanted = torch.from_numpy(np.empty(0, dtype)).dtype
        self._filling[name] = (
            self._sets[0].memory(name, shape, wanted) if self._sets else torch.empty(shape, dtype=wanted)
        )
        return self._filling[name].numpy()

    def send(self) -> dict[str, Tensor]:
        """Everything laid out since the last call, on the device."""
        filled, self._filling = self._filling, {}
        if not self._sets:
            return filled
        sent = {name: memory.to(self.device, non_blocking=True) for name, memory in filled.items()}
        self._sets[0].sent()
        self._sets.reverse()
        return sent


class PinnedSet:
    """One tensor a name, used again for as long as it fits. `done` is an event of the stream that copies."""

    def __init__(self, done: Any, pin: bool = True) -> None:
        self._done, self._pin = done, pin
        self._on_their_way = False
        self._memory: dict[str, Tensor] = {}

    def memory(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self._on_their_way:
            self._done.synchronize()
            self._on_their_way = False
        memory = self._memory.get(name)
        if memory is None or memory.shape != shape or memory.dtype != dtype:
            memory = self._memory[name] = torch.empty(shape, dtype=dtype, pin_memory=self._pin)
        return memory

    def sent(self) -> None:
        """The copies of this set have been asked for."""
        self._done.record()
        self._on_their_way = True
