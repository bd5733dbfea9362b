"""A calibration follows the picture through crop and resize."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml

from hybrid_rl_ros.camera_config import IntrinsicsConfig, SourceConfig
from hybrid_rl_ros.cameras.intrinsics import Intrinsics, crop_resize_intrinsics, load_intrinsics
from hybrid_rl_ros.errors import UserError

KEY = 'observation.cameras.front.source.intrinsics'
MATRIX = [500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]
DISTORTION = [0.1, -0.2, 0.001, 0.002, 0.05]


def calibration() -> dict:
    """As camera_calibration writes it."""
    projection = [490.0, 0.0, 321.0, 0.0, 0.0, 505.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return {
        'image_width': 640,
        'image_height': 480,
        'camera_name': 'front',
        'camera_matrix': {'rows': 3, 'cols': 3, 'data': MATRIX},
        'distortion_model': 'plumb_bob',
        'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': DISTORTION},
        'rectification_matrix': {'rows': 3, 'cols': 3, 'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]},
        'projection_matrix': {'rows': 3, 'cols': 4, 'data': projection},
    }


def from_file(tmp_path, **changes) -> Intrinsics:
    path = tmp_path / 'front.yaml'
    path.write_text(yaml.safe_dump({**calibration(), **changes}))
    return load_intrinsics(IntrinsicsConfig(file=str(path)), KEY)


def test_a_ros_calibration_file_is_taken_as_it_is(tmp_path):
    lens = from_file(tmp_path)
    assert lens.matrix.ravel().tolist() == MATRIX
    assert lens.distortion == DISTORTION
    assert lens.projection[0].tolist() == [490.0, 0.0, 321.0, 0.0]
    assert lens.size == (640, 480)


def test_numbers_in_the_configuration_project_with_the_same_matrix():
    lens = load_intrinsics(IntrinsicsConfig(camera_matrix=MATRIX, distortion=DISTORTION), KEY)
    assert np.array_equal(lens.projection[:, :3], lens.matrix)
    assert np.array_equal(lens.rectification, np.eye(3))


def test_after_crop_and_resize_a_point_lands_where_the_picture_shows_it(tmp_path):
    """A bright spot around a projected point: its middle in the cut and scaled picture is what the new matrix says."""
    lens = from_file(tmp_path)
    point = np.array([0.1, -0.05, 1.0])
    u, v = (lens.matrix @ point)[:2]
    image = np.zeros((480, 640), np.float32)
    columns, rows = np.meshgrid(np.arange(640), np.arange(480))
    image += np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * 12.0**2))
    source = SourceConfig(uri='x', crop=(100, 60, 400, 320), resize=(200, 80))
    small = cv2.resize(image[60:380, 100:500], (200, 80), interpolation=cv2.INTER_AREA)
    columns, rows = np.meshgrid(np.arange(200), np.arange(80))
    seen = (small * columns).sum() / small.sum(), (small * rows).sum() / small.sum()
    expected = (crop_resize_intrinsics(lens, source, (640, 480), KEY).matrix @ point)[:2]
    assert np.abs(expected - seen).max() < 0.02


def test_without_crop_and_resize_nothing_changes(tmp_path):
    lens = from_file(tmp_path)
    same = crop_resize_intrinsics(lens, SourceConfig(uri='x'), (640, 480), KEY)
    assert np.allclose(same.matrix, lens.matrix)
    assert np.allclose(same.projection, lens.projection)


def test_a_calibration_of_another_size_is_refused(tmp_path):
    with pytest.raises(UserError, match='calibrated at 640x480, but the camera captures 1280x720'):
        crop_resize_intrinsics(from_file(tmp_path), SourceConfig(uri='x'), (1280, 720), KEY)


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'camera_matrix': {'data': [1, 2, 3]}}, 'camera_matrix.data: expected 9 numbers'),
        ({'distortion_coefficients': None}, 'distortion_coefficients.data: expected numbers'),
        ({'image_width': None}, 'expected image_width and image_height'),
    ],
)
def test_a_broken_calibration_names_the_file_and_the_entry(tmp_path, changes, complaint):
    with pytest.raises(UserError) as error:
        from_file(tmp_path, **changes)
    assert str(error.value).startswith(f'{KEY}.file: {tmp_path / "front.yaml"}: {complaint}')
