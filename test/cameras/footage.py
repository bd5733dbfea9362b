"""Footage for cameras: videos, folders of images and a web camera, all showing frames with a number in their colour."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

from hybrid_rl_ros.cameras.capture import CameraCapture
from hybrid_rl_ros.cameras.frames import Frame

WIDTH, HEIGHT = 64, 48
KEY = 'observation.cameras.front.source'


def picture(number: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 RGB: red is the column, green the row, blue 5 times the number."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, :, 0] = np.arange(WIDTH)
    image[:, :, 1] = np.arange(HEIGHT)[:, None]
    image[:, :, 2] = 5 * number
    return image


def write_folder(folder: Path, numbers: list[int]) -> Path:
    folder.mkdir()
    for index, number in enumerate(numbers):
        assert cv2.imwrite(str(folder / f'{index:03d}.png'), picture(number)[:, :, ::-1])
    return folder


def write_video(path: Path, numbers: list[int], fps: float) -> Path:
    """A lossless video, so that pixels can be compared."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*'FFV1'), fps, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in numbers:
        writer.write(np.ascontiguousarray(picture(number)[:, :, ::-1]))
    writer.release()
    return path


class Watched:
    """A capture whose frames are taken as they come, and its lines kept."""

    def __init__(self, source, backoff_s: tuple[float, float] = (0.05, 0.2)) -> None:
        self.lines: list[str] = []
        self.frames: list[Frame] = []
        self.errors: list[Exception] = []
        self.capture = CameraCapture(
            source, KEY, on_change=self._take, say=self.lines.append, backoff_s=backoff_s, now_ns=time.time_ns
        )

    def __enter__(self) -> Watched:
        self.capture.start()
        return self

    def __exit__(self, *_) -> None:
        self.capture.stop()

    @property
    def state(self) -> str:
        return self.capture.report().state

    @property
    def numbers(self) -> list[int]:
        return [round(int(frame.image[0, 0, 2]) / 5) for frame in self.frames]

    def _take(self) -> None:
        try:
            frame = self.capture.take()
        except Exception as error:
            self.errors.append(error)
        else:
            self.frames += [frame] if frame is not None else []


class WebCamera:
    """An MJPEG server on this machine whose frames count up."""

    def __init__(self, port: int = 0) -> None:
        self.sending = threading.Event()
        self.sending.set()
        self.number = 0
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=frame')
                self.end_headers()
                while camera.sending.is_set():
                    camera.number = (camera.number + 1) % 50
                    jpeg = cv2.imencode('.jpg', picture(camera.number)[:, :, ::-1])[1].tobytes()
                    head = f'--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n'
                    try:
                        self.wfile.write(head.encode() + jpeg + b'\r\n')
                    except OSError:
                        return
                    time.sleep(0.02)

        self._server = ThreadingHTTPServer(('127.0.0.1', port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def uri(self) -> str:
        return f'http://127.0.0.1:{self.port}/stream'

    def close(self) -> None:
        """Ends every connection, and takes no new one."""
        self.sending.clear()
        self._server.shutdown()
        self._server.server_close()
