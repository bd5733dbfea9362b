"""An update as one compiled graph, where that can be had."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from typing import Any

import torch

from hybrid_rl_ros.errors import UserError

logger = logging.getLogger(__name__)


class Compiled:
    """Calls `function` as one graph, from its first call on; `auto` goes on without where that cannot be had.

    `function` takes and returns tensors and changes parameters in place; run twice it must not draw random numbers.
    Compiling takes 10 to 40 s the first time, and some seconds from PyTorch's cache in later runs.
    """

    def __init__(self, function: Callable[..., Any], how: str, device: str) -> None:
        self._plain, self._how = function, how
        self._call = function
        if how == 'on' or (how == 'auto' and can_compile(device)):
            mode = 'reduce-overhead' if device == 'cuda' else None
            self._call = torch.compile(function, fullgraph=True, dynamic=False, mode=mode)

    @torch.no_grad()
    def __call__(self, *arguments: Any) -> Any:
        if self._call is self._plain:
            return self._plain(*arguments)
        try:
            return self._call(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = _reason(error)
            if self._how == 'on':
                raise UserError(f'train.compile=on: the update cannot be compiled here: {reason}') from None
            logger.warning('updates are not compiled: %s', reason)
            self._call = self._plain
            return self._plain(*arguments)


def can_compile(device: str) -> bool:
    """On a GPU PyTorch brings its own. Where compiling is switched off its modules need not be read: 2 s of a start."""
    if os.environ.get('TORCHDYNAMO_DISABLE') == '1':
        return False
    return device == 'cuda' or any(shutil.which(name) for name in (os.environ.get('CXX', 'g++'), 'clang++'))


def _reason(error: Exception) -> str:
    """In one line; of a C++ compiler's output what it complains of, not its command, which comes first and is long."""
    text = ' '.join(str(error).split())
    complaint = text.find(' error: ')
    return f'{text[:60]} ...{text[complaint : complaint + 240]}' if complaint > 60 else text[:300]
