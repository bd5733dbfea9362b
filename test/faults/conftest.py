"""The table at the end of `pytest test/faults`: case, outcome, measured reaction time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

ROWS: list[tuple[int, str, str, float | None]] = []


@pytest.fixture
def report() -> Callable[..., None]:
    """`report(case, injected, outcome, reaction_s)`; the reaction is the time until the arm rests."""

    def add(case: int, injected: str, outcome: str, reaction_s: float | None = None) -> None:
        ROWS.append((case, injected, outcome, reaction_s))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ROWS:
        return
    terminalreporter.section('faults')
    for case, injected, outcome, reaction_s in sorted(ROWS, key=lambda row: row[0]):
        reaction = '' if reaction_s is None else f'{reaction_s * 1e3:.0f} ms'
        terminalreporter.write_line(f'{case:>3}  {injected:<52} {outcome:<52} {reaction:>8}')
