"""Pictures without a window: all cameras through one OpenGL context."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import mujoco
import numpy as np

from hybrid_rl_ros.sim.gl import unusable_gl


class SceneRenderer:
    """Renders a model's cameras off screen, each at its own size. Used from one thread at a time."""

    def __init__(self, model: mujoco.MjModel, sizes: dict[str, tuple[int, int]], gl: str) -> None:
        """`sizes`: (height, width) of each camera. Raises UserError when the OpenGL library is missing."""
        self._sizes = sizes
        self._cameras = {name: _fixed_camera(model, name) for name in sizes}
        self._pictures = {name: np.zeros((*size, 3), np.uint8) for name, size in sizes.items()}
        width = max(width for _, width in sizes.values())
        height = max(height for height, _ in sizes.values())
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        self._gl = _gl_context(gl, width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._option = mujoco.MjvOption()
        self._scene = mujoco.MjvScene(model, maxgeom=200)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = False

    def render(self, model: mujoco.MjModel, data: mujoco.MjData, camera: str) -> np.ndarray:
        """The camera's picture of `data` as it is, (H, W, 3) uint8 RGB, a new array."""
        height, width = self._sizes[camera]
        viewport = mujoco.MjrRect(0, 0, width, height)
        self._gl.make_current()
        mujoco.mjv_updateScene(
            model, data, self._option, None, self._cameras[camera], mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(viewport, self._scene, self._context)
        mujoco.mjr_readPixels(self._pictures[camera], None, viewport, self._context)
        return self._pictures[camera][::-1].copy()  # OpenGL counts rows from below

    def close(self) -> None:
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def _fixed_camera(model: mujoco.MjModel, name: str) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
    camera.fixedcamid = model.camera(name).id
    return camera


def _gl_context(gl: str, width: int, height: int) -> Any:
    # MuJoCo's own code reads this when it looks up OpenGL's functions.
    os.environ['MUJOCO_GL'] = gl
    try:
        return importlib.import_module(f'mujoco.{gl}').GLContext(width, height)
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        sys.modules.pop(f'mujoco.{gl}', None)
        raise unusable_gl(gl, error) from None
