"""What a policy's network is made of, beside the specs: written into every policy file."""

from __future__ import annotations

from typing import Any, Literal

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import Section


class PolicyShape(Section):
    """Two policies of equal shape and specs have the same weights by name and size, which mean the same."""

    features: int
    hidden: list[int]
    encoder: Literal['small', 'keypoints', 'resnet10', 'resnet18'] = 'small'
    stride: int = 2
    fixed_norm: bool = False
    activation: Literal['tanh', 'relu'] = 'tanh'
    layer_norm: bool = True
    gripper: Literal['continuous', 'dqn'] = 'continuous'
    relative_frame: bool = False


def shape_of(config: Config, agent: str) -> PolicyShape:
    """The shape of the policies that `agent` makes under a configuration; a cloned actor's is that of the learner."""
    seen = what_is_seen(config)
    if agent == 'bc' and not config.clones_actor:
        return PolicyShape(hidden=config.bc.hidden, **seen)
    sac = config.sac
    return PolicyShape(
        hidden=sac.hidden,
        activation=sac.activation,
        layer_norm=sac.actor_layer_norm,
        gripper=sac.gripper,
        **seen,
    )


def what_is_seen(config: Config) -> dict[str, Any]:
    """The part of a shape that says how the policy looks, whatever acts behind it."""
    return {
        'features': config.encoder.features,
        'encoder': config.encoder.kind,
        'stride': config.encoder.stride,
        # Loaded weights bring statistics of their own; weights from scratch are normalised otherwise.
        'fixed_norm': config.encoder.weights is not None,
        'relative_frame': config.sac.relative_frame,
    }
