"""What a policy's network is made of, beside the specs: written into every policy file."""

from __future__ import annotations

from typing import Literal

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import Section


class PolicyShape(Section):
    """Two policies of equal shape and specs have the same weights by name and size."""

    features: int
    hidden: list[int]
    encoder: Literal['small'] = 'small'
    activation: Literal['tanh', 'relu'] = 'tanh'
    layer_norm: bool = True


def shape_of(config: Config, agent: str) -> PolicyShape:
    """The shape of the policies that `agent` makes under a configuration; a cloned actor's is that of the learner."""
    encoder = {'features': config.encoder.features, 'encoder': config.encoder.kind}
    if agent == 'bc' and not config.starts_pretrained:
        return PolicyShape(hidden=config.bc.hidden, **encoder)
    sac = config.sac
    return PolicyShape(hidden=sac.hidden, activation=sac.activation, layer_norm=sac.actor_layer_norm, **encoder)
