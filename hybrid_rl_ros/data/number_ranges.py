"""Episode numbers as text: `3,7-9`."""

from __future__ import annotations

from collections.abc import Collection


def ranges_of(numbers: Collection[int]) -> str:
    """In order, neighbours drawn together; `none` without any."""
    held = set(numbers)
    starts = sorted(number for number in held if number - 1 not in held)
    ends = sorted(number for number in held if number + 1 not in held)
    return ','.join(f'{start}' if start == end else f'{start}-{end}' for start, end in zip(starts, ends)) or 'none'
