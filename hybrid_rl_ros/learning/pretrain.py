"""`python -m hybrid_rl_ros.learning.pretrain --run DIR --demos DIR`: clone the demonstrations into the run folder.

Writes DIR/pretrained/policy.safetensors: the behaviour-cloned policy, whose encoders the agent `sac` freezes. With
encoder.pretraining: dynamo these are learned before, from what follows what, and the cloned actor stands on them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import torch

from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs, require_same_specs
from hybrid_rl_ros.errors import USER_ERROR_EXIT, UserError
from hybrid_rl_ros.learning.behaviour_cloning import clone_behaviour
from hybrid_rl_ros.learning.dynamo import learn_encoders
from hybrid_rl_ros.learning.update_loop import resolve_device

REPORT_EVERY_S = 1.0


def pretrain(config: Config, specs: Specs, demos_folder: Path, run: Path) -> Path:
    """Clone the demonstrations; returns the policy's path. Raises UserError."""
    torch.set_num_threads(max(1, min(4, os.cpu_count() or 1)))
    with ReplayStore.open(demos_folder, read_only=True) as demos:
        require_same_specs(demos.specs, specs, str(demos_folder))
        if not demos.transitions:
            raise UserError(f'{demos_folder}: holds no transitions to learn from')
        device, learned = resolve_device(config), None
        if config.encoder.pretraining == 'dynamo':
            learned = learn_encoders(demos, config, device, _ProgressLines('encoders'))
        policy = clone_behaviour(demos, config, device, _ProgressLines('policy'), learned)
    path = run / 'pretrained' / 'policy.safetensors'
    path.parent.mkdir(parents=True, exist_ok=True)
    policy.save(path)
    return path


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
