"""The policy: the small thing that crosses from the learner to inference_node, as safetensors."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.mlp import GaussianActor

FORMAT = 1


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


class Policy:
    """A frozen network with its specs. `version` counts the publications of one run."""

    def __init__(self, network: PolicyNetwork, specs: Specs, head: dict[str, object], version: int = 0) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.specs = specs
        self.version = version
        self._head = head

    @classmethod
    def build(cls, specs: Specs, features: int, hidden: list[int], kind: str) -> Policy:
        head: dict[str, object] = {'kind': kind, 'features': features, 'hidden': hidden}
        return cls(PolicyNetwork(specs, features, hidden), specs, head)

    @property
    def kind(self) -> str:
        return str(self._head['kind'])

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
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def to_bytes(self, version: int | None = None) -> bytes:
        head = {**self._head, 'format': FORMAT, 'version': self.version if version is None else version}
        head['specs'] = self.specs.model_dump(mode='json')
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        return safetensors.torch.save(tensors, {'policy': json.dumps(head)})

    @classmethod
    def from_bytes(cls, data: bytes, where: str = 'policy') -> Policy:
        """Raises UserError for anything that is not a whole policy with finite weights."""
        try:
            tensors = safetensors.torch.load(data)
            head = json.loads(_metadata(data)['policy'])
            if head['format'] != FORMAT:
                raise ValueError(f'format {head["format"]}, expected {FORMAT}')
            specs = Specs.model_validate(head['specs'])
            policy = cls.build(specs, head['features'], head['hidden'], head['kind'])
            policy.network.load_state_dict(tensors)
        except (KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
            raise UserError(f'{where}: not a policy of hybrid_rl_ros: {" ".join(str(error).split())}') from None
        spoilt = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
        if spoilt:
            raise UserError(f'{where}: the weights {spoilt[0]!r} are not finite')
        policy.version = head['version']
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


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], 'little')
    return json.loads(data[8 : 8 + length])['__metadata__']
