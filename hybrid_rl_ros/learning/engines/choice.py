"""Which engine runs the policy."""

from __future__ import annotations

import torch

from hybrid_rl_ros.config import InferenceConfig
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.engines.action_graph import Engine
from hybrid_rl_ros.learning.engines.eager import EagerEngine
from hybrid_rl_ros.learning.policies.network import Network


def make_engine(network: Network, specs: Specs, config: InferenceConfig) -> Engine:
    """An engine for networks like this one, with its weights. Raises UserError if what was asked for cannot be had."""
    if config.device == 'cuda' and not torch.cuda.is_available():
        raise UserError('inference.device=cuda, but torch finds no GPU; set inference.device=cpu')
    if config.engine == 'eager' or network.needs_eager:
        return EagerEngine(network, specs, config.device)
    try:
        return _fast_engine(network, specs, config.device)
    # Whatever an optional library has to say, it is said here, before anything moves, and never during a tick.
    except Exception as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        if config.engine == 'onnx':
            raise UserError(f'inference.engine=onnx cannot be had ({reason}); pip install onnxruntime onnx') from None
        return EagerEngine(network, specs, config.device, why=f'nothing faster: {reason}')


def _fast_engine(network: Network, specs: Specs, device: str) -> Engine:
    # Imported here, because neither onnxruntime nor a GPU need be there.
    if device == 'cuda':
        from hybrid_rl_ros.learning.engines.cuda_graph import CudaGraphEngine

        return CudaGraphEngine(network, specs)
    from hybrid_rl_ros.learning.engines.onnx_runtime import OnnxEngine

    return OnnxEngine(network, specs)
