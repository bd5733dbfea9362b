"""What options of the command line hold: `3,7-9`, `success,cut`, `0.1`, `train=0.9,val=0.1`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hybrid_rl_ros.errors import UserError

MOST_NUMBERS = 1_000_000


def numbers_in(option: str, text: str) -> frozenset[int]:
    """Whole numbers and ranges of them. Raises UserError."""
    numbers: set[int] = set()
    for item in _items(text):
        if not (match := re.fullmatch(r'(\d+)(?:-(\d+))?', item)):
            raise UserError(f'{option}: {item!r} is no number nor range, expected a list like 3,7-9')
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UserError(f'{option}: the range {item} ends before it begins')
        if last - first >= MOST_NUMBERS:
            raise UserError(f'{option}: the range {item} is longer than {MOST_NUMBERS}')
        numbers.update(range(first, last + 1))
    return frozenset(numbers)


def words_in(option: str, text: str, allowed: Sequence[str]) -> frozenset[str]:
    """Raises UserError for a word that is not allowed."""
    for item in (items := _items(text)):
        if item not in allowed:
            raise UserError(f'{option}: {item!r}, expected one or more of {",".join(allowed)}')
    return frozenset(items)


def whole_in(option: str, text: str) -> int:
    """A whole number from 0 up. Raises UserError."""
    if not re.fullmatch(r'\d+', text):
        raise UserError(f'{option}: {text!r}, expected a whole number from 0 up')
    return int(text)


def fraction_in(option: str, text: str) -> float:
    """A number from 0 to below 1. Raises UserError."""
    if (value := _number(text)) is None or not 0 <= value < 1:
        raise UserError(f'{option}: {text!r}, expected a fraction from 0 to below 1')
    return value


def parts_in(option: str, text: str) -> dict[str, float]:
    """Names of folders, each with a fraction above 0. Raises UserError."""
    parts: dict[str, float] = {}
    for item in _items(text):
        name, _, fraction = item.partition('=')
        value = _number(fraction)
        if not re.fullmatch(r'\w[\w.-]*', name) or value is None or not 0 < value <= 1:
            raise UserError(f'{option}: {item!r}, expected NAME=FRACTION, as in train=0.9,val=0.1')
        if name in parts:
            raise UserError(f'{option}: {name!r} is given twice')
        parts[name] = value
    return parts


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(',')] if text.strip() else []


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
