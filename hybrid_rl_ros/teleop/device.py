"""Devices that are read directly, and the one place that knows them all."""

from __future__ import annotations

from typing import Protocol


class DeviceLostError(Exception):
    """The device says nothing any more; the arm must hold until it does."""


class Device(Protocol):
    """`read` gives the inputs by name, axes from -1 to 1, buttons and keys 0 or 1, or raises DeviceLostError."""

    def read(self) -> dict[str, float]: ...

    def close(self) -> None: ...


def open_device(name: str, terminal: str) -> Device:
    """A gamepad, spacemouse or keyboard; `terminal` is where keys are typed. Raises UserError."""
    if name == 'gamepad':
        from hybrid_rl_ros.teleop.gamepad import Gamepad

        return Gamepad()
    if name == 'spacemouse':
        from hybrid_rl_ros.teleop.spacemouse import SpaceMouse

        return SpaceMouse()
    from hybrid_rl_ros.teleop.keyboard import Keyboard

    return Keyboard(terminal)
