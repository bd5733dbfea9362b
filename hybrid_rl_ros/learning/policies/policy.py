"""The policy: the small thing that crosses from the learner to inference_node, as safetensors."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.policies.history import history_of
from hybrid_rl_ros.learning.policies.kinds import build_network, shape_in
from hybrid_rl_ros.learning.policies.network import Network, Plan
from hybrid_rl_ros.learning.policies.published import (
    BAD_BYTES,
    PublishedPolicy,
    architecture_of,
    not_a_policy,
    weights_sha256,
    write_published,
)
from hybrid_rl_ros.learning.relative_frame import make_frame


class Policy:
    """A frozen network with its specs. `version` counts the publications of one run."""

    def __init__(self, network: Network, specs: Specs, head: dict[str, Any], version: int = 0) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.specs = specs
        self.version = version
        self.head = head
        self.frame = make_frame(specs, bool(head['shape'].get('relative_frame')))

    @classmethod
    def build(cls, specs: Specs, shape: Section, kind: str) -> Policy:
        """With fresh weights."""
        network = build_network(specs, shape, kind)
        return cls(network, specs, {'kind': kind, 'shape': shape.model_dump(mode='json')})

    @property
    def kind(self) -> str:
        return str(self.head['kind'])

    @property
    def architecture(self) -> str:
        return architecture_of(self.head, self.specs)

    def act(
        self,
        observation: Observation,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
        start: np.ndarray | None = None,
    ) -> np.ndarray:
        """(h, A): the plan's actions in physical units; h is 1 for what acts step by step."""
        return self.plan(observation, deterministic, generator, start).actions

    @torch.inference_mode()
    def plan(
        self,
        observation: Observation,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
        start: np.ndarray | None = None,
    ) -> Plan:
        """What to do from here. `start`: the state that the episode began in; None: this."""
        begun = self.frame.start(np.atleast_2d(observation.state)[-1] if start is None else start)
        network = self.network
        seen = self.frame.states(history_of(observation.state, network.observations), begun)
        state = torch.from_numpy(normalised_states(seen, self.frame.specs)).reshape(1, -1)
        images = {camera: torch.from_numpy(np.ascontiguousarray(im))[None] for camera, im in observation.images.items()}
        noise = network.mode_noise() if deterministic else torch.randn(network.noise_shape, generator=generator)
        rows = network.plan(network.inputs(state, images), noise).numpy()
        actions = self.frame.base_actions(self.specs.action.denormalise(rows[: network.chunk]), begun)
        return Plan(actions, rows[network.chunk :] if network.tells_noise else None)

    def weights_sha256(self) -> str:
        return weights_sha256(self.network.state_dict())

    def to_bytes(self, version: int | None = None) -> bytes:
        version = self.version if version is None else version
        head = {**self.head, 'version': version, 'specs': self.specs.model_dump(mode='json')}
        return write_published(head, self.network.state_dict())

    @classmethod
    def from_bytes(cls, data: bytes, where: str = 'policy') -> Policy:
        """Raises UserError for anything that is not a whole policy, as it was written, with finite weights."""
        return cls.from_published(PublishedPolicy.read(data, where), where)

    @classmethod
    def from_published(cls, published: PublishedPolicy, where: str) -> Policy:
        """Raises UserError if the weights do not fit the architecture that they come with."""
        head = published.head
        try:
            # On no device and so without the work of drawing first weights.
            with torch.device('meta'):
                policy = cls.build(published.specs, shape_in(head), head['kind'])
            # Cloned into aligned memory: a matrix product may round differently from one alignment to another.
            weights = {name: tensor.clone() for name, tensor in published.weights.items()}
            policy.network.load_state_dict(weights, assign=True)
        except BAD_BYTES as error:
            raise not_a_policy(where, error) from None
        policy.version = published.version
        return policy

    def save(self, path: Path, version: int | None = None) -> None:
        write_atomically(path, self.to_bytes(version))

    @classmethod
    def load(cls, path: Path) -> Policy:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f'{path}: cannot be read: {error.strerror}') from None
        return cls.from_bytes(data, str(path))


def normalised_states(states: np.ndarray, specs: Specs) -> np.ndarray:
    """(B, S) physical to about [-1, 1], float32."""
    return specs.observation.state.normalise(states).astype(np.float32, copy=False)


def normalised_actions(actions: np.ndarray, specs: Specs) -> np.ndarray:
    """(B, A) physical to [-1, 1], float32, clipped: limits may have executed a rounding error more."""
    return np.clip(specs.action.normalise(actions), -1.0, 1.0).astype(np.float32, copy=False)


def write_atomically(path: Path, data: bytes) -> None:
    """The file is either the old one or the new one, whole, after a kill or a power cut."""
    temporary = path.with_name(path.name + '.tmp')
    with open(temporary, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
