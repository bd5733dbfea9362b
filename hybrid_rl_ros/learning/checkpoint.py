"""Modules and optimisers as one flat dictionary of tensors, and that dictionary as a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.policies.policy import write_atomically

Parts = Mapping[str, nn.Module]
KEPT = 2


def flatten(parts: Parts) -> dict[str, Tensor]:
    """Every parameter and buffer under `<part>/<name>`."""
    return {
        f'{part}/{name}': tensor.detach()
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


def load_flat(parts: Parts, flat: Mapping[str, Tensor]) -> None:
    """The inverse of `flatten`. Raises RuntimeError or KeyError where the tensors do not fit."""
    for part, module in parts.items():
        own = {name.removeprefix(f'{part}/'): tensor for name, tensor in flat.items() if name.startswith(f'{part}/')}
        module.load_state_dict(own)


def save_checkpoint(folder: Path, number: int, tensors: dict[str, Tensor], head: dict[str, Any]) -> None:
    """Write `checkpoint-<number>.safetensors` whole, then drop all but the newest two."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / f'checkpoint-{number:09d}.safetensors', tensors, head)
    for old in sorted(folder.glob('checkpoint-*.safetensors'))[:-KEPT]:
        old.unlink()


def load_newest_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and head of the newest checkpoint, or None. Raises UserError for an unreadable one."""
    paths = sorted(folder.glob('checkpoint-*.safetensors'))
    if not paths:
        return None
    return load_tensors(paths[-1], 'remove it to use the one before')


def save_tensors(path: Path, tensors: Mapping[str, Tensor], head: dict[str, Any]) -> None:
    contiguous = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(contiguous, {'head': json.dumps(head)}))


def load_tensors(path: Path, mend: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of `save_tensors`. Raises UserError, which ends with `mend`."""
    try:
        with safetensors.safe_open(path, 'pt') as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()['head'])
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(f'{path}: not a whole checkpoint ({error}); {mend}') from None
