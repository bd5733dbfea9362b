"""A camera without a ROS driver as configuration: where its frames come from, and what is done to them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hybrid_rl_ros.config_file import Section

STREAM_SCHEMES = ('rtsp', 'rtsps', 'http', 'https', 'udp', 'tcp')
DEVICE_KEYS = ('width', 'height', 'pixel_format', 'exposure_ms', 'gain', 'white_balance_k')

Pixels = Annotated[int, Field(ge=1, le=8192)]
Offset = Annotated[int, Field(ge=0, le=8192)]


class IntrinsicsConfig(Section):
    """The lens, for camera_info, as a file or as numbers: of the picture as captured, before crop and resize."""

    file: str | None = Field(None, description='YAML as camera_calibration writes it')
    camera_matrix: list[float] | None = Field(None, min_length=9, max_length=9, description='row by row, in px')
    distortion: list[float] = []
    distortion_model: Literal['plumb_bob', 'rational_polynomial', 'equidistant'] = 'plumb_bob'

    @model_validator(mode='after')
    def _one_of_the_two(self) -> IntrinsicsConfig:
        if (self.file is None) == (self.camera_matrix is None):
            raise ValueError('give either file or camera_matrix')
        if self.file is not None and self.distortion:
            raise ValueError('distortion is in the file already')
        return self


class SourceConfig(Section):
    """Where camera_node takes a camera's frames, and what it does to them.

    uri: /dev/video0 or 0, a video file, a folder of images, or the address of a stream (rtsp://, http://).
    """

    uri: str
    fps: float | None = Field(None, gt=0, le=1000, description="asked of a device; a file's own, or 30, if not given")
    width: Pixels | None = Field(None, description='px, asked of a device')
    height: Pixels | None = Field(None, description='px, asked of a device')
    pixel_format: str | None = Field(None, pattern='^.{4}$', description='four letters asked of a device, such as MJPG')
    crop: tuple[Offset, Offset, Pixels, Pixels] | None = Field(None, description='[x, y, width, height] in px')
    resize: tuple[Pixels, Pixels] | None = Field(None, description='[width, height] in px, after the crop')
    exposure_ms: float | None = Field(None, gt=0, description='fixed; as the device has it if not given')
    gain: float | None = Field(None, ge=0, description="fixed, in the device's own numbers")
    white_balance_k: float | None = Field(None, gt=0, description='fixed colour temperature')
    loop: bool = Field(False, description='play a file or folder again and again')
    frame_id: str | None = Field(None, description='<camera>_optical_frame if not given')
    intrinsics: IntrinsicsConfig | None = None
    repeated_after_frames: int = Field(3, ge=2, description='warn when so many frames in a row are the same')
    frozen_after_s: float = Field(1.0, gt=0, description='and call the camera frozen when that lasts so long')

    @field_validator('uri', mode='before')
    @classmethod
    def _number_of_a_device(cls, uri: Any) -> Any:
        return str(uri) if type(uri) is int else uri

    @field_validator('uri')
    @classmethod
    def _known_scheme(cls, uri: str) -> str:
        scheme, separator, _ = uri.partition('://')
        if not uri or (separator and scheme not in STREAM_SCHEMES):
            expected = ', '.join(f'{scheme}://' for scheme in STREAM_SCHEMES)
            raise ValueError(f'expected a device such as /dev/video0, a file, a folder, or one of {expected}')
        return uri

    @model_validator(mode='after')
    def _keys_fit_the_source(self) -> SourceConfig:
        if self.kind != 'device':
            for key in DEVICE_KEYS:
                if getattr(self, key) is not None:
                    raise ValueError(f'{key} can only be asked of a device; for a {self.kind} use crop and resize')
        if self.kind != 'path' and self.loop:
            raise ValueError('loop is for files and folders')
        if self.kind == 'stream' and self.fps is not None:
            raise ValueError('fps of a stream is what its server sends')
        if (self.width is None) != (self.height is None):
            raise ValueError('width and height are asked together')
        return self

    @property
    def kind(self) -> Literal['device', 'stream', 'path']:
        if self.uri.isdigit() or self.uri.startswith('/dev/'):
            return 'device'
        return 'stream' if '://' in self.uri else 'path'

    @property
    def shown_uri(self) -> str:
        """The uri for logs and diagnostics, without the password that a stream's address may carry."""
        return re.sub(r'(://[^:/@]*):[^@/]*@', r'\1:***@', self.uri)
