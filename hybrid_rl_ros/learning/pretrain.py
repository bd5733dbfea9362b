"""`python -m hybrid_rl_ros.learning.pretrain --run DIR --demos DIR`: what is learned before the first step.

Writes DIR/pretrained/policy.safetensors: the behaviour-cloned policy, whose encoders the agent `sac` freezes. With
encoder.pretraining: dynamo these are learned before, from what follows what, and the cloned actor stands on them; with
offline.method: cal_ql it is what offline learning made of that, beside all of its agent, agent.safetensors.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import torch

from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs, require_same_specs
from hybrid_rl_ros.errors import USER_ERROR_EXIT, UserError
from hybrid_rl_ros.learning.behaviour_cloning import clone_behaviour
from hybrid_rl_ros.learning.dynamo import learn_encoders
from hybrid_rl_ros.learning.offline import learn_offline
from hybrid_rl_ros.learning.pretrained import save_pretrained
from hybrid_rl_ros.learning.update_loop import resolve_device

REPORT_EVERY_S = 1.0


def pretrain(config: Config, specs: Specs, demos_folder: Path, run: Path) -> Path:
    """Clone the demonstrations and, if so configured, go on offline; returns the policy's path. Raises UserError."""
    device = resolve_device(config)
    learned, agent = None, None
    with ExitStack() as opened:
        demos, *others = [
            opened.enter_context(_open(folder, specs)) for folder in [demos_folder, *map(Path, config.offline.data)]
        ]
        if config.encoder.pretraining == 'dynamo':
            learned = learn_encoders(demos, config, device, _ProgressLines('encoders'))
        policy = clone_behaviour(demos, config, device, _ProgressLines('policy'), learned)
        if config.offline.method == 'cal_ql':
            agent = learn_offline([demos, *others], policy, config, device, _ProgressLines('cal_ql'))
            policy = agent.policy()
    return save_pretrained(policy, agent, run / 'pretrained')


def _open(folder: Path, specs: Specs) -> ReplayStore:
    store = ReplayStore.open(folder, read_only=True)
    require_same_specs(store.specs, specs, str(folder))
    if not store.transitions:
        raise UserError(f'{folder}: holds no transitions to learn from')
    return store


class _ProgressLines:
    def __init__(self, what: str) -> None:
        self._what = what
        self._last = 0.0

    def __call__(self, update: int, updates: int, loss: float) -> None:
        if update == updates or time.monotonic() - self._last > REPORT_EVERY_S:
            self._last = time.monotonic()
            sys.stdout.write(f'pretrain: {self._what}, {update}/{updates} updates, loss {loss:.4f}\n')
            sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description='Behaviour cloning of demonstrations into a run folder')
    parser.add_argument('--run', type=Path, required=True)
    parser.add_argument('--demos', type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(min(4, len(os.sched_getaffinity(0))))
    try:
        config = load_config(arguments.run / 'config.yaml')
        specs = Specs.model_validate_json((arguments.run / 'specs.json').read_text())
        pretrain(config, specs, arguments.demos, arguments.run)
    except UserError as error:
        sys.stderr.write(f'error: {error}\n')
        return USER_ERROR_EXIT
    return 0


if __name__ == '__main__':
    sys.exit(main())
