"""A captured frame, and what is cut and scaled of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybrid_rl_ros.camera_config import SourceConfig
from hybrid_rl_ros.errors import UserError


@dataclass(frozen=True, eq=False)
class Frame:
    """image: (H, W, 3) uint8 RGB after crop and resize; stamp_ns: when it was grabbed; captured: (width, height)."""

    image: np.ndarray
    stamp_ns: int
    captured: tuple[int, int]


def crop_image(image: np.ndarray, source: SourceConfig, key: str) -> np.ndarray:
    """The part of `image` that `source.crop` leaves, a view. Raises UserError when it reaches beyond the picture."""
    if source.crop is None:
        return image
    left, top, width, height = source.crop
    if left + width > image.shape[1] or top + height > image.shape[0]:
        raise UserError(
            f'{key}.crop: {list(source.crop)} reaches beyond the picture, which is {image.shape[1]}x{image.shape[0]}'
        )
    return image[top : top + height, left : left + width]


def resize_to_rgb(image: np.ndarray, source: SourceConfig) -> np.ndarray:
    """(H, W, 3) BGR to (h, w, 3) RGB of the size that `source.resize` wants."""
    if source.resize is not None:
        image = cv2.resize(image, source.resize, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
