"""Which numbers of observations and actions change their sign when left and right are exchanged, by their names.

The mirror is the x-z plane of the base's frame: what points along y, and what turns about x or z, changes its sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SIGNS = (
    (-1, re.compile(r'ee\.(y|yaw|vy|dy|drx|drz)|task\.(\w+\.)*(y|yaw)')),
    (1, re.compile(r'ee\.(x|z|vx|vz|dx|dz|dry)|task\.(\w+\.)*(x|z|distance)|gripper(\.opening)?|temperature\.\w+')),
)


def sign_of(name: str) -> int | None:
    """1 or -1; None for what has no mirror image, or none that is known: joints, wrenches, which task it is."""
    return next((sign for sign, pattern in _SIGNS if pattern.fullmatch(name)), None)


def signs_of(names: Iterable[str]) -> list[int]:
    """Raises ValueError that names the one without."""
    signs = []
    for name in names:
        sign = sign_of(name)
        if sign is None:
            raise ValueError(f'{name} has no mirror image that is known')
        signs.append(sign)
    return signs
