"""What an agent learns from: tensors, normalised."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

Views = dict[str, Tensor]


@dataclass
class Batch:
    """B transitions, or sums of several.

    state (B, S); views {camera: (B, H, W, 3) uint8, or (B, ...) float features of a frozen trunk}; action (B, A) in
    [-1, 1]; reward (B,), discounted over the steps that it sums; discount (B,), that of the value behind them;
    mask (B,), which is 0 only at a true end.
    """

    state: Tensor
    views: Views
    action: Tensor
    reward: Tensor
    discount: Tensor
    mask: Tensor
    next_state: Tensor
    next_views: Views

    def __len__(self) -> int:
        return len(self.reward)

    def slices(self, count: int) -> list[Batch]:
        """`count` equal batches that lie end to end; the sampler gives each its share of demonstrations."""
        size = len(self) // count
        return [self._slice(slice(index * size, (index + 1) * size)) for index in range(count)]

    def _slice(self, part: slice) -> Batch:
        def cut(value: Any) -> Any:
            return {name: view[part] for name, view in value.items()} if isinstance(value, dict) else value[part]

        return type(self)(**{field.name: cut(getattr(self, field.name)) for field in fields(self)})


@dataclass
class NoiseBatch(Batch):
    """Beside it noise (B, h * A), which a steered chunk of h actions was decoded from that begins here."""

    noise: Tensor
