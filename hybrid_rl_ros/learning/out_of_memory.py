"""Which batch fits where the configured one does not."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from typing import Any

import torch

# PyTorch's words for a GPU and for the CPU; the latter has no class of its own.
_SIGNS = ('out of memory', "can't allocate memory", 'not enough memory')
SMALLEST = 2


def is_out_of_memory(error: BaseException) -> bool:
    said = str(error).lower()
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(sign in said for sign in _SIGNS))


def batch_that_fits(attempt: Callable[[int], Any], batch: int) -> int:
    """The largest of batch / 2, batch / 4 and so on that `attempt` gets through; 0 if none does.

    To be called outside of the `except` block of what did not fit: its traceback holds that memory.
    """
    while (batch := batch // 2) >= SMALLEST:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            with _uncompiled():
                attempt(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return batch
    return 0


def _uncompiled() -> contextlib.AbstractContextManager[Any]:
    """Compiling for every size tried would take minutes; PyTorch before 2.6 does."""
    set_stance = getattr(torch.compiler, 'set_stance', None)
    return set_stance('force_eager') if set_stance else contextlib.nullcontext()
