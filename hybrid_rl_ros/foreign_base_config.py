"""The file that describes a base policy which somebody else trained and exported: what goes in, and what comes out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from hybrid_rl_ros.config_file import Section, read_yaml, validate
from hybrid_rl_ros.errors import UserError


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


class ForeignInputs(Section):
    """What the model calls its inputs: `state` (B, S) float32 and `noise` (B, chunk, A) float32."""

    state: str = 'state'
    noise: str = 'noise'


class ForeignBaseFile(Section):
    """An exported policy: the noise and what is seen to a chunk of actions (B, chunk, A), without chance."""

    version: Literal[1] = Field(description='of this description, normalisation included')
    model: str = Field(pattern=r'\.(onnx|pt2)$', description='ONNX, or torch.export; a path from here')
    state: list[NamedRange] = Field(min_length=1)
    actions: list[NamedRange] = Field(min_length=1)
    chunk: int = Field(ge=1)
    inputs: ForeignInputs = ForeignInputs()
    output: str = 'chunk'
    noise_range: float = Field(3.0, gt=0, description='the largest number that a noise had in training')


def read_foreign_base(path: Path) -> tuple[ForeignBaseFile, Path]:
    """The description and the model's path. Raises UserError."""
    file = validate(ForeignBaseFile, read_yaml(path), str(path))
    model = path.parent / file.model
    if not model.is_file():
        raise UserError(f'{path}: model: there is no file {model}')
    return file, model


def foreign_sha256(path: Path) -> str:
    """Of the description and its model together. Raises UserError."""
    _, model = read_foreign_base(path)
    return hashlib.sha256(path.read_bytes() + model.read_bytes()).hexdigest()
