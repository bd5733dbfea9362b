"""`python -m hybrid_rl_ros.learning.pretrain --run DIR --demos DIR`: what is learned before the first step.

With `agent: base` or `agent: dsrl` that is the base policy (pretrain_base.py). Otherwise:

Writes DIR/pretrained/policy.safetensors: the behaviour-cloned policy, whose encoders the agent `sac` freezes. With
encoder.pretraining: dynamo these are learned before, from what follows what, and the cloned actor stands on them; with
offline.method: cal_ql it is what offline learning made of that, beside all of its agent, agent.safetensors.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs, require_same_specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.behaviour_cloning import clone_behaviour
from hybrid_rl_ros.learning.dynamo import learn_encoders
from hybrid_rl_ros.learning.offline import learn_offline
from hybrid_rl_ros.learning.policies.foreign_base import foreign_shape_of
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.pretrain_base import pretrain_base
from hybrid_rl_ros.learning.pretrained import save_pretrained
from hybrid_rl_ros.learning.pretraining_process import run_pretraining
from hybrid_rl_ros.learning.progress_lines import ProgressLines
from hybrid_rl_ros.learning.update_loop import resolve_device


def pretrain(config: Config, specs: Specs, demos_folder: Path | None, run: Path) -> Path:
    """Clone the demonstrations and, if so configured, go on offline; returns the policy's path. Raises UserError."""
    if config.has_base and config.base.file is not None:
        seen = specs.without_state(config.observation.critic_only)
        given = Policy.build(seen, foreign_shape_of(config), 'foreign')
        return save_pretrained(given, None, run / 'pretrained')
    if demos_folder is None:
        raise UserError('pretraining learns from demonstrations: set demos to the folder of some')
    device = resolve_device(config)
    learned, agent = None, None
    with ExitStack() as opened:
        demos, *others = [
            opened.enter_context(_open(folder, specs)) for folder in [demos_folder, *map(Path, config.offline.data)]
        ]
        if config.encoder.pretraining == 'dynamo':
            learned = learn_encoders(demos, config, device, ProgressLines('encoders'))
        if config.has_base:
            return pretrain_base(demos, config, device, run / 'pretrained', learned)
        policy = clone_behaviour(demos, config, device, ProgressLines('policy'), learned)
        if config.offline.method == 'cal_ql':
            agent = learn_offline([demos, *others], policy, config, device, ProgressLines('cal_ql'))
            policy = agent.policy()
    return save_pretrained(policy, agent, run / 'pretrained')


def _open(folder: Path, specs: Specs) -> ReplayStore:
    store = ReplayStore.open(folder, read_only=True)
    require_same_specs(store.specs, specs, str(folder))
    if not store.transitions:
        raise UserError(f'{folder}: holds no transitions to learn from')
    return store


def _batch_keys(config: Config) -> list[str]:
    dynamo = ['dynamo.batch'] if config.encoder.pretraining == 'dynamo' else []
    offline = ['offline.batch'] if config.offline.method == 'cal_ql' and not config.has_base else []
    return ['base.batch' if config.has_base else 'bc.batch', *dynamo, *offline]


def main() -> int:
    return run_pretraining('Behaviour cloning of demonstrations into a run folder', pretrain, _batch_keys)


if __name__ == '__main__':
    sys.exit(main())
