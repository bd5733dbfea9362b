"""A base policy's file: a published policy of the kind `base`."""

from __future__ import annotations

from pathlib import Path

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork
from hybrid_rl_ros.learning.policies.policy import Policy

KIND = 'base'


def base_policy(network: BaseNetwork, specs: Specs) -> Policy:
    return Policy(network, specs, {'kind': KIND, 'shape': network.shape.model_dump(mode='json')}, version=1)


def save_base(network: BaseNetwork, specs: Specs, path: Path) -> None:
    base_policy(network, specs).save(path)


def load_base(path: Path) -> tuple[BaseNetwork, Specs]:
    """Frozen. Raises UserError for what is no base policy."""
    policy = Policy.load(path)
    if not isinstance(policy.network, BaseNetwork):
        raise UserError(f'{path}: a policy of the kind {policy.kind!r}, expected {KIND!r}')
    return policy.network, policy.specs
