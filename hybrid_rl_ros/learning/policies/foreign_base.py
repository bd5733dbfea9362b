"""A base policy that somebody else trained: exported models behind the face of BaseNetwork."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.data.specs import ImageSpec, Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.foreign_base_config import (
    ForeignBaseFile,
    ForeignCamera,
    NamedRange,
    foreign_sha256,
    read_foreign_base,
)
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.exported_model import ExportedModel
from hybrid_rl_ros.learning.policies.network import Network


class ForeignShape(Section):
    """Which file, and that it is still the one that was steered."""

    file: str
    sha256: str
    chunk: int
    executed: int
    noise_range: float


def foreign_shape_of(config: Config) -> ForeignShape:
    """Raises UserError for a file that is none, or whose chunks and observations are not those of the configuration."""
    path = Path(str(config.base.file)).resolve()
    file = read_foreign_base(path)
    if file.chunk != config.base.chunk:
        raise UserError(f'{path}: makes chunks of {file.chunk}, base.chunk is {config.base.chunk}; set it to that')
    if file.observations != config.base.observations:
        raise UserError(
            f'{path}: observations: sees {file.observations}, base.observations is {config.base.observations}; '
            f'set it to {file.observations}'
        )
    if config.agent == 'dsrl' and config.dsrl.bound > file.noise_range:
        raise UserError(
            f'dsrl.bound ({config.dsrl.bound:g}) is beyond the noise that {path} was trained with '
            f'(noise_range {file.noise_range:g})'
        )
    sha256 = foreign_sha256(path)
    return ForeignShape(
        file=str(path), sha256=sha256, chunk=file.chunk, executed=config.base.acts, noise_range=file.noise_range
    )


class ForeignBase(Network):
    """Has no weights of its own: its files must be where they were, as they were, on every machine that runs it.

    `inputs` are normalised states and, with cameras, the features of the newest pictures: what is steered by sees
    what the base sees.
    """

    tells_noise = True
    needs_eager = True

    def __init__(self, specs: Specs, shape: ForeignShape) -> None:
        """Raises UserError for a model that cannot be steered, or does not fit."""
        super().__init__()
        path = Path(shape.file)
        file = read_foreign_base(path)
        if foreign_sha256(path) != shape.sha256:
            raise UserError(f'{path}: it or its model has changed since the run began; begin a new run')
        self.encoders = ForeignEncoders(path, file.cameras, specs.observation.images)
        self.chunk, self.acts, self.observations = file.chunk, len(specs.action), file.observations
        self.noise_width = self.chunk * self.acts
        self.noise_shape = (1, self.noise_width)
        self._states_width = self.observations * len(specs.observation.state)
        self.input_width = self._states_width + self.encoders.width
        self._specs = specs
        self._state = _Order(path, 'state', file.state, specs.observation.state.names)
        self._actions = _Order(path, 'actions', file.actions, specs.action.names)
        missing = sorted(set(specs.action.names) - {number.name for number in file.actions})
        if missing:
            raise UserError(f'{path}: actions: {missing[0]} of the run is missing')
        self._model = _policy(path, file, self.encoders.width)
        self._require_no_chance(path)

    def inputs(self, state: Tensor, views: dict[str, Tensor]) -> Tensor:
        return torch.cat([state, self.encoders(views, len(state))], dim=-1) if self.encoders.width else state

    def plan(self, inputs: Tensor, noise: Tensor) -> Tensor:
        return torch.cat([self.decode(inputs, noise), noise]).reshape(self.plan_rows, self.acts)

    def decode(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """(B, h * A) in [-1, 1], for what `inputs` made (B, C) and noise (B, h * A)."""
        specs, seen = self._specs, inputs.detach().cpu().numpy()
        states = seen[:, : self._states_width].reshape(len(seen), self.observations, -1)
        states = self._state.theirs(specs.observation.state.denormalise(states))
        theirs = noise.detach().cpu().numpy().reshape(len(noise), self.chunk, self.acts)[..., self._actions.order]
        arrays = {'state': states if self.observations > 1 else states[:, 0], 'noise': theirs}
        if self.encoders.width:
            arrays['features'] = seen[:, self._states_width :]
        ours = specs.action.normalise(self._actions.ours(self._model(arrays))).reshape(len(noise), -1)
        return torch.from_numpy(np.clip(ours, -1.0, 1.0).astype(np.float32)).to(noise.device)

    def _require_no_chance(self, path: Path) -> None:
        generator = torch.Generator(device='cpu').manual_seed(0)
        noise = torch.randn(2, self.noise_width, generator=generator, device='cpu')
        inputs = torch.zeros(2, self.input_width, device='cpu')
        first, second = (self.decode(inputs, noise) for _ in range(2))
        if not torch.equal(first, second):
            raise UserError(f'{path}: the same noise gives different actions; export a sampler without chance')


class ForeignEncoder(nn.Module):
    """(B, H, W, 3) uint8 to (B, features), all of it trunk; what it made goes through as it is."""

    def __init__(self, path: Path, camera: ForeignCamera, spec: ImageSpec) -> None:
        """Raises UserError for a model that does not take the camera's pictures."""
        super().__init__()
        self._camera = camera
        self._mean, self._std = np.array(camera.mean, np.float32), np.array(camera.std, np.float32)
        noise = np.random.default_rng(0).integers(0, 256, (2, *spec.shape), np.uint8)
        pictures = {'picture': self._scaled(noise)}
        where = f'{path}: cameras.{spec.camera}: '
        self._model = _opened(where, path.parent / camera.model, {'picture': camera.input}, camera.output, pictures)
        made = self._model(pictures)
        _require_shape(where + camera.model, made, (camera.features,))
        if not np.array_equal(made, self._model(pictures)):
            raise UserError(
                f'{where}{camera.model} makes different features of the same picture; export it for inference'
            )

    def trunk(self, images: Tensor) -> Tensor:
        made = self._model({'picture': self._scaled(images.cpu().numpy())})
        return torch.from_numpy(made.astype(np.float32)).to(images.device)

    def forward(self, view: Tensor) -> Tensor:
        return self.trunk(view) if view.dtype == torch.uint8 else view

    def trunk_parameters(self) -> list[nn.Parameter]:
        return []

    def _scaled(self, images: np.ndarray) -> np.ndarray:
        scaled = (images.astype(np.float32) / 255.0 - self._mean) / self._std
        return scaled.transpose(0, 3, 1, 2) if self._camera.layout == 'nchw' else scaled


