"""Which agent learns: the one that comes along, or a class of the user's own."""

from __future__ import annotations

import importlib

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.base import Agent
from hybrid_rl_ros.learning.agents.dsrl import DsrlAgent
from hybrid_rl_ros.learning.agents.sac import SacAgent


def make_agent(specs: Specs, config: Config, device: str) -> Agent:
    """The agent that `config.agent` names. Raises UserError if it cannot be found."""
    own: dict[str, type[Agent]] = {'sac': SacAgent, 'dsrl': DsrlAgent}
    return (own.get(config.agent) or _own_class(config.agent))(specs, config, device)


def _own_class(name: str) -> type[Agent]:
    module_name, _, class_name = name.partition(':')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # What the module itself misses is named, not the module.
        where = 'in the current folder or the environment' if error.name == module_name else 'which it imports'
        raise UserError(f'agent: {name}: there is no module {error.name}, {where}') from None
    if not hasattr(module, class_name):
        raise UserError(f'agent: {name}: {module.__file__} has no {class_name}')
    return getattr(module, class_name)
