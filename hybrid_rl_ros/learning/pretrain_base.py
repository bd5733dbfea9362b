"""What `hybrid-rl pretrain` does for a base policy: clones it, measures it on the way, goes on where it was killed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.base_cloning import clone_base
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.base_file import save_base
from hybrid_rl_ros.learning.processes import Processes
from hybrid_rl_ros.learning.progress_lines import ProgressLines
from hybrid_rl_ros.learning.rollouts import Rollouts

CHECKPOINT = 'cloning.safetensors'
VALIDATION = 'base_validation.jsonl'
# With .04 to .06 steering never helped, with .13 to .22 on two tasks of three (docs/steering.md).
STEERABLE_SPREAD = 0.1

logger = logging.getLogger(__name__)


def pretrain_base(
    demos: ReplayStore, config: Config, device: str, folder: Path, learned: Encoders | None = None
) -> Path:
    """Write `folder`/policy.safetensors, a base policy, and what its validations said; returns its path.

    Raises UserError. Of several processes only the first writes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines, checkpoint = ProgressLines('base'), folder / CHECKPOINT
    if not checkpoint.exists():
        (folder / VALIDATION).unlink(missing_ok=True)

    def validated(update: int, values: dict[str, float]) -> None:
        lines.validated(update, values)
        with open(folder / VALIDATION, 'a') as file:
            file.write(json.dumps({'update': update, **values}) + '\n')
        if config.agent == 'dsrl' and update == config.base.updates and values['action_spread'] < STEERABLE_SPREAD:
            logger.warning(
                'the base makes nearly the same of every noise (action spread %.3f, below %s): there is next to '
                'nothing to steer; record demonstrations that differ more, or record --noise 0.3 with an expert',
                values['action_spread'],
                STEERABLE_SPREAD,
            )

    processes = Processes(device)
    rollouts = Rollouts(config, demos.specs) if config.base.rollouts and processes.first else None
    network = clone_base(
        demos,
        config,
        device,
        lines,
        learned=learned,
        validated=validated,
        measure=None if rollouts is None else rollouts.measure,
        checkpoint=checkpoint,
    )
    if rollouts is not None:
        rollouts.close()
    path = folder / 'policy.safetensors'
    if processes.first:
        save_base(network, demos.specs.without_state(config.observation.critic_only), path)
        checkpoint.unlink(missing_ok=True)
    processes.close()
    return path
