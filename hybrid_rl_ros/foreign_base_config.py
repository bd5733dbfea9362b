"""The file that describes a base policy which somebody else trained and exported: what goes in, and what comes out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hybrid_rl_ros.config_file import Section, read_yaml, validate
from hybrid_rl_ros.errors import UserError

ModelPath = Annotated[str, Field(pattern=r'\.(onnx|pt2)$', description='ONNX, or torch.export; a path from here')]


class NamedRange(Section):
    """A number by its name in the run, in its unit there; the model's -1 and 1 stand for `low` and `high` of it."""

    name: str
    low: float | None = Field(None, description='without low and high the number goes through as it is')
    high: float | None = None

    @model_validator(mode='after')
    def _is_a_range(self) -> NamedRange:
        if (self.low is None) != (self.high is None):
            raise ValueError(f'{self.name}: low and high come together')
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f'{self.name}: low ({self.low:g}) must be below high ({self.high:g})')
        return self


class ForeignCamera(Section):
    """A model of its own that makes of one camera's picture what the policy sees of it: (B, features) float32.

    A picture goes in as (number / 255 - mean) / std, red first.
    """

    model: ModelPath
    features: int = Field(ge=1)
    input: str = 'image'
    output: str = Field('features', description='of an ONNX model')
    layout: Literal['nchw', 'nhwc'] = 'nchw'
    mean: list[float] = Field([0.0, 0.0, 0.0], min_length=3, max_length=3)
    std: list[Annotated[float, Field(gt=0)]] = Field([1.0, 1.0, 1.0], min_length=3, max_length=3)


class ForeignInputs(Section):
    """What the model calls its inputs, all float32: `state` (B, S), of several observations (B, To, S); `noise`
    (B, chunk, A); with cameras `features` (B, F), theirs side by side in the order of the file."""

    state: str = 'state'
    noise: str = 'noise'
    features: str = 'features'


class ForeignBaseFile(Section):
    """An exported policy: the noise and what is seen to a chunk of actions (B, chunk, A), without chance."""

    version: Literal[1] = Field(description='of this description, normalisation included')
    model: ModelPath
    state: list[NamedRange] = Field(min_length=1)
    observations: int = Field(
        1, ge=1, description='states that it sees, the newest last; of cameras the newest picture'
    )
    cameras: dict[str, ForeignCamera] = {}
    actions: list[NamedRange] = Field(min_length=1)
    chunk: int = Field(ge=1)
    inputs: ForeignInputs = ForeignInputs()
    output: str = Field('chunk', description='of an ONNX model')
    noise_range: float = Field(3.0, gt=0, description='the largest number that a noise had in training')


def read_foreign_base(path: Path) -> ForeignBaseFile:
    """Raises UserError, also for a model that is not where it says."""
    file = validate(ForeignBaseFile, read_yaml(path), str(path))
    for key, model in _models(file).items():
        if not (path.parent / model).is_file():
            raise UserError(f'{path}: {key}: there is no file {path.parent / model}')
    return file


def foreign_sha256(path: Path) -> str:
    """Of the description and its models together. Raises UserError."""
    files = [path, *(path.parent / model for model in _models(read_foreign_base(path)).values())]
    # What torch.onnx.export leaves outside of a model: all its weights, by default.
    files += [outside for file in files if (outside := file.with_name(f'{file.name}.data')).is_file()]
    try:
        return hashlib.sha256(b''.join(file.read_bytes() for file in files)).hexdigest()
    except OSError as error:
        raise UserError(f'{error.filename}: cannot be read: {error.strerror}') from None


def _models(file: ForeignBaseFile) -> dict[str, str]:
    """By the keys that name them."""
    return {'model': file.model, **{f'cameras.{name}.model': camera.model for name, camera in file.cameras.items()}}
