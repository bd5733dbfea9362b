"""Where frames come from: a V4L2 device, a stream, a video file or a folder of images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from hybrid_rl_ros.camera_config import SourceConfig
from hybrid_rl_ros.cameras.device_settings import apply_settings
from hybrid_rl_ros.errors import UserError

DEFAULT_FPS = 30.0
# A stopping node waits for a read to come back, and stopping has to stay short.
STREAM_TIMEOUT_MS = 4000
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')

Say = Callable[[str], None]


class Reader(Protocol):
    """An open source. `period_s` is the time between two frames, or None where the source itself keeps it."""

    period_s: float | None

    def grab(self) -> bool:
        """Wait for the next frame; False when there is none, because the source ended or is gone."""

    def retrieve(self) -> np.ndarray | None:
        """The grabbed frame decoded, (H, W, 3) uint8 BGR; None when it cannot be."""

    def close(self) -> None: ...


def open_reader(source: SourceConfig, key: str, say: Say) -> Reader:
    """Open `source`, which stands at `key` of the configuration; `say` takes one line for each refused setting.

    Raises UserError when there is nothing to open.
    """
    if source.kind == 'device':
        return VideoReader(lambda: _open_device(source, key, say))
    if source.kind == 'stream':
        return VideoReader(lambda: _open_stream(source, key))
    path = Path(source.uri)
    if path.is_dir():
        return FolderReader(path, source, key)
    if not path.is_file():
        raise UserError(
            f'{key}.uri: {source.uri!r}: no such file or folder; expected a video file, a folder of images, '
            'a device such as /dev/video0, or an address such as rtsp://'
        )
    return VideoReader(lambda: _open_file(path, key), fps=source.fps, paced=True, loop=source.loop)


class VideoReader:
    """Anything that OpenCV captures. `paced`: its frames are always there, so the time between them has to be kept."""

    def __init__(
        self,
        open_capture: Callable[[], cv2.VideoCapture],
        *,
        fps: float | None = None,
        paced: bool = False,
        loop: bool = False,
    ) -> None:
        self._open, self._loop = open_capture, loop
        self._capture = open_capture()
        own_fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.period_s = 1.0 / (fps or (own_fps if own_fps > 0 else DEFAULT_FPS)) if paced else None

    def grab(self) -> bool:
        if self._capture.grab():
            return True
        if not self._loop:
            return False
        # Not every container can be wound back; every file can be opened again.
        self._capture.release()
        self._capture = self._open()
        return self._capture.grab()

    def retrieve(self) -> np.ndarray | None:
        decoded, image = self._capture.retrieve()
        if not decoded or image is None or not image.size:
            return None
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image

    def close(self) -> None:
        self._capture.release()


class FolderReader:
    """The images of a folder in the order of their names."""

    def __init__(self, folder: Path, source: SourceConfig, key: str) -> None:
        self._paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not self._paths:
            raise UserError(
                f'{key}.uri: {source.uri!r}: no images in this folder; expected {", ".join(IMAGE_SUFFIXES)}'
            )
        self.period_s: float | None = 1.0 / (source.fps or DEFAULT_FPS)
        self._loop = source.loop
        self._grabbed = -1

    def grab(self) -> bool:
        self._grabbed += 1
        if self._loop:
            self._grabbed %= len(self._paths)
        return self._grabbed < len(self._paths)

    def retrieve(self) -> np.ndarray | None:
        return cv2.imread(str(self._paths[self._grabbed]), cv2.IMREAD_COLOR)

    def close(self) -> None:
        pass


def _open_device(source: SourceConfig, key: str, say: Say) -> cv2.VideoCapture:
    path = f'/dev/video{source.uri}' if source.uri.isdigit() else source.uri
    if not Path(path).exists():
        present = ', '.join(sorted(map(str, Path('/dev').glob('video*')))) or 'none'
        raise UserError(f'{key}.uri: {path!r}: no such device; expected a V4L2 camera (present: {present})')
    if not os.access(path, os.R_OK | os.W_OK):
        raise UserError(f'{key}.uri: {path!r} may not be read by this user; add the user to the group "video"')
    capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise UserError(f'{key}.uri: {path!r} cannot be opened; expected a V4L2 camera that no other program is using')
    for refusal in apply_settings(capture, source):
        say(f'{key}.{refusal}')
    return capture


def _open_stream(source: SourceConfig, key: str) -> cv2.VideoCapture:
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_TIMEOUT_MS]
    capture = cv2.VideoCapture(source.uri, cv2.CAP_FFMPEG, timeouts)
    if not capture.isOpened():
        raise UserError(
            f'{key}.uri: {source.shown_uri!r}: no stream to be had; expected a server that answers '
            f'within {STREAM_TIMEOUT_MS / 1000:g} s with video'
        )
    return capture


def _open_file(path: Path, key: str) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise UserError(f'{key}.uri: {str(path)!r} cannot be read; expected a video file')
    return capture
