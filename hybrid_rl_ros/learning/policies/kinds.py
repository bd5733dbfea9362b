"""The kinds of policy there are: what their networks are made of, and how a file says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork, BaseShape, base_shape_of
from hybrid_rl_ros.learning.policies.foreign_base import ForeignBase, ForeignShape, foreign_shape_of
from hybrid_rl_ros.learning.policies.gaussian import PolicyNetwork
from hybrid_rl_ros.learning.policies.network import Network
from hybrid_rl_ros.learning.policies.shape import PolicyShape, shape_of
from hybrid_rl_ros.learning.policies.steered import SteeredNetwork, SteeredShape, steered_shape_of


class Kind(NamedTuple):
    """Kinds of one `family` have the same networks, whose weights mean the same."""

    family: str
    shape: type[Section]
    network: Callable[[Specs, Any], Network]


_GAUSSIAN = Kind('gaussian', PolicyShape, PolicyNetwork)
_KINDS = {
    'base': Kind('base', BaseShape, BaseNetwork),
    'foreign': Kind('foreign', ForeignShape, ForeignBase),
    'dsrl': Kind('dsrl', SteeredShape, SteeredNetwork),
}


def kind_of(name: str) -> Kind:
    """Agents of other people's make policies that act step by step."""
    return _KINDS.get(name, _GAUSSIAN)


def build_network(specs: Specs, shape: Section, kind: str) -> Network:
    """With fresh weights."""
    return kind_of(kind).network(specs, shape)


def shape_in(head: Mapping[str, Any]) -> Section:
    """Raises ValueError or LookupError for what is no shape."""
    return kind_of(head['kind']).shape.model_validate(head['shape'])


def shape_of_agent(config: Config) -> Section:
    """The shape of the policies that the configured agent makes."""
    if config.agent == 'base':
        return base_shape_of(config) if config.base.file is None else foreign_shape_of(config)
    return steered_shape_of(config) if config.agent == 'dsrl' else shape_of(config, config.agent)
