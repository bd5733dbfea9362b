"""Many episodes' images in one mp4: written as they come, read from a time on without decoding the file anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from hybrid_rl_ros.data.exchange.files import reading
from hybrid_rl_ros.errors import UserError

CODEC = 'libx264'
PIXELS = 'yuv444p'
# Full colour resolution, since at 64x64 half of it alone costs more than 35 dB allow; a key frame every second frame,
# as LeRobot has it, for random access; without frames out of order, so that times start at 0.
_OPTIONS = {'crf': '10', 'g': '2', 'bf': '0'}


class VideoWriter:
    """`frames` and `bytes` are what has gone into the file so far; the codec holds some frames back."""

    def __init__(self, path: Path, rate: int, height: int, width: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), 'w')
        stream = self._container.add_stream(CODEC, rate=rate, options=dict(_OPTIONS))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, PIXELS
        self._stream = stream
        self.frames = self.bytes = 0

    def write(self, image: np.ndarray) -> None:
        """(H, W, 3) uint8 RGB. Raises OSError."""
        self._mux(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24'))
        self.frames += 1

    def finish(self) -> None:
        """Raises OSError."""
        self._mux(None)
        self.close()

    def close(self) -> None:
        self._container.close()

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self.bytes += packet.size
            self._container.mux(packet)


class VideoReader:
    """Frames by their time; asked for in the order of the file, it goes on where it stopped."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self._period = 1.0 / rate
        with reading(path):
            self._container = av.open(str(path))
            if not self._container.streams.video:
                raise UserError(f'{path}: has no video in it')
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = 'AUTO'
        self._decoded = self._container.decode(self._stream)
        self._reached = 0.0
        # One for all frames: a frame's own sets up the conversion, with threads, each time (0.9 to 0.15 ms a frame).
        self._colours = VideoReformatter()

    def close(self) -> None:
        self._container.close()

    def frames(self, start_s: float, count: int, where: str) -> Iterator[np.ndarray]:
        """`count` images (H, W, 3) uint8, the first shown at `start_s`. Raises UserError."""
        tolerance = self._period / 2
        with reading(self.path):
            self._approach(start_s, tolerance)
        given = 0
        while given < count:
            expected = start_s + given * self._period
            with reading(self.path):
                frame = next(self._decoded, None)
            if frame is None or frame.time is None or frame.time > expected + tolerance:
                found = 'it ends before that' if frame is None else f'the next one is at {frame.time:.3f} s'
                raise UserError(f'{self.path}: has no frame at {expected:.3f} s for {where} row {given}: {found}')
            self._reached = frame.time + self._period
            if frame.time >= expected - tolerance:
                given += 1
                with reading(self.path):
                    image = self._colours.reformat(frame, format='rgb24').to_ndarray()
                yield image

    def _approach(self, start_s: float, tolerance: float) -> None:
        if abs(start_s - self._reached) <= tolerance:
            return
        assert self._stream.time_base is not None
        self._container.seek(int(max(0.0, start_s) / self._stream.time_base), stream=self._stream)
        self._decoded = self._container.decode(self._stream)
