"""A gamepad read by pygame, without joy_node."""

from __future__ import annotations

import os

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.teleop.device import DeviceLostError


class Gamepad:
    """The first joystick of the machine. Inputs: axis0.., button0.., and each hat as two more axes."""

    def __init__(self) -> None:
        # Before the import: no window is wanted, and the pad is read although none has the focus.
        os.environ.setdefault('SDL_VIDEODRIVER', 'dummy')
        os.environ['SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS'] = '1'
        os.environ['PYGAME_HIDE_SUPPORT_PROMPT'] = '1'
        try:
            import pygame
        except ModuleNotFoundError:
            raise UserError(
                "teleop gamepad: needs pygame; install it with pip install 'hybrid_rl_ros[teleop]'"
            ) from None
        self._pygame = pygame
        pygame.init()
        self._joystick = self._open()
        if self._joystick is None:
            raise UserError('teleop gamepad: none is connected; look at /dev/input, or use device: joy')

    def read(self) -> dict[str, float]:
        """The inputs now. Raises DeviceLostError."""
        for event in self._pygame.event.get():
            if event.type == self._pygame.JOYDEVICEREMOVED:
                self._joystick = None
        self._joystick = self._joystick or self._open()
        pad = self._joystick
        if pad is None:
            raise DeviceLostError('the gamepad is not connected')
        axes = [pad.get_axis(i) for i in range(pad.get_numaxes())]
        axes += [float(way) for i in range(pad.get_numhats()) for way in pad.get_hat(i)]
        inputs = {f'axis{i}': value for i, value in enumerate(axes)}
        return inputs | {f'button{i}': float(pad.get_button(i)) for i in range(pad.get_numbuttons())}

    def close(self) -> None:
        self._pygame.quit()

    def _open(self):  # type: ignore[no-untyped-def]  # pygame is imported late
        joystick = self._pygame.joystick
        return joystick.Joystick(0) if joystick.get_count() else None
