"""What a file library complains of, as one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybrid_rl_ros.errors import UserError

_LONGEST = 160


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What goes wrong in the block is what is wrong with `path`: in a damaged file a library trips over anything.

    Raises UserError.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'{path}: cannot be read: {reason(error)}') from None


def reason(error: BaseException) -> str:
    """The system's own words where there are any: libraries put buffers, addresses and newlines around them."""
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number in errno.errorcode:
        return os.strerror(number)
    text = ' '.join((getattr(error, 'strerror', None) or str(error)).split())
    if not isinstance(error, (OSError, ValueError)):
        text = f'{type(error).__name__}: {text}'
    return text if len(text) <= _LONGEST else f'{text[:_LONGEST]}...'
