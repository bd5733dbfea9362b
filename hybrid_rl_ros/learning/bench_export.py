"""A sampler as one graph of onnxruntime, for the benches."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from hybrid_rl_ros.learning.engines.onnx_runtime import OPSET, session_options

AGREEMENT = 1e-4


class Exported:
    """Called as the module is, with arrays. Raises AssertionError if it does not do what the module does."""

    def __init__(self, module: nn.Module, **example: np.ndarray) -> None:
        self._names = list(example)
        tensors = tuple(torch.from_numpy(array) for array in example.values())
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            warnings.simplefilter('ignore')
            path = str(Path(folder) / 'sampler.onnx')
            torch.onnx.export(
                module,
                tensors,
                path,
                input_names=self._names,
                output_names=['chunk'],
                opset_version=OPSET,
                dynamo=False,
            )
            self._session = onnxruntime.InferenceSession(path, session_options(), providers=['CPUExecutionProvider'])
            expected = module(*tensors).numpy()
        np.testing.assert_allclose(self(*example.values()), expected, atol=AGREEMENT)

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        return self._session.run(None, dict(zip(self._names, arrays)))[0]
