"""A model that somebody exported, ONNX or torch.export, called by the names of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_unflatten

from hybrid_rl_ros.errors import UserError

Arrays = Mapping[str, np.ndarray]


class ExportedModel:
    """Arrays (B, ...) float32 by `inputs`' roles to an array (B, ...); one at a time where it takes no other batches.

    A copy is the same model: it has no state.
    """

    def __init__(self, model: Path, inputs: dict[str, str], output: str, example: Arrays) -> None:
        """`inputs`: what it calls each role; `example` of two, by role. Raises UserError for what cannot be run so."""
        self._name, self._inputs, self._one_by_one = model.name, inputs, False
        # Whatever the libraries have to say of a file that is not what its name says.
        try:
            self._runner = _OnnxRunner(model) if model.suffix == '.onnx' else _TorchRunner(model)
        except Exception as error:
            raise UserError(f'{model.name} cannot be loaded: {_line(error)}') from None
        self._require_inputs()
        self._runner.require_output(output)
        self._one_by_one = not self._takes(example)
        try:
            self(example)
        except Exception as error:
            shapes = ', '.join(f'{inputs[role]} {array[:1].shape}' for role, array in example.items())
            raise UserError(f'{model.name} cannot be run on {shapes}: {_line(error)}') from None

    def __deepcopy__(self, _: dict[int, Any]) -> ExportedModel:
        return self

    def __call__(self, arrays: Arrays) -> np.ndarray:
        named = {self._inputs[role]: np.ascontiguousarray(array, np.float32) for role, array in arrays.items()}
        batch = len(next(iter(named.values())))
        if not self._one_by_one or batch == 1:
            return self._runner.run(named)
        each = [self._runner.run({name: array[i : i + 1] for name, array in named.items()}) for i in range(batch)]
        return np.concatenate(each)

    def _takes(self, example: Arrays) -> bool:
        try:
            self(example)
        except Exception:
            return False
        return True

    def _require_inputs(self) -> None:
        given = self._runner.inputs
        for role, name in self._inputs.items():
            if name not in given:
                mend = 'a base policy must take its noise from outside' if role == 'noise' else 'say which it is'
                raise UserError(f'{self._name} has no input {name!r} for the {role}, but {", ".join(given)}; {mend}')
        more = [name for name in given if name not in self._inputs.values()]
        if more:
            raise UserError(f'{self._name} takes {more[0]!r} too, which nothing is said of')


class _OnnxRunner:
    def __init__(self, model: Path) -> None:
        import onnxruntime

        from hybrid_rl_ros.learning.engines.onnx_runtime import session_options

        self._session = onnxruntime.InferenceSession(str(model), session_options(), providers=['CPUExecutionProvider'])
        self.inputs = [value.name for value in self._session.get_inputs()]
        self._model = model.name

    def require_output(self, name: str) -> None:
        given = [value.name for value in self._session.get_outputs()]
        if name not in given:
            raise UserError(f'{self._model} has no output {name!r}, but {", ".join(given)}')
        self._output = name

    def run(self, named: dict[str, np.ndarray]) -> np.ndarray:
        made = self._session.run([self._output], named)[0]
        if not isinstance(made, np.ndarray):
            raise TypeError(f'its output {self._output} is a {type(made).__name__}, expected a tensor')
        return made


class _TorchRunner:
    def __init__(self, model: Path) -> None:
        # Policies are built without memory; a model brings its own.
        with torch.device('cpu'):
            program = torch.export.load(str(model))
        self.inputs = [str(name) for name in program.graph_signature.user_inputs]
        self._called_with = program.call_spec.in_spec
        self._module = program.module()

    def require_output(self, _: str) -> None:
        """It has one, without a name."""

    @torch.no_grad()
    def run(self, named: dict[str, np.ndarray]) -> np.ndarray:
        by_position, by_name = tree_unflatten(
            [torch.from_numpy(named[name]) for name in self.inputs], self._called_with
        )
        return self._module(*by_position, **by_name).numpy()


def _line(error: Exception) -> str:
    return ' '.join(str(error).split())[:200]
