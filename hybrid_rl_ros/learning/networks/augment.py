"""Image augmentation on uint8 batches."""

from __future__ import annotations

import numpy as np


def random_shift(images: np.ndarray, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Shift each (H, W, 3) image of (B, H, W, 3) by up to `pixels` in x and y, repeating its edge."""
    if pixels == 0:
        return images
    count, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode='edge')
    shifted = np.empty_like(images)
    offsets = rng.integers(0, 2 * pixels + 1, (count, 2))
    for index, (row, column) in enumerate(offsets):
        shifted[index] = padded[index, row : row + height, column : column + width]
    return shifted
