"""What an agent learns from: tensors, normalised."""

from __future__ import annotations

from dataclasses import dataclass

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
        return [self._slice(index, count) for index in range(count)]

    def _slice(self, index: int, count: int) -> Batch:
        size = len(self) // count
        part = slice(index * size, (index + 1) * size)
        return Batch(
            inputs=self.inputs[part],
            action=self.action[part],
            reward=self.reward[part],
            mask=self.mask[part],
            next_inputs=self.next_inputs[part],
            images={camera: frames[part] for camera, frames in self.images.items()},
            next_images={camera: frames[part] for camera, frames in self.next_images.items()},
        )
