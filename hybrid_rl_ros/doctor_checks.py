"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """`level` FAIL: a run would not work, or not safely; warn: it may."""

    level: Literal['ok', 'warn', 'FAIL']
    name: str
    message: str
    mend: str = ''

    def line(self) -> str:
        return f'{self.level:5}{self.name}: {self.message}' + (f'; mend: {self.mend}' if self.mend else '')


def ok(name: str, message: str) -> Check:
    return Check('ok', name, message)


def warn(name: str, message: str, mend: str) -> Check:
    return Check('warn', name, message, mend)


def fail(name: str, message: str, mend: str) -> Check:
    return Check('FAIL', name, message, mend)
