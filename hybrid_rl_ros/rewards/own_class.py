"""Classes of the user's own, named in a configuration as module:Class."""

from __future__ import annotations

import importlib
from typing import TypeVar

from hybrid_rl_ros.errors import UserError

Kind = TypeVar('Kind')


def own_class(where: str, base: type[Kind], what: str) -> type[Kind]:
    """The class, which derives from `base`; `what` it is, for the UserError where there is none."""
    module, _, name = where.partition(':')
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever is wrong in somebody's file
        raise UserError(f'{what} {where}: {" ".join(str(error).split())}') from None
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(f'{what} {where}: expected a class derived from {base.__module__}:{base.__name__}')
    return found
