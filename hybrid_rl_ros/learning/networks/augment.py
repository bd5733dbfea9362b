"""Image augmentation on uint8 batches."""

from __future__ import annotations

import numpy as np


def random_shift(images: np.ndarray, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Shift each (H, W, 3) image of (B, H, W, 3) by up to `pixels` in x and y, repeating its edge."""
    if pixels == 0:
        return images
    count, height, width, _ = images.shape
    shifted = np.empty_like(images)
    offsets = rng.integers(0, 2 * pixels + 1, (count, 2)) - pixels
    # Row by row into place and the edges repeated there: padding all images first takes twice as long.
    for image, out, (down, right) in zip(images, shifted, offsets.tolist()):
        top, bottom = max(0, -down), height - max(0, down)
        left, end = max(0, -right), width - max(0, right)
        out[top:bottom, left:end] = image[top + down : bottom + down, left + right : end + right]
        out[top:bottom, :left] = out[top:bottom, left : left + 1]
        out[top:bottom, end:] = out[top:bottom, end - 1 : end]
        out[:top] = out[top]
        out[bottom:] = out[bottom - 1]
    return shifted
