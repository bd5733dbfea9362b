"""What pretraining leaves in <run>/pretrained, and how a new run's agent begins with it."""

from __future__ import annotations

from pathlib import Path

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.checkpoint import load_tensors, save_tensors
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


def begin_pretrained(agent: SacAgent, config: Config, folder: Path) -> None:
    """Give a new agent what `folder` holds: all of an agent, or a policy's encoders and its actor as configured.

    Raises UserError for what does not fit.
    """
    mend = f'remove {folder} to pretrain again'
    if (folder / AGENT).exists():
        tensors, _ = load_tensors(folder / AGENT, mend)
        try:
            agent.load_state_dict(tensors)
        except (RuntimeError, LookupError) as error:
            reason = ' '.join(str(error).split())[:200]
            raise UserError(f'{folder / AGENT}: is not of this configuration ({reason}); {mend}') from None
        # Updates count from the first step on.
        agent.updates = 0
        agent.hold_to_actor()
    elif (folder / POLICY).exists():
        try:
            begin_as(agent, Policy.load(folder / POLICY), config)
        except RuntimeError as error:
            reason = ' '.join(str(error).split())[:200]
            raise UserError(f'{folder / POLICY}: is not of this configuration ({reason}); {mend}') from None


def begin_as(agent: SacAgent, cloned: Policy, config: Config) -> None:
    """With the encoders of the cloned policy, and with its actor, as far as the configuration has it so."""
    if cloned.specs.observation.images and config.encoder.pretraining != 'none':
        agent.use_encoders(cloned)
    if config.clones_actor:
        agent.use_actor(cloned)
