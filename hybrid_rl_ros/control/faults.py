"""Faults of the gate: each has a code and a sentence, and stays until a person clears it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """`code`: one word for programs; `sentence`: for people, what happened and what to do."""

    code: str
    sentence: str


class FaultLatch:
    """Remembers every fault until it is cleared; a cause that persists cannot be cleared away.

    One code may have several causes (a switch and a service, two topics): all of them must be gone.
    """

    def __init__(self) -> None:
        self._latched: dict[str, Fault] = {}
        self._causes: dict[str, dict[str, Callable[[], bool]]] = {}

    def __bool__(self) -> bool:
        return bool(self._latched)

    @property
    def faults(self) -> list[Fault]:
        """In the order in which they came."""
        return list(self._latched.values())

    def latch(self, code: str, sentence: str, persists: Callable[[], bool] | None = None, cause: str = '') -> bool:
        """Latch a fault; True if it is new. `persists` says whether `cause`, a name of its own, is still there."""
        if persists is not None:
            self._causes.setdefault(code, {})[cause] = persists
        if code in self._latched:
            return False
        self._latched[code] = Fault(code, sentence)
        return True

    def clear(self) -> str | None:
        """Clear every fault, or none and say why."""
        for code, fault in self._latched.items():
            if any(persists() for persists in self._causes.get(code, {}).values()):
                return f'{code} persists: {fault.sentence}'
        self._latched.clear()
        self._causes.clear()
        return None
