"""A keyboard in a terminal."""

from __future__ import annotations

import os
import select
import termios
import time
import tty

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.teleop.device import DeviceLostError

# A terminal tells of presses alone: each holds its key so long. A tap is a nudge; held down, the keys repeat faster.
HELD_S = 0.15
NAMES = {
    ' ': 'space',
    '\n': 'enter',
    '\r': 'enter',
    '\x7f': 'backspace',
    '\t': 'tab',
    '\x1b[A': 'up',
    '\x1b[B': 'down',
    '\x1b[C': 'right',
    '\x1b[D': 'left',
}


class Keyboard:
    """Inputs are the keys held: their characters, or space, enter, backspace, tab, up, down, left, right."""

    def __init__(self, terminal: str) -> None:
        if not terminal:
            raise UserError('teleop keyboard: needs a terminal to type in, and this is none; use a gamepad')
        try:
            self._file = os.open(terminal, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
            self._before = termios.tcgetattr(self._file)
        except (OSError, termios.error) as error:
            raise UserError(f'teleop keyboard: {terminal} cannot be read: {error}') from None
        tty.setcbreak(self._file)
        self._until_s: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        """The keys held now. Raises DeviceLostError."""
        now = time.monotonic()
        for name in self._typed():
            self._until_s[name] = now + HELD_S
        self._until_s = {name: until for name, until in self._until_s.items() if until > now}
        return dict.fromkeys(self._until_s, 1.0)

    def close(self) -> None:
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)
        os.close(self._file)

    def _typed(self) -> list[str]:
        text = ''
        while select.select([self._file], [], [], 0.0)[0]:
            try:
                part = os.read(self._file, 1024)
            except OSError:
                part = b''
            if not part:
                raise DeviceLostError('the terminal is closed')
            text += part.decode(errors='replace')
        names = []
        while text:
            length = 3 if text[:3] in NAMES else 1
            names.append(NAMES.get(text[:length], text[:length]))
            text = text[length:]
        return names
