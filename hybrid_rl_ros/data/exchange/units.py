"""Units that a mapping may convert between."""

from __future__ import annotations

import math

# Unit -> (what it measures, how many of the first unit of its kind).
UNITS = {
    'm': ('length', 1.0),
    'cm': ('length', 1e-2),
    'mm': ('length', 1e-3),
    'rad': ('angle', 1.0),
    'deg': ('angle', math.pi / 180),
    'm/s': ('velocity', 1.0),
    'cm/s': ('velocity', 1e-2),
    'mm/s': ('velocity', 1e-3),
    'rad/s': ('angular velocity', 1.0),
    'deg/s': ('angular velocity', math.pi / 180),
    '1': ('ratio', 1.0),
    '%': ('ratio', 1e-2),
}


def parse_conversion(text: str) -> tuple[float, str]:
    """`deg->rad` as (factor, the unit that comes out). Raises ValueError."""
    source, arrow, target = (part.strip() for part in text.partition('->'))
    if not arrow or source not in UNITS or target not in UNITS or UNITS[source][0] != UNITS[target][0]:
        raise ValueError(f'expected a conversion such as deg->rad between two of one kind of {", ".join(UNITS)}')
    return UNITS[source][1] / UNITS[target][1], target


def conversions_to(target: str) -> list[str]:
    """Every conversion that gives `target`."""
    kind = UNITS.get(target, ('', 0.0))[0]
    return [f'{source}->{target}' for source, (measures, _) in UNITS.items() if measures == kind and source != target]
