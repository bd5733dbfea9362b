"""The encoders' part of a run's configuration, and where their weights are looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.errors import UserError


class EncoderConfig(Section):
    """One convolutional encoder per camera: a trunk, and a head that makes `features` numbers of what the trunk saw."""

    kind: Literal['small', 'keypoints', 'resnet10', 'resnet18'] = Field(
        'small',
        description='small: two convolutions and a linear layer. keypoints: where features/2 things are in the image. '
        'resnet*: a head weights the places of their map',
    )
    weights: str | None = Field(
        None, description="a safetensors file with a ResNet's weights, as torchvision or timm name them; every camera's"
    )
    features: int = Field(64, ge=8)
    stride: Literal[2, 4] = Field(2, description="of keypoints' maps, in pixels; 4 costs a sixth")
    mode: Literal['frozen', 'end_to_end'] = Field(
        'frozen', description='frozen: what does not learn is computed once per frame and kept'
    )
    pretraining: Literal['bc', 'dynamo', 'none'] = Field(
        'bc', description='on the demonstrations, before anything is frozen; none: random weights, or `weights`'
    )
    random_shift_px: int = Field(3, ge=0, le=15, description='less than the smallest image is wide')
    cached_shifts: int = Field(
        0, ge=0, le=32, description='frozen: so many randomly shifted copies are kept of what the trunk saw, besides'
    )

    @model_validator(mode='after')
    def _keys_fit(self) -> EncoderConfig:
        if self.weights is not None and self.kind in ('small', 'keypoints'):
            raise ValueError(f"weights are a ResNet's: they need kind: resnet10 or resnet18, not kind: {self.kind}")
        if self.kind == 'keypoints' and self.features % 2:
            raise ValueError(f'kind: keypoints has x and y of each point: features ({self.features}) must be even')
        if self.stride != 2 and self.kind != 'keypoints':
            raise ValueError(f'stride is of kind: keypoints; not of kind: {self.kind}')
        if self.cached_shifts and self.mode == 'end_to_end':
            raise ValueError('cached_shifts needs mode: frozen; with mode: end_to_end every draw is shifted anew')
        if self.cached_shifts and not self.random_shift_px:
            raise ValueError('cached_shifts needs random_shift_px above 0, or all copies are the same')
        return self

    def with_weights_found(self, config_folder: Path) -> EncoderConfig:
        """`weights` as an absolute path, looked for here and beside the configuration. Raises UserError.

        An absolute path stays as it is: a run is evaluated where the file that it began with is no longer.
        """
        if self.weights is None or Path(self.weights).is_absolute():
            return self
        candidates = [(folder / self.weights).resolve() for folder in (Path.cwd(), config_folder)]
        for candidate in candidates:
            if candidate.is_file():
                return self.model_copy(update={'weights': str(candidate)})
        looked = ' or '.join(dict.fromkeys(map(str, candidates)))
        raise UserError(f'encoder.weights: no file {looked}; expected a path from here or from the configuration')


class DynamoConfig(Section):
    """Pretraining of the encoders by the dynamics of the demonstrations (`encoder.pretraining: dynamo`)."""

    updates: int = Field(400, ge=1)
    batch: int = Field(32, ge=2, description='windows')
    window: int = Field(5, ge=2, description='steps')
    learning_rate: float = Field(1e-3, gt=0)
