"""The keypoint encoder tells where a thing is in the image, whatever its maps' stride."""

import numpy as np
import pytest
import torch

from hybrid_rl_ros.data.specs import ImageSpec
from hybrid_rl_ros.learning.networks.keypoints import KeypointEncoder

SPEC = ImageSpec(camera='front', height=64, width=96)


def looking_for_red(stride: int) -> KeypointEncoder:
    """Its one map is the red of the pixel at the middle of each kernel."""
    encoder = KeypointEncoder(SPEC, 2, stride)
    weights = {name: torch.zeros_like(value) for name, value in encoder.convolutions.state_dict().items()}
    weights['0.weight'][0, 0, 2, 2], weights['0.bias'][0], weights['2.weight'][0, 0, 1, 1] = 1.0, 1.0, 1.0
    encoder.convolutions.load_state_dict(weights)
    return encoder


def red_dot(x: int, y: int) -> torch.Tensor:
    image = np.zeros((1, SPEC.height, SPEC.width, 3), np.uint8)
    image[0, y, x, 0] = 255
    return torch.from_numpy(image)


@pytest.mark.parametrize('stride', [2, 4])
@pytest.mark.parametrize(('x', 'y'), [(0, 0), (40, 8), (92, 60)])
def test_a_point_is_where_its_dot_is(stride: int, x: int, y: int) -> None:
    point = looking_for_red(stride)(red_dot(x, y))
    rows, columns = SPEC.height // stride, SPEC.width // stride
    there = [2 * x / stride / (columns - 1) - 1, 2 * y / stride / (rows - 1) - 1]
    # One dot among rows * columns places stands sqrt(rows * columns) deviations above the rest: all the softmax's mass.
    assert point[0].tolist() == pytest.approx(there, abs=1e-6)


def test_an_image_of_one_colour_has_its_point_in_the_middle() -> None:
    image = torch.full((1, SPEC.height, SPEC.width, 3), 90, dtype=torch.uint8)
    assert looking_for_red(4)(image)[0].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_a_coarser_map_costs_less() -> None:
    def multiplications(stride: int) -> int:
        weights = KeypointEncoder(SPEC, 32, stride).convolutions.state_dict()
        places = (SPEC.height // stride) * (SPEC.width // stride)
        return places * (weights['0.weight'].numel() + weights['2.weight'].numel())

    assert multiplications(4) < multiplications(2) / 6
