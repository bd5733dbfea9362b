"""A 3Dconnexion SpaceMouse."""

from __future__ import annotations

import time
from typing import Any

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.teleop.device import DeviceLostError

# The cap's motions, in the order of axis0 to axis5.
AXES = ('x', 'y', 'z', 'roll', 'pitch', 'yaw')
MOST_REPORTS = 50
# While it is pushed it reports a hundred times a second; a last report that stands is a pulled cable.
SILENT_WHILE_PUSHED_S = 0.3


class SpaceMouse:
    """Inputs: axis0 to axis5 are x, y, z, roll, pitch, yaw of the cap; button0 and so on."""

    def __init__(self) -> None:
        try:
            import pyspacemouse
        except ModuleNotFoundError:
            mend = "pip install 'hybrid_rl_ros[teleop]'"
            raise UserError(f'teleop spacemouse: needs pyspacemouse; install it with {mend}') from None
        try:
            self._device: Any = pyspacemouse.open(axis_convention=pyspacemouse.AxisConvention.ROS)
        except Exception as error:  # the library and hidapi below it raise what they like
            raise UserError(
                f'teleop spacemouse: cannot be opened: {error}; is it connected, with a udev rule?'
            ) from None
        self._report, self._reported_s = -1.0, time.monotonic()

    def read(self) -> dict[str, float]:
        """The inputs now. Raises DeviceLostError."""
        now = time.monotonic()
        try:
            # One report a call, and the cap sends translation and rotation apart: empty the queue.
            for _ in range(MOST_REPORTS):
                state = self._device.read()
                if state.t == self._report:
                    break
                self._report, self._reported_s = state.t, now
        except Exception as error:
            raise DeviceLostError(f'the SpaceMouse does not answer: {error}') from None
        if state.has_motion() and now - self._reported_s > SILENT_WHILE_PUSHED_S:
            raise DeviceLostError('the SpaceMouse is silent although it is pushed')
        inputs = {f'axis{i}': float(getattr(state, axis)) for i, axis in enumerate(AXES)}
        return inputs | {f'button{i}': float(pressed) for i, pressed in enumerate(state.buttons)}

    def close(self) -> None:
        self._device.close()
