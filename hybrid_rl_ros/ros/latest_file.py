"""A file that always holds the newest text, written beside the loop that makes it."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class LatestFile:
    """Replaces a file atomically, in a thread of its own: a slow disk must not hold up a control loop.

    Of several texts that come while the disk is busy only the newest is written. `failures`: how many could not be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: str | None = None
        self._writing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.failures = 0

    def replace(self, text: str) -> None:
        """Have `text` written; returns at once."""
        with self._changed:
            self._text = text
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_each, daemon=True, name=f'write {self._path.name}')
                self._thread.start()
            self._changed.notify_all()

    def flush(self, within_s: float) -> bool:
        """Wait until everything is written; False when it is not within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._text is None and not self._writing, within_s)

    def _write_each(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._text is not None)
                text, self._text, self._writing = self._text or '', None, True
            written = self._write(text)
            with self._changed:
                self.failures += not written
                self._writing = False
                self._changed.notify_all()

    def _write(self, text: str) -> bool:
        temporary = self._path.with_suffix('.tmp')
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text)
            os.replace(temporary, self._path)
        except OSError:
            return False
        return True
