"""The network of a base policy: noise and an observation to a chunk of actions. Steering chooses the noise."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_rl_ros.base_config import BaseConfig
from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.networks.denoiser import MlpDenoiser
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.methods import Draws, Part, make_method
from hybrid_rl_ros.learning.networks.ranges import CLIP, Ranges
from hybrid_rl_ros.learning.networks.transformer import TransformerDenoiser
from hybrid_rl_ros.learning.networks.unet import UnetDenoiser
from hybrid_rl_ros.learning.policies.network import Network
from hybrid_rl_ros.learning.policies.shape import PolicyShape, what_is_seen


class BaseShape(Section):
    """What a base policy is made of, beside the specs: written into its file. As in BaseConfig and PolicyShape."""

    method: Literal['ddpm', 'flow', 'mean_flow']
    denoiser: Literal['mlp', 'unet', 'transformer']
    hidden: list[int]
    chunk: int
    executed: int
    observations: int
    steps: int
    refine: int | None = None
    refine_share: float = 0.4
    refine_noise: bool = True
    train_steps: int
    normalisation: Literal['minmax', 'quantile']
    features: int
    encoder: Literal['small', 'keypoints', 'resnet10', 'resnet18'] = 'small'
    stride: int = 2
    fixed_norm: bool = False
    relative_frame: bool = False


def base_shape_of(config: Config) -> BaseShape:
    base = config.base
    names = BaseShape.model_fields.keys() & BaseConfig.model_fields.keys()
    same = {name: getattr(base, name) for name in names}
    return BaseShape(
        **same | {'hidden': base.widths, 'executed': base.acts, 'steps': base.calls} | what_is_seen(config)
    )


class BaseNetwork(Network):
    """States and actions come and go in the normalisation of the specs; that of the demonstrations lies inside.

    `chunk` (h) actions of `acts` (A) numbers from `noise_width` (h * A) standard normal ones; the first action is for
    the newest of `observations` (To) states. `input_width` (C) is that of what `inputs` makes.
    """

    tells_noise = True

    def __init__(self, specs: Specs, shape: BaseShape) -> None:
        super().__init__()
        self.chunk, self.acts, self.observations = shape.chunk, len(specs.action), shape.observations
        self.noise_width = self.chunk * self.acts
        self.noise_shape = (1, self.noise_width)
        self.encoders = Encoders(specs.observation.images, _encoder_shape(shape))
        self.state_ranges = Ranges(len(specs.observation.state))
        self.action_ranges = Ranges(self.acts)
        self.input_width = shape.observations * len(specs.observation.state) + self.encoders.width
        self.clip = CLIP[shape.normalisation]
        self.sample_as(shape)
        condition = self.input_width + self.method.told
        self.denoiser: nn.Module
        if shape.denoiser == 'mlp':
            self.denoiser = MlpDenoiser(self.noise_width, condition, shape.hidden)
        elif shape.denoiser == 'unet':
            self.denoiser = UnetDenoiser(self.chunk, self.acts, condition, shape.hidden)
        else:
            self.denoiser = TransformerDenoiser(self.chunk, self.acts, condition, shape.hidden)

    def sample_as(self, shape: BaseShape) -> None:
        """By another number of steps, or executed otherwise: what has no part in the weights of `shape`."""
        self.shape = shape
        self.method = make_method(shape.method, shape.steps, shape.train_steps, self.clip, not shape.refine_noise)

    def inputs(self, state: Tensor, views: dict[str, Tensor]) -> Tensor:
        """(B, C) of states (B, To * S), the newest last, and the newest pictures {camera: (B, H, W, 3)}."""
        # Without cameras nothing is added, and an exported graph takes batches of any size.
        return self.joined(state, self.encoders(views, len(state)) if self.encoders.width else None)

    def joined(self, state: Tensor, features: Tensor | None) -> Tensor:
        """As `inputs`, of what the encoders make of the pictures (B, F)."""
        seen = self.state_ranges(state)
        return seen if features is None else torch.cat([seen, features], dim=-1)

    def decode(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """(B, h * A) actions in [-1, 1], action by action, for noise (B, h * A): the whole sampler, and no chance."""
        return self._actions(self.method.sample(self.denoiser, noise, inputs))

    def plan(self, inputs: Tensor, noise: Tensor) -> Tensor:
        return torch.cat([self.decode(inputs, noise), noise]).reshape(self.plan_rows, self.acts)

    def refine(self, inputs: Tensor, guess: Tensor, noise: Tensor) -> Tensor:
        """As `decode`, by the last part of the way (`shape.refine*`) from guessed actions (B, h * A)."""
        part = Part(self.shape.refine or self.shape.steps, self.shape.refine_share)
        chunk = self.action_ranges(guess).clamp(-self.clip, self.clip)
        return self._actions(self.method.refine(self.denoiser, chunk, noise, inputs, part))

    def _actions(self, chunk: Tensor) -> Tensor:
        """In the specs' normalisation, for what a sampler made: within what was demonstrated."""
        return self.action_ranges.inverse(chunk.clamp(-self.clip, self.clip)).clamp(-1.0, 1.0)

    def draw(self, count: int, rng: np.random.Generator) -> Draws:
        """What is random in the loss of `count` chunks."""
        return self.method.draw(count, self.noise_width, rng)

    def loss(self, inputs: Tensor, actions: Tensor, draws: Draws) -> Tensor:
        """Of demonstrated `actions` (B, h * A)."""
        chunk = self.action_ranges(actions).clamp(-self.clip, self.clip)
        return self.method.loss(self.denoiser, chunk, inputs, draws)


class RefiningNetwork(BaseNetwork):
    """The same weights, for every chunk but an episode's first: of the noise, the second row is the guess."""

    def __init__(self, specs: Specs, shape: BaseShape) -> None:
        super().__init__(specs, shape)
        self.noise_shape = (2, self.noise_width)

    def plan(self, inputs: Tensor, noise: Tensor) -> Tensor:
        chunk = self.refine(inputs, noise[1:], noise[:1])
        return torch.cat([chunk, noise[:1]]).reshape(self.plan_rows, self.acts)


def refining(network: nn.Module, specs: Specs) -> RefiningNetwork | None:
    """What makes the later chunks of a base policy with real-time iteration; None for any other network."""
    if not isinstance(network, BaseNetwork) or network.shape.refine is None:
        return None
    other = RefiningNetwork(specs, network.shape)
    other.load_state_dict(network.state_dict())
    return other.requires_grad_(False)


def _encoder_shape(shape: BaseShape) -> PolicyShape:
    names = PolicyShape.model_fields.keys() & BaseShape.model_fields.keys() - {'hidden'}
    return PolicyShape(hidden=[], **{name: getattr(shape, name) for name in names})
