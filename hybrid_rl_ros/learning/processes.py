"""Several processes that learn one network, each from its share of every batch; `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as distributed
from torch import Tensor, nn


class Processes:
    """This process among its likes: number `rank` of `count`. One by itself is the usual case."""

    def __init__(self, device: str) -> None:
        """Joins the others where torchrun says that there are some; GPUs are shared out by torchrun's local rank."""
        self.count = int(os.environ.get('WORLD_SIZE', 1))
        self.rank = int(os.environ.get('RANK', 0))
        self.device = device
        if self.count > 1:
            if device.startswith('cuda'):
                self.device = f'cuda:{os.environ.get("LOCAL_RANK", 0)}'
                torch.cuda.set_device(self.device)
            if not distributed.is_initialized():
                distributed.init_process_group('nccl' if device.startswith('cuda') else 'gloo')

    @property
    def first(self) -> bool:
        """Whether this is the one that reports and writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of `count` things, all parts being of equal size where they can be."""
        return slice(self.rank, count, self.count)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Of the mean losses over equal shares: the gradient of the mean over the whole batch."""
        if self.count > 1:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            self._average(gradients)

    def mean(self, value: Tensor) -> Tensor:
        if self.count > 1:
            distributed.all_reduce(value)
            value /= self.count
        return value

    def wait(self) -> None:
        """For all of them to come here."""
        if self.count > 1:
            distributed.barrier()

    def close(self) -> None:
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def _average(self, tensors: list[Tensor]) -> None:
        # One message for all: the time goes into the number of messages.
        flat = self.mean(torch.cat([tensor.flatten() for tensor in tensors]))
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(mean.view_as(tensor))
