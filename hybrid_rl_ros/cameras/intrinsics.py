"""The lens of a camera, as numbers for camera_info, through crop and resize."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_rl_ros.camera_config import IntrinsicsConfig, SourceConfig
from hybrid_rl_ros.config_file import read_yaml
from hybrid_rl_ros.errors import UserError

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Intrinsics:
    """A pinhole camera with distortion.

    matrix: (3, 3) px; distortion: as many coefficients as its model has; rectification: (3, 3); projection: (3, 4) px.
    size: (width, height) of the calibrated picture, or None where the configuration does not say.
    """

    matrix: np.ndarray
    distortion: list[float]
    distortion_model: str
    rectification: np.ndarray
    projection: np.ndarray
    size: Size | None = None


def load_intrinsics(config: IntrinsicsConfig, key: str) -> Intrinsics:
    """The intrinsics that stand at `key` of the configuration. Raises UserError."""
    if config.camera_matrix is not None:
        matrix = np.reshape(config.camera_matrix, (3, 3))
        projection = np.hstack([matrix, np.zeros((3, 1))])
        return Intrinsics(matrix, config.distortion, config.distortion_model, np.eye(3), projection)
    assert config.file is not None
    data = read_yaml(Path(config.file))
    where = f'{key}.file: {config.file}'
    matrix = _matrix(data, 'camera_matrix', (3, 3), where)
    width, height = data.get('image_width'), data.get('image_height')
    if not isinstance(width, int) or not isinstance(height, int):
        raise UserError(f'{where}: expected image_width and image_height, as camera_calibration writes them')
    return Intrinsics(
        matrix=matrix,
        distortion=_matrix(data, 'distortion_coefficients', None, where).ravel().tolist(),
        distortion_model=str(data.get('distortion_model', 'plumb_bob')),
        rectification=_matrix(data, 'rectification_matrix', (3, 3), where, np.eye(3)),
        projection=_matrix(data, 'projection_matrix', (3, 4), where, np.hstack([matrix, np.zeros((3, 1))])),
        size=(width, height),
    )


def crop_resize_intrinsics(intrinsics: Intrinsics, source: SourceConfig, captured: Size, key: str) -> Intrinsics:
    """`intrinsics` of a captured picture of that (width, height), for what crop and resize leave of it.

    Raises UserError when the calibration is of another size: its focal length would be wrong.
    """
    if intrinsics.size is not None and intrinsics.size != captured:
        calibrated = 'x'.join(map(str, intrinsics.size))
        raise UserError(
            f'{key}.file: calibrated at {calibrated}, but the camera captures {captured[0]}x{captured[1]}; '
            f'ask the camera for {calibrated}, or calibrate again'
        )
    left, top, width, height = source.crop or (0, 0, *captured)
    scales = np.array(source.resize or (width, height)) / (width, height)
    # Whole numbers are the middles of pixels, and resizing keeps the picture's edges where they are: half a pixel
    # before the first middle.
    offsets = scales * (0.5 - np.array([left, top])) - 0.5
    to_published = np.array([[scales[0], 0.0, offsets[0]], [0.0, scales[1], offsets[1]], [0.0, 0.0, 1.0]])
    return replace(intrinsics, matrix=to_published @ intrinsics.matrix, projection=to_published @ intrinsics.projection)


def _matrix(
    data: dict[str, Any], name: str, shape: tuple[int, int] | None, where: str, default: np.ndarray | None = None
) -> np.ndarray:
    section = data.get(name)
    if section is None and default is not None:
        return default
    try:
        numbers = np.array(section['data'], dtype=np.float64)  # type: ignore[index]
        return numbers if shape is None else numbers.reshape(shape)
    except (TypeError, KeyError, ValueError):
        expected = 'numbers' if shape is None else f'{shape[0] * shape[1]} numbers'
        raise UserError(f'{where}: {name}.data: expected {expected}, as camera_calibration writes them') from None
