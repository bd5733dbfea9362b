"""A base policy that somebody else trained: an exported model behind the face of BaseNetwork."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.foreign_base_config import ForeignBaseFile, NamedRange, foreign_sha256, read_foreign_base
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.network import Network
from hybrid_rl_ros.learning.policies.shape import PolicyShape


class ForeignShape(Section):
    """Which file, and that it is still the one that was steered."""

    file: str
    sha256: str
    chunk: int
    executed: int
    noise_range: float


class Runner(Protocol):
    """(B, S) states and (B, h, A) noise to (B, h, A)."""

    def __call__(self, state: np.ndarray, noise: np.ndarray) -> np.ndarray: ...


def foreign_shape_of(config: Config) -> ForeignShape:
    """Raises UserError for a file that is none, or whose chunks are not those of the configuration."""
    path = Path(str(config.base.file)).resolve()
    file, _ = read_foreign_base(path)
    if file.chunk != config.base.chunk:
        raise UserError(f'{path}: makes chunks of {file.chunk}, base.chunk is {config.base.chunk}; set it to that')
    if config.base.observations > 1:
        raise UserError(f'{path}: sees one state, base.observations is {config.base.observations}; set it to 1')
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
    """Has no weights of its own: its file must be where it was, as it was, on every machine that runs it."""

    tells_noise = True
    needs_eager = True

    def __init__(self, specs: Specs, shape: ForeignShape) -> None:
        """Raises UserError for a model that cannot be steered, or does not fit."""
        super().__init__()
        path = Path(shape.file)
        file, model = read_foreign_base(path)
        if foreign_sha256(path) != shape.sha256:
            raise UserError(f'{path}: it or its model has changed since the run began; begin a new run')
        self.encoders = Encoders((), PolicyShape(features=8, hidden=[]))
        self.chunk, self.acts = file.chunk, len(specs.action)
        self.noise_width = self.chunk * self.acts
        self.noise_shape = (1, self.noise_width)
        self.input_width = len(specs.observation.state)
        self._specs = specs
        self._state = _Order(path, 'state', file.state, specs.observation.state.names)
        self._actions = _Order(path, 'actions', file.actions, specs.action.names)
        missing = sorted(set(specs.action.names) - {number.name for number in file.actions})
        if missing:
            raise UserError(f'{path}: actions: {missing[0]} of the run is missing')
        self._run: Runner = _open(path, model, file)
        self._require_no_chance(path)

    def inputs(self, state: Tensor, views: dict[str, Tensor]) -> Tensor:
        return state

    def plan(self, inputs: Tensor, noise: Tensor) -> Tensor:
        return torch.cat([self.decode(inputs, noise), noise]).reshape(self.plan_rows, self.acts)

    def decode(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """(B, h * A) in [-1, 1], for normalised states (B, S) and noise (B, h * A)."""
        specs = self._specs
        state = self._state.theirs(specs.observation.state.denormalise(inputs.detach().cpu().numpy()))
        theirs = noise.detach().cpu().numpy().reshape(len(noise), self.chunk, self.acts)[..., self._actions.order]
        made = self._run(state.astype(np.float32), np.ascontiguousarray(theirs, np.float32))
        ours = specs.action.normalise(self._actions.ours(made)).reshape(len(noise), -1)
        return torch.from_numpy(np.clip(ours, -1.0, 1.0).astype(np.float32)).to(noise.device)

    def _require_no_chance(self, path: Path) -> None:
        generator = torch.Generator(device='cpu').manual_seed(0)
        noise = torch.randn(2, self.noise_width, generator=generator, device='cpu')
        state = torch.zeros(2, self.input_width, device='cpu')
        first, second = (self.decode(state, noise) for _ in range(2))
        if not torch.equal(first, second):
            raise UserError(f'{path}: the same noise gives different actions; export a sampler without chance')


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


def _open(path: Path, model: Path, file: ForeignBaseFile) -> Runner:
    try:
        runner = _OnnxRunner(model, file) if model.suffix == '.onnx' else _TorchRunner(model, file)
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    # Whatever the libraries have to say of a file that is not what its name says.
    except Exception as error:
        raise UserError(f'{path}: {model.name} cannot be loaded: {" ".join(str(error).split())[:200]}') from None
    shape = runner(np.zeros((2, len(file.state)), np.float32), np.zeros((2, file.chunk, len(file.actions)), np.float32))
    if shape.shape != (2, file.chunk, len(file.actions)):
        expected = f'(B, {file.chunk}, {len(file.actions)})'
        raise UserError(f'{path}: {model.name} gives {shape.shape} for a batch of 2, expected {expected}')
    return runner


def _require_inputs(given: list[str], file: ForeignBaseFile, model: Path) -> None:
    for role, name in (('noise', file.inputs.noise), ('state', file.inputs.state)):
        if name not in given:
            mend = 'a base policy must take its noise from outside' if role == 'noise' else f'set inputs.{role}'
            raise UserError(f'{model.name} has no input {name!r} for the {role}, but {", ".join(given)}; {mend}')


class _OnnxRunner:
    def __init__(self, model: Path, file: ForeignBaseFile) -> None:
        import onnxruntime

        from hybrid_rl_ros.learning.engines.onnx_runtime import session_options

        self._session = onnxruntime.InferenceSession(str(model), session_options(), providers=['CPUExecutionProvider'])
        inputs = self._session.get_inputs()
        _require_inputs([value.name for value in inputs], file, model)
        self._file = file
        self._one_by_one = any(value.shape and value.shape[0] == 1 for value in inputs)

    def __deepcopy__(self, _: dict[int, Any]) -> _OnnxRunner:
        return self

    def __call__(self, state: np.ndarray, noise: np.ndarray) -> np.ndarray:
        if self._one_by_one and len(state) > 1:
            return np.concatenate([self(state[i : i + 1], noise[i : i + 1]) for i in range(len(state))])
        names = self._file.inputs
        return self._session.run([self._file.output], {names.state: state, names.noise: noise})[0]


class _TorchRunner:
    def __init__(self, model: Path, file: ForeignBaseFile) -> None:
        # Policies are built without memory; a model brings its own.
        with torch.device('cpu'):
            program = torch.export.load(str(model))
        self._order = [str(name) for name in program.graph_signature.user_inputs]
        _require_inputs(self._order, file, model)
        self._module, self._file = program.module(), file
        examples = program.example_inputs
        self._one_by_one = False
        try:
            self._call(
                np.zeros((2, len(file.state)), np.float32), np.zeros((2, file.chunk, len(file.actions)), np.float32)
            )
        except (RuntimeError, AssertionError, ValueError):
            self._one_by_one = examples is not None

    def __deepcopy__(self, _: dict[int, Any]) -> _TorchRunner:
        return self

    def __call__(self, state: np.ndarray, noise: np.ndarray) -> np.ndarray:
        if self._one_by_one and len(state) > 1:
            return np.concatenate([self._call(state[i : i + 1], noise[i : i + 1]) for i in range(len(state))])
        return self._call(state, noise)

    @torch.no_grad()
    def _call(self, state: np.ndarray, noise: np.ndarray) -> np.ndarray:
        inputs = {self._file.inputs.state: state, self._file.inputs.noise: noise}
        return self._module(*(torch.from_numpy(inputs[name]) for name in self._order)).numpy()
