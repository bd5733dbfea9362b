"""The rows of `hybrid-rl bench inference` for samplers of few calls: against ten steps of the same network and engine.

What they cost in success is in benchmarks/results/*-base.json.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.bench_export import Exported
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork, base_shape_of
from hybrid_rl_ros.learning.timing import interleaved, percentile_rows

BASE: dict[str, Any] = {'hidden': [256, 256, 256], 'chunk': 8, 'executed': 1}
# Name, method, calls of the denoiser for a chunk that is refined; None for one from noise.
CASES = (
    ('flow, real-time iteration, 2 steps', 'flow', 2),
    ('flow, real-time iteration, 1 step', 'flow', 1),
    ('ddpm, real-time iteration, 2 steps', 'ddpm', 2),
    ('mean flow, 1 step', 'mean_flow', None),
)


class Decode(nn.Module):
    def __init__(self, network: BaseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: Tensor, noise: Tensor) -> Tensor:
        return self.network.decode(self.network.inputs(state, {}), noise)


class Refine(Decode):
    def forward(self, state: Tensor, noise: Tensor, guess: Tensor | None = None) -> Tensor:
        assert guess is not None
        return self.network.refine(self.network.inputs(state, {}), guess, noise)


def base_rows(specs: Specs) -> list[dict[str, Any]]:
    """`specs`: without cameras, whose encoders take as long in every row."""
    rng = np.random.default_rng(0)
    rows = []
    for name, method, refined in CASES:
        full = _network(specs, 'flow' if method == 'mean_flow' else method)
        few = _network(specs, method, refined)
        widths = {'state': few.input_width, 'noise': few.noise_width}
        given = {name: rng.standard_normal((1, width), np.float32) for name, width in widths.items()}
        guess = {'guess': np.tanh(rng.standard_normal(given['noise'].shape, np.float32))} if refined else {}
        ours = Exported(Refine(few) if refined else Decode(few), **given, **guess)
        peer = Exported(Decode(full), **given)
        times = interleaved(partial(ours, *given.values(), *guess.values()), partial(peer, *given.values()))
        calls = {'calls': refined or few.shape.steps, 'peer_calls': full.shape.steps}
        peer_name = f'{full.shape.method}, {full.shape.steps} steps'
        rows += percentile_rows(name, times[0], peer_name, times[1], engine='onnxruntime', **calls)
    return rows


def _network(specs: Specs, method: str, refine: int | None = None) -> BaseNetwork:
    torch.manual_seed(0)
    config = Config.model_validate({'base': {**BASE, 'method': method, 'refine': refine}})
    return BaseNetwork(specs, base_shape_of(config)).requires_grad_(False).eval()
