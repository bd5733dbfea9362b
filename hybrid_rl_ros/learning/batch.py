"""What an agent learns from: tensors, normalised."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor


@dataclass
class Batch:
    """B transitions. `inputs` (B, D) is the state beside frozen features, or the state alone beside `images`.

    action (B, A) in [-1, 1], reward (B,), mask (B,) which is 0 only at a true end, images {camera: (B, H, W, 3)
    uint8} empty unless the encoders are trained.
    """

    inputs: Tensor
    action: Tensor
    reward: Tensor
    mask: Tensor
    next_inputs: Tensor
    images: dict[str, Tensor]
    next_images: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.reward)

    def slices(self, count: int) -> list[Batch]:
        """`count` equal batches that lie end to end; the sampler gives each its share of demonstrations."""
        return [self._slice(start, count) for start in range(count)]

    def _slice(self, start: int, count: int) -> Batch:
        def take(value: Tensor) -> Tensor:
            size = len(value) // count
            return value[start * size : (start + 1) * size]

        parts = {}
        for field in fields(self):
            value = getattr(self, field.name)
            parts[field.name] = {k: take(v) for k, v in value.items()} if isinstance(value, dict) else take(value)
        return Batch(**parts)
