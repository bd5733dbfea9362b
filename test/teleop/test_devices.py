"""Devices that are read directly: keys in a terminal, and what is said where a device or its library is missing."""

from __future__ import annotations

import os
import time

import pytest

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.teleop.device import DeviceLostError, open_device
from hybrid_rl_ros.teleop.keyboard import Keyboard


@pytest.fixture
def terminal():
    """(a keyboard, where to type)."""
    typed, name = os.openpty()
    keyboard = Keyboard(os.ttyname(name))
    yield keyboard, typed
    keyboard.close()


def test_keys_are_inputs_while_they_repeat_and_no_longer(terminal, monkeypatch):
    keyboard, typed = terminal
    now = [50.0]
    monkeypatch.setattr('hybrid_rl_ros.teleop.keyboard.time.monotonic', lambda: now[0])
    os.write(typed, b'w')
    assert keyboard.read() == {'w': 1.0}
    now[0] += 0.1
    os.write(typed, b'w\x1b[A \n')
    assert keyboard.read() == {'w': 1.0, 'up': 1.0, 'space': 1.0, 'enter': 1.0}
    now[0] += 0.1
    assert keyboard.read() == {'w': 1.0, 'up': 1.0, 'space': 1.0, 'enter': 1.0}
    now[0] += 0.1
    assert keyboard.read() == {}


def test_the_terminal_is_left_as_it_was():
    import termios

    _, name = os.openpty()
    before = termios.tcgetattr(name)
    keyboard = Keyboard(os.ttyname(name))
    assert termios.tcgetattr(name) != before
    keyboard.close()
    assert termios.tcgetattr(name) == before


def test_a_terminal_that_is_gone_is_a_lost_device():
    typed, name = os.openpty()
    keyboard = Keyboard(os.ttyname(name))
    os.close(typed)
    os.close(name)
    deadline = time.monotonic() + 5.0
    with pytest.raises(DeviceLostError):
        while time.monotonic() < deadline:
            keyboard.read()


@pytest.mark.parametrize(
    ('device', 'terminal'), [('keyboard', ''), ('keyboard', '/dev/null'), ('keyboard', '/nowhere')]
)
def test_no_terminal_is_one_line(device, terminal):
    with pytest.raises(UserError, match='keyboard'):
        open_device(device, terminal)


@pytest.mark.skipif(os.path.exists('/dev/input/js0'), reason='there is a gamepad')
def test_no_gamepad_is_one_line():
    pytest.importorskip('pygame')
    with pytest.raises(UserError, match='none is connected'):
        open_device('gamepad', '')


def test_no_spacemouse_is_one_line():
    with pytest.raises(UserError, match='spacemouse'):
        open_device('spacemouse', '')
