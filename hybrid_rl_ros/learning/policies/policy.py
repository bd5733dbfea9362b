"""The policy: the small thing that crosses from the learner to inference_node, as safetensors."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.mlp import GaussianActor, GripperValues, Trunk
from hybrid_rl_ros.learning.policies.published import (
    BAD_BYTES,
    PublishedPolicy,
    architecture_of,
    not_a_policy,
    shape_in,
    weights_sha256,
    write_published,
)
from hybrid_rl_ros.learning.policies.shape import PolicyShape
from hybrid_rl_ros.learning.relative_frame import make_frame


class PolicyNetwork(nn.Module):
    """Encoders and actor: normalised state (B, S) and images to normalised actions (B, A).

    With `gripper`, the actor leaves the last dimension, the gripper's, to the best of three values.
    """

    def __init__(self, specs: Specs, shape: PolicyShape) -> None:
        super().__init__()
        self.encoders = Encoders(specs.observation.images, shape)
        self.input_width = len(specs.observation.state) + self.encoders.width
        trunk = Trunk(shape.hidden, shape.activation, shape.layer_norm)
        chosen = shape.gripper == 'dqn'
        self.actor = GaussianActor(self.input_width, len(specs.action) - chosen, trunk)
        self.gripper = GripperValues(self.input_width, trunk) if chosen else None

    def inputs(self, state: Tensor, views: dict[str, Tensor]) -> Tensor:
        """(B, D): the state beside the cameras' features."""
        return torch.cat([state, self.encoders(views, len(state))], dim=-1)

    def action(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """(B, A) for standard normal `noise` (B, A); zero noise gives the mode. A chosen gripper takes none of it."""
        mean, log_std = self.actor(inputs)
        action = torch.tanh(mean + log_std.exp() * noise[:, : mean.shape[-1]])
        return action if self.gripper is None else torch.cat([action, self.gripper.choice(inputs)], dim=-1)


class Policy:
    """A frozen network with its specs. `version` counts the publications of one run."""

    def __init__(self, network: PolicyNetwork, specs: Specs, head: dict[str, object], version: int = 0) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.specs = specs
        self.version = version
        self.head = head
        self.frame = make_frame(specs, bool(head.get('relative_frame')))

    @classmethod
    def build(cls, specs: Specs, shape: PolicyShape, kind: str) -> Policy:
        """With fresh weights."""
        return cls(PolicyNetwork(specs, shape), specs, {'kind': kind, **shape.model_dump(mode='json')})

    @property
    def kind(self) -> str:
        return str(self.head['kind'])

    @property
    def architecture(self) -> str:
        return architecture_of(self.head, self.specs)

    @torch.inference_mode()
    def act(
        self,
        observation: Observation,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
        start: np.ndarray | None = None,
    ) -> np.ndarray:
        """(1, A): a chunk of one action in physical units. `start`: the state that the episode began in; None: this."""
        begun = self.frame.start(observation.state if start is None else start)
        seen = self.frame.states(observation.state, begun)
        state = torch.from_numpy(normalised_states(seen[None], self.frame.specs))
        images = {camera: torch.from_numpy(np.ascontiguousarray(im))[None] for camera, im in observation.images.items()}
        shape = (1, len(self.specs.action))
        noise = torch.zeros(shape) if deterministic else torch.randn(shape, generator=generator)
        action = self.network.action(self.network.inputs(state, images), noise)
        return self.frame.base_actions(self.specs.action.denormalise(action.numpy()), begun)

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
