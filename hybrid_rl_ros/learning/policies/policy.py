"""The policy: the small thing that crosses from the learner to inference_node, as safetensors."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.mlp import GaussianActor

FORMAT = 1
# What reading and building from bytes of any content may raise.
BAD_BYTES = (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, SafetensorError)


class PolicyNetwork(nn.Module):
    """Encoders and actor: normalised state (B, S) and images to normalised actions (B, A)."""

    def __init__(self, specs: Specs, features: int, hidden: list[int]) -> None:
        super().__init__()
        self.encoders = Encoders(specs.observation.images, features)
        self.input_width = len(specs.observation.state) + self.encoders.width
        self.actor = GaussianActor(self.input_width, len(specs.action), hidden)

    def inputs(self, state: Tensor, images: dict[str, Tensor]) -> Tensor:
        """(B, D): the state beside the cameras' features."""
        return torch.cat([state, self.encoders(images, len(state))], dim=-1)


@dataclass(frozen=True)
class PublishedPolicy:
    """A policy as its bytes carry it, checked but not built. `sha256` is that of the weights alone."""

    head: dict[str, Any]
    specs: Specs
    version: int
    weights: dict[str, Tensor]
    sha256: str

    @property
    def architecture(self) -> str:
        return architecture_of(self.head, self.specs)

    @classmethod
    def read(cls, data: bytes, where: str) -> PublishedPolicy:
        """Raises UserError for anything that is not whole, as it was written, and finite."""
        try:
            weights = safetensors.torch.load(data)
            head = json.loads(_metadata(data)['policy'])
            if head['format'] != FORMAT:
                raise ValueError(f'format {head["format"]}, expected {FORMAT}')
            sha256 = _weights_sha256(weights)
            # Files of earlier versions carry no sum.
            if (expected := head.pop('sha256', None)) and expected != _sum_of(head, sha256):
                raise ValueError('its SHA-256 is not the one it was written with')
            specs, version = Specs.model_validate(head['specs']), int(head['version'])
            if not 0 <= version < 2**32 or any(tensor.dtype != torch.float32 for tensor in weights.values()):
                raise ValueError('its version or the type of its weights is not of this format')
        except BAD_BYTES as error:
            raise not_a_policy(where, error) from None
        spoilt = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
        if spoilt:
            raise UserError(f'{where}: the weights {spoilt[0]!r} are not finite')
        return cls(head, specs, version, weights, sha256)


class Policy:
    """A frozen network with its specs. `version` counts the publications of one run."""

    def __init__(self, network: PolicyNetwork, specs: Specs, head: dict[str, object], version: int = 0) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.specs = specs
        self.version = version
        self._head = head

    @classmethod
    def build(cls, specs: Specs, features: int, hidden: list[int], kind: str) -> Policy:
        """With fresh weights."""
        head: dict[str, object] = {'kind': kind, 'features': features, 'hidden': hidden}
        return cls(PolicyNetwork(specs, features, hidden), specs, head)

    @property
    def kind(self) -> str:
        return str(self._head['kind'])

    @property
    def architecture(self) -> str:
        """Equal for policies that differ in nothing but their weights and version."""
        return architecture_of(self._head, self.specs)

    @torch.inference_mode()
    def act(
        self, observation: Observation, deterministic: bool = True, generator: torch.Generator | None = None
    ) -> np.ndarray:
        """(1, A): a chunk of one action in physical units."""
        state = torch.from_numpy(normalised_states(observation.state[None], self.specs))
        images = {camera: torch.from_numpy(np.ascontiguousarray(im))[None] for camera, im in observation.images.items()}
        inputs = self.network.inputs(state, images)
        actor = self.network.actor
        action = actor.mode(inputs) if deterministic else actor.sample(inputs, generator)[0]
        return self.specs.action.denormalise(action.numpy())

    def weights_sha256(self) -> str:
        return _weights_sha256(self.network.state_dict())

    def to_bytes(self, version: int | None = None) -> bytes:
        head = {**self._head, 'format': FORMAT, 'version': self.version if version is None else version}
        head['specs'] = self.specs.model_dump(mode='json')
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        head['sha256'] = _sum_of(head, _weights_sha256(tensors))
        return safetensors.torch.save(tensors, {'policy': json.dumps(head)})

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
                policy = cls.build(published.specs, head['features'], head['hidden'], head['kind'])
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


def architecture_of(head: Mapping[str, Any], specs: Specs) -> str:
    return json.dumps([head['features'], head['hidden'], specs.model_dump(mode='json')])


def not_a_policy(where: str, error: object) -> UserError:
    return UserError(f'{where}: not a policy of hybrid_rl_ros: {" ".join(str(error).split())}')


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


def _weights_sha256(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _sum_of(head: Mapping[str, object], weights_sha256: str) -> str:
    """Over everything: the weights, and what the head says of them."""
    return hashlib.sha256(json.dumps([head, weights_sha256], sort_keys=True).encode()).hexdigest()


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], 'little')
    return json.loads(data[8 : 8 + length])['__metadata__']
