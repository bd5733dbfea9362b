"""What pretraining leaves in <run>/pretrained, and how a new run's agent begins with it."""

from __future__ import annotations

import copy
from pathlib import Path

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.base import Agent
from hybrid_rl_ros.learning.agents.dsrl import DsrlAgent
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.checkpoint import load_tensors, save_tensors
from hybrid_rl_ros.learning.networks.resnet_weights import load_weights
from hybrid_rl_ros.learning.policies.policy import Policy

AGENT = 'agent.safetensors'
POLICY = 'policy.safetensors'


def save_pretrained(policy: Policy, agent: SacAgent | None, folder: Path) -> Path:
    """Write what was learned; the policy last, because its being there says that pretraining is done."""
    folder.mkdir(parents=True, exist_ok=True)
    if agent is not None:
        save_tensors(folder / AGENT, agent.state_dict(), {})
    else:
        (folder / AGENT).unlink(missing_ok=True)
    policy.save(folder / POLICY)
    return folder / POLICY


def begin_pretrained(agent: Agent, config: Config, folder: Path) -> None:
    """Give a new agent what `folder` holds: all of an agent, or a policy's encoders and its actor as configured.

    Raises UserError for what does not fit.
    """
    path = folder / AGENT if (folder / AGENT).exists() else folder / POLICY
    mend = f'remove {folder} to pretrain again'
    try:
        if isinstance(agent, SacAgent) and path.name == AGENT:
            tensors, _ = load_tensors(path, mend)
            agent.load_state_dict(tensors)
            # Updates count from the first step on.
            agent.updates = 0
            agent.hold_to_actor()
        else:
            begin_as(agent, Policy.load(path) if path.exists() else None, config)
    except (RuntimeError, LookupError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{path}: is not of this configuration ({reason}); {mend}') from None


def begin_as(agent: Agent, cloned: Policy | None, config: Config) -> None:
    """With the encoders of the cloned policy, and with its actor, as far as the configuration has it so.

    Where no encoders were cloned they begin with encoder.weights.
    """
    if isinstance(agent, DsrlAgent):
        if cloned is None:
            raise UserError('agent dsrl steers a base policy: set demos, or put one into <run>/pretrained')
        agent.use_base(cloned)
        return
    if agent.encoders.width and cloned is not None and config.encoder.pretraining != 'none':
        agent.use_encoders(cloned.network.encoders)
    elif agent.encoders.width and config.encoder.weights is not None:
        encoders = copy.deepcopy(agent.encoders)
        load_weights(encoders, Path(config.encoder.weights))
        agent.use_encoders(encoders)
    if isinstance(agent, SacAgent) and cloned is not None and config.clones_actor:
        agent.use_actor(cloned)
