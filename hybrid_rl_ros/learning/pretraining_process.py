"""The process of `hybrid-rl pretrain`: its arguments, its threads, and one line for a user's mistake."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import USER_ERROR_EXIT, UserError
from hybrid_rl_ros.learning.out_of_memory import is_out_of_memory


def run_pretraining(
    description: str,
    pretrain: Callable[[Config, Specs, Path | None, Path], object],
    batch_keys: Callable[[Config], list[str]],
) -> int:
    """Call `pretrain(config, specs, demos, run)` with what --run holds; the exit status.

    `batch_keys(config)`: what a user can lower where it does not fit into memory.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--run', type=Path, required=True)
    parser.add_argument('--demos', type=Path, help='not needed for a base policy that is given')
    arguments = parser.parse_args()
    torch.set_num_threads(min(4, len(os.sched_getaffinity(0))))
    try:
        config = load_config(arguments.run / 'config.yaml')
        specs = Specs.model_validate_json((arguments.run / 'specs.json').read_text())
        pretrain(config, specs, arguments.demos, arguments.run)
    except UserError as error:
        return _said(str(error))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        settings = config.model_dump()
        lower = ' or '.join(f'{key}={_value(settings, key)}' for key in batch_keys(config))
        return _said(f'out of memory while pretraining; lower {lower}, or make the encoder or the cameras smaller')
    return 0


def _said(error: str) -> int:
    sys.stderr.write(f'error: {error}\n')
    return USER_ERROR_EXIT


def _value(settings: dict[str, Any], key: str) -> Any:
    section, _, name = key.partition('.')
    return settings[section][name]
