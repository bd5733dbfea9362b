"""The network of a steered policy: a frozen base, an actor that chooses its noise, and critics that may overrule it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.mlp import CriticEnsemble, GaussianActor, Trunk
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork, BaseShape, base_shape_of
from hybrid_rl_ros.learning.policies.foreign_base import ForeignBase, ForeignShape, foreign_shape_of
from hybrid_rl_ros.learning.policies.network import Network

ACTIVATION = 'relu'
MODE_SEED = 0


class SteeredShape(Section):
    """What a steered policy is made of, beside the specs. As in DsrlConfig."""

    base: BaseShape | ForeignShape
    variant: Literal['na', 'sac']
    bound: float
    noise: Literal['per_step', 'tiled']
    hidden: list[int]
    critics: int
    gate: bool
    gate_actor_samples: int
    gate_normal_samples: int


def steered_shape_of(config: Config) -> SteeredShape:
    known = {name: getattr(config.dsrl, name) for name in SteeredShape.model_fields if name != 'base'}
    base = base_shape_of(config) if config.base.file is None else foreign_shape_of(config)
    return SteeredShape(base=base, **known)


def _base(specs: Specs, shape: BaseShape | ForeignShape) -> BaseNetwork | ForeignBase:
    return BaseNetwork(specs, shape) if isinstance(shape, BaseShape) else ForeignBase(specs, shape)


class SteeredNetwork(Network):
    """Noise within [-bound, bound], which the base decodes into a chunk.

    With the gate, the noises weighed are: none; the actor's mode; some drawn from the actor; some standard normal.
    For the policy's mode these draws are the same at every observation, so that it is a function of the observation.
    """

    tells_noise = True

    def __init__(self, specs: Specs, shape: SteeredShape) -> None:
        super().__init__()
        self.shape = shape
        self.base = _base(specs, shape.base).requires_grad_(False)
        self.needs_eager = self.base.needs_eager
        self.observations, self.chunk, self.acts = self.base.observations, self.base.chunk, self.base.acts
        self.noise_width = self.acts if shape.noise == 'tiled' else self.base.noise_width
        trunk = Trunk(shape.hidden, ACTIVATION)
        self.actor = GaussianActor(self.base.input_width, self.noise_width, trunk)
        self._executed = shape.base.executed * self.acts
        judged = self._executed if shape.variant == 'na' else self.noise_width
        self.critics = CriticEnsemble(shape.critics, self.base.input_width, judged, trunk)
        self._drawn = shape.gate_actor_samples if shape.gate else 1
        self.noise_shape = (self._drawn + (shape.gate_normal_samples if shape.gate else 0), self.noise_width)

    @property
    def encoders(self) -> Encoders:  # type: ignore[override]
        """The base's; registered once, as in a file every weight has one name."""
        return self.base.encoders

    def inputs(self, state: Tensor, views: dict[str, Tensor]) -> Tensor:
        return self.base.inputs(state, views)

    def decode(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """(B, h * A) actions of noise (B, W)."""
        return self.base.decode(inputs, self.whole(noise))

    def executed(self, chunks: Tensor) -> Tensor:
        """(B, E * A): what is done of them before the next, which is what critics of chunks judge."""
        return chunks[:, : self._executed]

    def whole(self, noise: Tensor) -> Tensor:
        """(B, h * A) of (B, W): repeated for every step if it is one for all."""
        return noise.repeat(1, self.chunk) if self.shape.noise == 'tiled' else noise

    def mode_noise(self) -> Tensor:
        if not self.shape.gate:
            return torch.zeros(self.noise_shape)
        return torch.randn(self.noise_shape, generator=torch.Generator().manual_seed(MODE_SEED))

    def plan(self, inputs: Tensor, noise: Tensor) -> Tensor:
        candidates = self.candidates(inputs, noise)
        every = inputs.expand(len(candidates), inputs.shape[1])
        chunks = self.decode(every, candidates)
        if self.shape.gate:
            best = self.judge(every, candidates, chunks).argmax(0, keepdim=True)
            chunks, candidates = chunks[best], candidates[best]
        return torch.cat([chunks.reshape(self.chunk, self.acts), self.whole(candidates).reshape(self.chunk, self.acts)])

    def candidates(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """(N, W) noises that may be chosen for inputs (1, C)."""
        bound = self.shape.bound
        mean, log_std = self.actor(inputs)
        drawn = bound * torch.tanh(mean + log_std.exp() * noise[: self._drawn])
        if not self.shape.gate:
            return drawn
        mode = bound * torch.tanh(mean)
        return torch.cat([torch.zeros_like(mode), mode, drawn, noise[self._drawn :].clamp(-bound, bound)])

    def judge(self, inputs: Tensor, noise: Tensor, chunks: Tensor) -> Tensor:
        """(N,) what the least of the critics thinks of each."""
        return self.critics(inputs, self.executed(chunks) if self.shape.variant == 'na' else noise).min(0).values
