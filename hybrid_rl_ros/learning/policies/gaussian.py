"""The network of a policy that acts step by step: encoders and a Gaussian actor."""

from __future__ import annotations

import torch
from torch import Tensor

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.mlp import GaussianActor, GripperValues, Trunk
from hybrid_rl_ros.learning.networks.ranges import Ranges
from hybrid_rl_ros.learning.policies.network import Network
from hybrid_rl_ros.learning.policies.shape import PolicyShape


class PolicyNetwork(Network):
    """Encoders and actor: normalised state (B, S) and images to normalised actions (B, A).

    With `gripper`, the actor leaves the last dimension, the gripper's, to the best of three values.
    """

    def __init__(self, specs: Specs, shape: PolicyShape) -> None:
        super().__init__()
        self.encoders = Encoders(specs.observation.images, shape)
        self.input_width = len(specs.observation.state) + self.encoders.width
        self.ranges = Ranges(self.input_width)
        trunk = Trunk(shape.hidden, shape.activation, shape.layer_norm)
        self.noise_shape = (1, len(specs.action))
        chosen = shape.gripper == 'dqn'
        self.actor = GaussianActor(self.input_width, len(specs.action) - chosen, trunk)
        self.gripper = GripperValues(self.input_width, trunk) if chosen else None

    def inputs(self, state: Tensor, views: dict[str, Tensor]) -> Tensor:
        """(B, D): the state beside the cameras' features, each number in its range."""
        return self.ranges(torch.cat([state, self.encoders(views, len(state))], dim=-1))

    def action(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """(B, A) for standard normal `noise` (B, A); zero noise gives the mode. A chosen gripper takes none of it."""
        mean, log_std = self.actor(inputs)
        action = torch.tanh(mean + log_std.exp() * noise[:, : mean.shape[-1]])
        return action if self.gripper is None else torch.cat([action, self.gripper.choice(inputs)], dim=-1)

    def plan(self, inputs: Tensor, noise: Tensor) -> Tensor:
        return self.action(inputs, noise)


def gaussian(network: Network) -> PolicyNetwork:
    """The same; raises LookupError for one without a Gaussian actor."""
    if not isinstance(network, PolicyNetwork):
        raise LookupError(f'a {type(network).__name__} has no Gaussian actor')
    return network
