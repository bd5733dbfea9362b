"""What an observation and an action are made of: names, units and bounds, written beside all data."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict

from hybrid_rl_ros.errors import UserError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra='forbid')


class Dimension(_Frozen):
    """One named number with its unit; `low` and `high` bound an action and scale a state."""

    name: str
    unit: str
    low: float
    high: float


class ImageSpec(_Frozen):
    """One camera's image as the policy sees it: uint8 RGB of shape (height, width, 3)."""

    camera: str
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, 3)


class VectorSpec(_Frozen):
    """An ordered, named vector."""

    dimensions: tuple[Dimension, ...]

    @property
    def names(self) -> list[str]:
        return [dimension.name for dimension in self.dimensions]

    @property
    def low(self) -> np.ndarray:
        return np.array([dimension.low for dimension in self.dimensions], np.float32)

    @property
    def high(self) -> np.ndarray:
        return np.array([dimension.high for dimension in self.dimensions], np.float32)

    def __len__(self) -> int:
        return len(self.dimensions)

    def normalise(self, vector: np.ndarray) -> np.ndarray:
        """Map [low, high] to [-1, 1]; shape (..., D) in and out."""
        return (vector - self.low) / (self.high - self.low) * 2.0 - 1.0

    def denormalise(self, vector: np.ndarray) -> np.ndarray:
        """Map [-1, 1] to [low, high]; shape (..., D) in and out."""
        return self.low + (vector + 1.0) / 2.0 * (self.high - self.low)


class ObservationSpec(_Frozen):
    """The policy's inputs: one state vector and any number of camera images."""

    state: VectorSpec
    images: tuple[ImageSpec, ...] = ()


class ActionSpec(VectorSpec):
    """The policy's output in physical units; `low` and `high` are what one control step may ask for."""


class Specs(_Frozen):
    """Both specs together, as kept in `specs.json` beside a dataset, a checkpoint or a run.

    `noise_steps`: of how many actions a steered policy's noise is stored beside the first of them; 0 for none.
    """

    observation: ObservationSpec
    action: ActionSpec
    noise_steps: int = 0

    def without_state(self, names: Collection[str]) -> Specs:
        """The same without these numbers of the state."""
        kept = tuple(dimension for dimension in self.observation.state.dimensions if dimension.name not in names)
        observation = ObservationSpec(state=VectorSpec(dimensions=kept), images=self.observation.images)
        return self.model_copy(update={'observation': observation})


@dataclass
class Observation:
    """One observation: `state` (S,) float32 and per camera (H, W, 3) uint8.

    For a policy that sees several states, (T, S), the newest last.
    """

    state: np.ndarray
    images: dict[str, np.ndarray] = field(default_factory=dict)


def spec_differences(found: Specs, expected: Specs) -> list[str]:
    """Every way in which `found` differs from `expected`, each naming the dimension or camera."""
    differences = [
        *_vector_differences('observation', found.observation.state.dimensions, expected.observation.state.dimensions),
        *_vector_differences('action', found.action.dimensions, expected.action.dimensions),
    ]
    found_images = {image.camera: image for image in found.observation.images}
    expected_images = {image.camera: image for image in expected.observation.images}
    for camera in sorted(found_images.keys() | expected_images.keys()):
        ours, theirs = found_images.get(camera), expected_images.get(camera)
        if ours is None or theirs is None:
            differences.append(f'camera {camera!r} is {"missing" if ours is None else "not expected"}')
        elif ours.shape != theirs.shape:
            differences.append(f'camera {camera!r} has shape {ours.shape}, expected {theirs.shape}')
    return differences


def require_same_specs(found: Specs, expected: Specs, where: str) -> None:
    """Raise UserError naming every difference between the data at `where` and the configuration."""
    differences = spec_differences(found, expected)
    if differences:
        raise UserError(f'{where} does not fit the configuration: {"; ".join(differences)}')


def _vector_differences(kind: str, found: Iterable[Dimension], expected: Iterable[Dimension]) -> list[str]:
    found_by_name = {dimension.name: dimension for dimension in found}
    expected_by_name = {dimension.name: dimension for dimension in expected}
    differences = []
    for name in sorted(found_by_name.keys() | expected_by_name.keys()):
        ours, theirs = found_by_name.get(name), expected_by_name.get(name)
        if ours is None or theirs is None:
            differences.append(f'{kind} {name!r} is {"missing" if ours is None else "not expected"}')
        elif ours != theirs:
            differences.append(
                f'{kind} {name!r} is [{ours.low:g}, {ours.high:g}] {ours.unit}, '
                f'expected [{theirs.low:g}, {theirs.high:g}] {theirs.unit}'
            )
    if not differences and list(found_by_name) != list(expected_by_name):
        differences.append(f'{kind} order is {list(found_by_name)}, expected {list(expected_by_name)}')
    return differences