class ForeignEncoders(Encoders):
    """One for each camera of the file, in its order."""

    def __init__(self, path: Path, cameras: dict[str, ForeignCamera], specs: tuple[ImageSpec, ...]) -> None:
        nn.Module.__init__(self)
        by_name = {spec.camera: spec for spec in specs}
        unknown = [name for name in cameras if name not in by_name]
        if unknown:
            given = ', '.join(by_name) or 'none'
            raise UserError(f"{path}: cameras: {unknown[0]} is not among the run's: {given}")
        self.cameras = nn.ModuleDict({name: ForeignEncoder(path, c, by_name[name]) for name, c in cameras.items()})
        self.width = sum(camera.features for camera in cameras.values())


class _Order:
    """Numbers in the run's order and units, and in those of the model."""

    def __init__(self, path: Path, what: str, numbers: list[NamedRange], names: list[str]) -> None:
        unknown = [number.name for number in numbers if number.name not in names]
        if unknown:
            raise UserError(f"{path}: {what}: {unknown[0]} is not among the run's: {', '.join(names)}")
        self.order = np.array([names.index(number.name) for number in numbers])
        self._low = np.array([-1.0 if number.low is None else number.low for number in numbers])
        self._high = np.array([1.0 if number.high is None else number.high for number in numbers])

    def theirs(self, values: np.ndarray) -> np.ndarray:
        return (values[..., self.order] - self._low) / (self._high - self._low) * 2.0 - 1.0

    def ours(self, values: np.ndarray) -> np.ndarray:
        placed = np.empty_like(values, dtype=np.float64)
        placed[..., self.order] = self._low + (values + 1.0) / 2.0 * (self._high - self._low)
        return placed


def _policy(path: Path, file: ForeignBaseFile, features: int) -> ExportedModel:
    width, acts = len(file.state), len(file.actions)
    example = {'state': np.zeros((2, file.observations, width) if file.observations > 1 else (2, width), np.float32)}
    example['noise'] = np.zeros((2, file.chunk, acts), np.float32)
    if features:
        example['features'] = np.zeros((2, features), np.float32)
    inputs = {role: name for role, name in file.inputs.model_dump().items() if role in example}
    model = _opened(f'{path}: ', path.parent / file.model, inputs, file.output, example)
    _require_shape(f'{path}: {file.model}', model(example), (file.chunk, acts))
    return model


def _opened(
    where: str, model: Path, inputs: dict[str, str], output: str, example: dict[str, np.ndarray]
) -> ExportedModel:
    try:
        return ExportedModel(model, inputs, output, example)
    except UserError as error:
        raise UserError(f'{where}{error}') from None


def _require_shape(what: str, made: np.ndarray, each: tuple[int, ...]) -> None:
    if made.shape != (2, *each):
        raise UserError(f'{what} gives {made.shape} for a batch of 2, expected (B, {", ".join(map(str, each))})')
