"""The network by onnxruntime on one CPU thread, exported once; its weights are inputs in memory of ours."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.engines.action_graph import ActionGraph, Buffers
from hybrid_rl_ros.learning.policies.network import Network

# The first with layer normalisation.
OPSET = 17
AGREEMENT = 1e-4


class OnnxEngine:
    """A swap of weights copies them into place: some microseconds, against milliseconds for a new session.

    The price is that onnxruntime cannot lay the weights out for itself beforehand: two 128x128 cameras take a third
    longer than with constants. Rebuilding the session at every publication costs more than that saves.
    """

    def __init__(self, network: Network, specs: Specs) -> None:
        """Raises RuntimeError if the exported graph does not do what the network does."""
        self.name = f'onnxruntime {onnxruntime.__version__} on cpu'
        self.buffers = Buffers.of(specs, network)
        graph = ActionGraph(network, tuple(self.buffers.images))
        self._weights = {name: np.empty(tensor.shape, np.float32) for name, tensor in network.state_dict().items()}
        model = _export(graph, self.buffers)
        self._session = onnxruntime.InferenceSession(model, session_options(), providers=['CPUExecutionProvider'])
        overridable = {value.name for value in self._session.get_overridable_initializers()}
        # ActionGraph holds the network under this name.
        inputs = {f'network.{name}': array for name, array in self._weights.items()}
        if overridable != inputs.keys():
            raise RuntimeError(f'the exported graph has other weights: {sorted(overridable ^ inputs.keys())}')
        self._binding = self._session.io_binding()
        for name, array in {**self.buffers.inputs, **inputs}.items():
            self._binding.bind_input(name, 'cpu', 0, array.dtype.type, array.shape, array.ctypes.data)
        plan = self.buffers.plan
        self._binding.bind_output('plan', 'cpu', 0, plan.dtype.type, plan.shape, plan.ctypes.data)
        self.load(network.state_dict())
        self._check(graph)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        for name, tensor in weights.items():
            np.copyto(self._weights[name], tensor.cpu().numpy())

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    @torch.inference_mode()
    def _check(self, graph: ActionGraph) -> None:
        """An exporter that got it wrong must not move an arm."""
        rng = np.random.default_rng(0)
        for array in self.buffers.inputs.values():
            scale = 255 if array.dtype == np.uint8 else 1
            array[...] = rng.random(array.shape) * scale
        self.run()
        expected = graph(*(torch.from_numpy(array) for array in self.buffers.inputs.values())).numpy()
        off = float(np.abs(expected - self.buffers.plan).max())
        for array in self.buffers.inputs.values():
            array[...] = 0
        if not off < AGREEMENT:
            raise RuntimeError(f'the exported graph differs from the network by {off:.2g}')


def _export(graph: ActionGraph, buffers: Buffers) -> bytes:
    example = tuple(torch.from_numpy(array) for array in buffers.inputs.values())
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'policy.onnx'
        # The older exporter, for its 0.1 s against 3 s and because it keeps weights overridable.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            graph,
            example,
            str(path),
            input_names=list(buffers.inputs),
            output_names=['plan'],
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=False,
            # Without this, weights that are equal, as the zeros of a fresh network, become one.
            keep_initializers_as_inputs=True,
        )
        return path.read_bytes()


def session_options() -> onnxruntime.SessionOptions:
    """One thread, in order, and quiet."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Errors only: it warns of every weight that could be a constant.
    options.log_severity_level = 3
    return options
