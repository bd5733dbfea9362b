"""What pretraining says of itself while it runs."""

from __future__ import annotations

import sys
import time

REPORT_EVERY_S = 1.0
BAR = 30


class ProgressLines:
    """A line a second; on a terminal, a bar in one line that is written anew."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = 0.0
        self._live = sys.stdout.isatty()

    def __call__(self, update: int, updates: int, loss: float) -> None:
        if update == updates or time.monotonic() - self._last > REPORT_EVERY_S:
            self._last = time.monotonic()
            text = f'pretrain: {self._what}, {update}/{updates} updates, loss {loss:.4f}'
            if self._live:
                done = BAR * update // updates
                end = '\n' if update == updates else ''
                sys.stdout.write(f'\r{text} [{"#" * done}{"." * (BAR - done)}]{end}')
            else:
                sys.stdout.write(f'{text}\n')
            sys.stdout.flush()

    def validated(self, update: int, values: dict[str, float]) -> None:
        numbers = ', '.join(f'{name.replace("_", " ")} {value:.4f}' for name, value in values.items())
        start = '\r\033[K' if self._live else ''
        sys.stdout.write(f'{start}pretrain: {self._what}, after {update} updates: {numbers}\n')
        sys.stdout.flush()
