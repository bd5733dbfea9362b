"""What a V4L2 device is asked for, and which of it the device refused."""

from __future__ import annotations

import cv2

from hybrid_rl_ros.camera_config import SourceConfig

# V4L2's own numbers; its exposure counts in steps of 100 us.
MANUAL_EXPOSURE = 1
EXPOSURE_STEPS_PER_MS = 10.0
CLOSE_ENOUGH = 0.1


def apply_settings(capture: cv2.VideoCapture, source: SourceConfig) -> list[str]:
    """Ask `capture` for the settings of `source`. Returns one line for each that it refused."""
    if source.pixel_format is not None:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*source.pixel_format))
    # A device refuses a fixed value while it chooses itself.
    if source.exposure_ms is not None:
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, MANUAL_EXPOSURE)
    if source.white_balance_k is not None:
        capture.set(cv2.CAP_PROP_AUTO_WB, 0)
    # Size before rate: the rates on offer depend on the size.
    numbers = [
        ('width', cv2.CAP_PROP_FRAME_WIDTH, source.width, 1.0),
        ('height', cv2.CAP_PROP_FRAME_HEIGHT, source.height, 1.0),
        ('fps', cv2.CAP_PROP_FPS, source.fps, 1.0),
        ('exposure_ms', cv2.CAP_PROP_EXPOSURE, source.exposure_ms, EXPOSURE_STEPS_PER_MS),
        ('gain', cv2.CAP_PROP_GAIN, source.gain, 1.0),
        ('white_balance_k', cv2.CAP_PROP_WB_TEMPERATURE, source.white_balance_k, 1.0),
    ]
    asked = [(name, number, value, scale) for name, number, value, scale in numbers if value is not None]
    for _, number, value, scale in asked:
        capture.set(number, value * scale)
    refused = []
    for name, number, value, scale in asked:
        # What set() returns is not enough: a driver may accept a value and take another one.
        kept = capture.get(number) / scale
        exact = name in ('width', 'height')
        if abs(kept - value) > (0.0 if exact else CLOSE_ENOUGH * value):
            refused.append(f'{name}: the device keeps {kept:g}, asked {value:g}')
    if source.pixel_format is not None:
        code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        kept_format = code.to_bytes(4, 'little').decode('latin-1')
        if kept_format != source.pixel_format:
            refused.append(f'pixel_format: the device keeps {kept_format!r}, asked {source.pixel_format!r}')
    return refused
