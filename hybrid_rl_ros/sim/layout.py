"""Where everything of the scene is: one set of numbers for MuJoCo's scene and Gazebo's worlds. Metres, base frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.robot_config import RobotConfig

CAMERAS = ('front', 'wrist')
FLANGE = 'flange'

TABLE_SIZE_M = (1.1, 1.2, 0.04)
TABLE_AT_M = (0.35, 0.0, -0.02)
TABLE_FRICTION = 0.5
TABLE_RGBA = (0.80, 0.74, 0.64, 1.0)
FLOOR_Z_M = -0.7
FLOOR_RGBA = (0.35, 0.38, 0.42, 1.0)
LAMP_AT_M = (0.6, 0.4, 1.5)
LAMP_DIRECTION = (-0.25, -0.25, -1.0)


@dataclass(frozen=True)
class CameraView:
    """A camera at `eye_m` that looks at `at_m` with `up` upwards, in `frame`; fovy_deg: vertical angle."""

    frame: str
    eye_m: np.ndarray
    at_m: np.ndarray
    up: np.ndarray
    fovy_deg: float

    @property
    def axes(self) -> np.ndarray:
        """(3, 3): its right, up and backward directions as columns."""
        back = (self.eye_m - self.at_m) / np.linalg.norm(self.eye_m - self.at_m)
        right = np.cross(self.up, back)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(back, right), back], axis=1)

    def matrix(self, height: int, width: int) -> np.ndarray:
        """Intrinsics (3, 3) in pixels, the centre of the first pixel being (0, 0)."""
        focal = height / 2.0 / np.tan(np.radians(self.fovy_deg) / 2.0)
        return np.array([[focal, 0.0, (width - 1) / 2.0], [0.0, focal, (height - 1) / 2.0], [0.0, 0.0, 1.0]])


def camera_views(robot: RobotConfig) -> dict[str, CameraView]:
    """The scene's two cameras: across the table at the workspace, and beside the hand past the fingertips."""
    middle = (np.array(robot.limits.workspace_low_m) + np.array(robot.limits.workspace_high_m)) / 2.0
    eye, at = np.array([middle[0] + 0.60, middle[1], 0.42]), np.array([middle[0], middle[1], 0.12])
    front = CameraView(robot.base_frame, eye, at, np.array([0.0, 0.0, 1.0]), 42.0)
    # In the tool frame, whose z points out of the gripper.
    eye, at = np.array([-0.10, 0.0, -0.06]), np.array([-0.03, 0.0, 0.03])
    return {'front': front, 'wrist': CameraView(robot.tool_frame, eye, at, np.array([1.0, 0.0, 0.0]), 85.0)}
