"""Acting as a base policy by itself, step by step, in the process that holds the network."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from torch import Tensor

from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork
from hybrid_rl_ros.learning.policies.policy import normalised_states
from hybrid_rl_ros.learning.policies.warm_start import WarmStart
from hybrid_rl_ros.learning.relative_frame import make_frame


class BaseActor:
    """One arm, one action a control step; `calls` counts how often the denoiser ran.

    A chunk is made of fresh standard normal noise (`deviation` 1; 0: none) and its first `shape.executed` actions are
    done. With `shape.refine` every chunk but an episode's first begins as what is left of the one before.
    """

    def __init__(self, network: BaseNetwork, specs: Specs, seed: int, deviation: float = 1.0) -> None:
        self._network, self._specs, self._deviation = network, specs, deviation
        self._frame = make_frame(specs, network.shape.relative_frame)
        self._generator = torch.Generator().manual_seed(seed)
        self._states: deque[np.ndarray] = deque(maxlen=network.observations)
        self._warm = WarmStart()
        self.calls = 0
        self.reset()

    def reset(self) -> None:
        """An episode begins."""
        self._states.clear()
        self._warm.reset()
        self._step = 0
        self._ready: list[np.ndarray] = []

    @torch.inference_mode()
    def act(self, observation: Observation) -> np.ndarray:
        """(A,) the action of this step, physical units."""
        if not self._states:
            self._begun = self._frame.start(observation.state)
        # Before an episode's first state, history repeats it.
        missing = self._network.observations - 1 if not self._states else 0
        self._states.extend([self._frame.states(observation.state, self._begun)] * (1 + missing))
        if not self._ready:
            chunk = self._chunk(observation)
            self._warm.keep(chunk, self._step)
            self._ready = list(chunk[: self._network.shape.executed])
        self._step += 1
        action = self._specs.action.denormalise(self._ready.pop(0))
        return self._frame.base_actions(action[None], self._begun)[0]

    def _chunk(self, observation: Observation) -> np.ndarray:
        """(h, A) in [-1, 1]."""
        network = self._network
        states = normalised_states(np.stack(self._states), self._frame.specs).reshape(1, -1)
        views = {camera: torch.from_numpy(np.ascontiguousarray(im))[None] for camera, im in observation.images.items()}
        inputs = network.inputs(torch.from_numpy(states), views)
        noise = self._deviation * torch.randn(1, network.noise_width, generator=self._generator)
        return self._decoded(inputs, noise).numpy().reshape(network.chunk, network.acts)

    def _decoded(self, inputs: Tensor, noise: Tensor) -> Tensor:
        network, shape = self._network, self._network.shape
        guess = None if shape.refine is None else self._warm.guess(self._step)
        if guess is None or shape.refine is None:
            self.calls += shape.steps
            return network.decode(inputs, noise)
        self.calls += shape.refine
        return network.refine(inputs, torch.from_numpy(guess).reshape(1, -1), noise)
