"""Calling a person by a command of theirs: a sound, a message to a phone."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


class PersonCaller:
    """Starts `command`, with {why} in it replaced, and waits for nobody; `complaint` tells later how that went.

    `fault_stands_s`: a fault that nobody has cleared for so long is a call as well.
    """

    def __init__(self, command: Sequence[str], fault_stands_s: float) -> None:
        self._command, self._fault_stands_s = command, fault_stands_s
        self._started: list[subprocess.Popen[bytes]] = []
        self._complaints: list[str] = []
        self._fault, self._since_s, self._told = '', 0.0, False

    def call(self, why: str) -> None:
        if not self._command:
            return
        try:
            process = subprocess.Popen(
                [part.replace('{why}', why) for part in self._command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._complaints.append(f'reset.call: {self._command[0]}: {error.strerror}')
            return
        self._started.append(process)

    def watch(self, fault: str, now_s: float) -> bool:
        """Take the gate's fault, or '', at steady time `now_s`; True when it has stood so long that a call goes out."""
        if fault != self._fault:
            self._fault, self._since_s, self._told = fault, now_s, False
        if not fault or self._told or now_s - self._since_s < self._fault_stands_s:
            return False
        self._told = True
        self.call(f'safety_node: {fault}')
        return True

    def complaint(self) -> str:
        """Once for every call that ended badly, that it did; else ''."""
        for process in [process for process in self._started if process.poll() is not None]:
            self._started.remove(process)
            if code := process.poll():
                self._complaints.append(
                    f'reset.call: {self._command[0]} ended with status {code}; nobody may have been called'
                )
        return self._complaints.pop(0) if self._complaints else ''
