"""Captures one camera in a thread of its own and keeps only the newest frame."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hybrid_rl_ros.camera_config import SourceConfig
from hybrid_rl_ros.cameras.frames import Frame, crop_image, resize_to_rgb
from hybrid_rl_ros.cameras.freeze_detector import FreezeDetector
from hybrid_rl_ros.cameras.readers import Reader, Say, open_reader
from hybrid_rl_ros.errors import UserError

State = Literal['opening', 'live', 'repeated', 'frozen', 'reconnecting', 'ended']

# Twice the time between attempts, from the first to the second number.
BACKOFF_S = (0.5, 8.0)
# The longest that a reader's call may take, and some more.
STOP_WITHIN_S = 6.0
SILENT_AFTER_S = 2.0


@dataclass(frozen=True)
class CaptureReport:
    """What a capture has come to.

    frames: captured; repeated: equal to the one before; dropped: replaced by a newer one before anybody took them, or
    not decodable; reconnects: how often the source was lost and came back; detail: why it is not live; newest_at_s:
    when the newest frame came, on the steady clock.
    """

    state: State = 'opening'
    frames: int = 0
    repeated: int = 0
    reconnects: int = 0
    dropped: int = 0
    detail: str = ''
    newest_at_s: float = math.inf

    def warning(self, now_s: float) -> str:
        """What is wrong, for an operator; empty when nothing is."""
        if self.state in ('repeated', 'frozen', 'reconnecting'):
            return f'{self.state}: {self.detail}'
        silent_s = now_s - self.newest_at_s
        return f'no frame for {silent_s:.0f} s' if self.state == 'live' and silent_s > SILENT_AFTER_S else ''


class CameraCapture:
    """One camera's frames. A device or stream that goes away is opened again, waiting longer each time.

    on_change: called from the thread when a frame can be taken, or when there will be no more. now_ns: the clock of the
    stamps. say: takes a line for the operator.
    """

    def __init__(
        self,
        source: SourceConfig,
        key: str,
        *,
        on_change: Callable[[], None],
        say: Say,
        now_ns: Callable[[], int] = time.time_ns,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self._source, self._key = source, key
        self._on_change, self._say, self._now_ns = on_change, say, now_ns
        self._first_wait_s, self._longest_wait_s = backoff_s
        self._wait_s = self._first_wait_s
        self._detector = FreezeDetector(source.repeated_after_frames, source.frozen_after_s)
        self._lock = threading.Lock()
        self._newest: Frame | None = None
        self._report = CaptureReport()
        self._error: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f'capture {key}', daemon=True)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def next_wait_s(self) -> float:
        """How long the next attempt to open a lost source will be waited for."""
        return self._wait_s

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Give the source back; returns at the latest when a read that is stuck in the driver has timed out."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN_S)

    def take(self) -> Frame | None:
        """The newest frame, once. Raises what ended the thread: UserError when there was nothing to open."""
        with self._lock:
            if self._error is not None:
                raise self._error
            frame, self._newest = self._newest, None
            return frame

    def report(self) -> CaptureReport:
        with self._lock:
            return self._report

    def _run(self) -> None:
        reader: Reader | None = None
        try:
            reader = open_reader(self._source, self._key, self._say)
            while reader is not None:
                self._read_to_the_end(reader)
                reader.close()
                reader = None if self._stopping.is_set() else self._open_again()
        except Exception as error:
            with self._lock:
                self._error = error
        finally:
            if reader is not None:
                reader.close()
            self._on_change()

    def _read_to_the_end(self, reader: Reader) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            if reader.period_s is not None:
                self._stopping.wait(max(0.0, due - time.monotonic()))
                # A missed slot is skipped: frames in a burst would be stamps in a burst.
                due = max(due + reader.period_s, time.monotonic())
            if not reader.grab():
                return
            stamp = self._now_ns()
            image = reader.retrieve()
            if image is None:
                self._change(dropped=self._report.dropped + 1)
            else:
                self._offer(image, stamp)

    def _offer(self, image: np.ndarray, stamp_ns: int) -> None:
        captured = image.shape[1], image.shape[0]
        image = crop_image(image, self._source, self._key)
        # Before the resize: averaging away the noise would make pictures of a still scene equal.
        state = self._detector.see(image, time.monotonic())
        frame = Frame(resize_to_rgb(image, self._source), stamp_ns, captured)
        before = self._report
        if before.state == 'reconnecting':
            self._say(f'{self._key}: {self._source.shown_uri} is back')
            self._wait_s = self._first_wait_s
        elif state != before.state and 'frozen' in (state, before.state):
            mend = ': the same picture again and again; check the camera and its cable' if state == 'frozen' else ''
            self._say(f'{self._key}: {self._source.shown_uri} is {state}{mend}')
        with self._lock:
            replaced = self._newest is not None
            self._newest = frame
            self._report = CaptureReport(
                state=state,
                frames=before.frames + 1,
                repeated=self._detector.repeated,
                reconnects=before.reconnects + (before.state == 'reconnecting'),
                dropped=before.dropped + replaced,
                detail='' if state == 'live' else f'{self._source.shown_uri} shows the same picture again and again',
                newest_at_s=time.monotonic(),
            )
        self._on_change()

    def _open_again(self) -> Reader | None:
        """The source, opened after some attempts; None when it was played to its end, or when stopped meanwhile."""
        if self._source.kind == 'path':
            self._change(state='ended', detail=f'{self._source.shown_uri} was played to its end')
            return None
        if self._report.state != 'reconnecting':
            self._say(f'{self._key}: {self._source.shown_uri} is lost; trying to open it again')
        self._change(state='reconnecting', detail=f'{self._source.shown_uri} is lost')
        while not self._stopping.wait(self._wait_s):
            self._wait_s = min(2.0 * self._wait_s, self._longest_wait_s)
            try:
                return open_reader(self._source, self._key, self._say)
            except UserError as error:
                self._change(detail=str(error))
        return None

    def _change(self, **values: object) -> None:
        with self._lock:
            self._report = replace(self._report, **values)  # type: ignore[arg-type]
