"""Recording into a bag from a thread of its own: who offers a message never waits for the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from hybrid_rl_ros.data.exchange.bag_writer import FLUSH_S, BagTopic, BagWriter
from hybrid_rl_ros.errors import UserError

_Waiting = tuple[BagTopic, int, int, bytes]


class BagRecording:
    """A bag being written; no more than `queue_bytes` wait for it.

    `problem` says in a line why nothing is written any more, '' while all is well.
    """

    def __init__(self, folder: Path, attachments: Mapping[str, bytes], queue_bytes: int, split_bytes: int) -> None:
        """Raises UserError when the folder cannot be made."""
        self.folder = folder
        self.problem = ''
        self._queue_bytes = queue_bytes
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        try:
            self._writer = BagWriter(folder, attachments, split_bytes)
        except OSError as error:
            raise UserError(f'{folder}: no bag can be written here: {error.strerror or error}') from None
        self._thread = threading.Thread(target=self._write, name='bag writer', daemon=True)
        self._thread.start()

    @property
    def messages(self) -> int:
        """How many have been written so far."""
        return self._writer.messages

    def offer(self, topic: BagTopic, log_ns: int, publish_ns: int, data: bytes) -> bool:
        """Add one serialised message; False if it is dropped: the queue is full, or the disk."""
        with self._changed:
            if self.problem or self._waiting_bytes + len(data) > self._queue_bytes:
                return False
            self._waiting.append((topic, log_ns, publish_ns, data))
            self._waiting_bytes += len(data)
            self._changed.notify()
        return True

    def close(self) -> None:
        """Write what waits, and the index."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _write(self) -> None:
        try:
            while (waiting := self._take()) is not None:
                for topic, log_ns, publish_ns, data in waiting:
                    self._writer.write(topic, log_ns, publish_ns, data)
                self._writer.flush_if_due()
            self._writer.close()
        except OSError as error:
            self.problem = (
                f'{self.folder}: {error.strerror or error}; the recording stopped after {self.messages} messages'
            )
            self._writer.abandon()

    def _take(self) -> list[_Waiting] | None:
        """All that waits, none after FLUSH_S without anything; None once nothing more comes."""
        with self._changed:
            if not self._waiting and not self._closing:
                self._changed.wait(FLUSH_S)
            if not self._waiting:
                return None if self._closing else []
            taken = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        return taken
