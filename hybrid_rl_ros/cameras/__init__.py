"""Cameras that have no ROS driver, through OpenCV. No rclpy and no torch."""

import os

# OpenCV reads these when it is first imported, which the modules of this folder do. It would print lines of its own
# at every failed attempt to open a source, and wait ten seconds for a device that has gone quiet.
os.environ.setdefault('OPENCV_LOG_LEVEL', 'OFF')
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
os.environ.setdefault('OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT', '3')
