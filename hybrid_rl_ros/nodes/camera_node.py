"""A camera without a ROS driver."""

from __future__ import annotations

import time
from dataclasses import asdict

from sensor_msgs.msg import CameraInfo, Image

from hybrid_rl_ros.cameras.capture import CameraCapture
from hybrid_rl_ros.cameras.frames import Frame
from hybrid_rl_ros.cameras.intrinsics import crop_resize_intrinsics, load_intrinsics
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.ros.messages import write_image
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import CAMERA

COUNTERS = ('frames', 'repeated', 'reconnects', 'dropped')
REPORT_PERIOD_S = 0.2


class CameraNode(GraphNode):
    """Publishes what one camera shows; see cameras/capture.py for how it is captured, lost and found again.

    Parameters (read only): camera, its name below observation.cameras, where it has a `source`.
    Publishes: <camera>/image_raw, <camera>/camera_info (same stamp; all zero for a camera that is not calibrated).

    It ends with status 2 when there is nothing to open at the start, and with 0 when a file was played to its end.
    """

    def __init__(self) -> None:
        super().__init__('camera_node')

    def set_up(self) -> None:
        camera = self.parameter('camera', '', 'name of a camera with a source in the configuration')
        sources = {name: c.source for name, c in self.config.observation.cameras.items() if c.source is not None}
        if camera not in sources:
            known = ', '.join(sources) or 'none'
            raise UserError(f'camera_node: parameter camera is {camera!r}; the cameras with a source are: {known}')
        self._source = sources[camera]
        self._key = f'observation.cameras.{camera}.source'
        self._frame_id = self._source.frame_id or f'{camera}_optical_frame'
        self._lens_key = f'{self._key}.intrinsics'
        self._lens = load_intrinsics(self._source.intrinsics, self._lens_key) if self._source.intrinsics else None
        self.consumers = {f'{camera}/image_raw': ('observation_node',)}
        self._images = self.publisher(Image, f'{camera}/image_raw', CAMERA)
        self._infos = self.publisher(CameraInfo, f'{camera}/camera_info', CAMERA)
        self._info: CameraInfo | None = None
        self._info_sizes: object = None
        frame_came = self.create_guard_condition(self._on_frame)
        self._capture = CameraCapture(
            self._source,
            self._key,
            on_change=frame_came.trigger,
            say=self.get_logger().warning,
            now_ns=lambda: self.get_clock().now().nanoseconds,
        )
        self.every(REPORT_PERIOD_S, self._on_report)
        self._capture.start()

    def close(self) -> None:
        self._capture.stop()

    def _check_ready(self) -> None:
        # A camera that has shown nothing yet must not let the first episode begin.
        if self._capture.report().frames:
            super()._check_ready()

    def _on_frame(self) -> None:
        frame = self._capture.take()
        if frame is None:
            return
        image = write_image(frame.image, frame.stamp_ns, self._frame_id)
        info = self._camera_info(frame)
        info.header = image.header
        self._images.publish(image)
        self._infos.publish(info)

    def _on_report(self) -> None:
        self._on_frame()
        report = self._capture.report()
        values = asdict(report)
        self.status.counters.update({name: values[name] for name in COUNTERS})
        self.status.values.update(state=report.state, uri=self._source.shown_uri)
        self.status.warning = report.warning(time.monotonic())
        if report.state == 'ended':
            self.get_logger().info(f'{report.detail}; {self._key}.loop: true plays it again')
            self.finish()

    def _camera_info(self, frame: Frame) -> CameraInfo:
        sizes = (frame.image.shape, frame.captured)
        if self._info is None or sizes != self._info_sizes:
            height, width, _ = frame.image.shape
            self._info, self._info_sizes = CameraInfo(height=height, width=width), sizes
            if self._lens is not None:
                lens = crop_resize_intrinsics(self._lens, self._source, frame.captured, self._lens_key)
                self._info.distortion_model, self._info.d = lens.distortion_model, lens.distortion
                self._info.k, self._info.r = lens.matrix.ravel(), lens.rectification.ravel()
                self._info.p = lens.projection.ravel()
        return self._info


def main() -> None:
    node_main(CameraNode)


if __name__ == '__main__':
    main()
