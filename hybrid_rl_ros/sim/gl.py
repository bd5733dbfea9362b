"""Which OpenGL renders without a window; decided before MuJoCo is imported, which looks for a display otherwise."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hybrid_rl_ros.errors import UserError

GL_PACKAGES = {'osmesa': 'libosmesa6', 'egl': 'libegl1'}


def choose_gl(setting: str) -> str:
    """`osmesa` or `egl` for the setting `auto`, `osmesa` or `egl`: EGL where there is an NVIDIA GPU to use it."""
    if setting != 'auto':
        return setting
    asked_for = os.environ.get('MUJOCO_GL', '').lower()
    if asked_for in GL_PACKAGES:
        return asked_for
    has_gpu = Path('/dev/nvidia0').exists() or shutil.which('nvidia-smi') is not None
    return 'egl' if has_gpu else 'osmesa'


def unusable_gl(gl: str, error: Exception) -> UserError:
    """What to tell when rendering with `gl` failed with `error`."""
    reason = ' '.join(str(error).split())
    return UserError(
        f'sim.gl: rendering with {gl} does not work here ({reason}); install it with '
        f'"apt install {GL_PACKAGES[gl]}", choose another sim.gl, or use no cameras'
    )
