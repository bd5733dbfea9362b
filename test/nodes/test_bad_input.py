"""What a user's mistake, or a machine that lacks something, looks like from the command line: one line and status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[2] / 'config'

# What Python meets on a machine where the thing is missing.
NO_MUJOCO = ('mujoco.py', 'raise ModuleNotFoundError("No module named \'mujoco\'", name="mujoco")\n')
NO_OSMESA = (
    'sitecustomize.py',
    'import ctypes\n'
    'class CDLL(ctypes.CDLL):\n'
    '    def __init__(self, name, *args, **kwargs):\n'
    '        if "OSMesa" in str(name):\n'
    '            raise OSError("libOSMesa.so.8: cannot open shared object file")\n'
    '        super().__init__(name, *args, **kwargs)\n'
    'ctypes.CDLL, ctypes.cdll = CDLL, ctypes.LibraryLoader(CDLL)\n',
)


def complaint(tmp_path: Path, *arguments: str, without: tuple[str, str] | None = None) -> str:
    """The only line on stderr of a command that ends with status 2."""
    environment = {**os.environ, 'MUJOCO_GL': 'osmesa'}
    if without is not None:
        (tmp_path / 'lacking').mkdir()
        (tmp_path / 'lacking' / without[0]).write_text(without[1])
        environment['PYTHONPATH'] = str(tmp_path / 'lacking')
    command = [sys.executable, '-m', 'hybrid_rl_ros.cli', *arguments, '--run', str(tmp_path / 'run')]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize(
    ('without', 'line'),
    [(NO_MUJOCO, 'pip install "hybrid_rl_ros[sim]"'), (NO_OSMESA, 'apt install libosmesa6')],
    ids=['mujoco', 'osmesa'],
)
def test_a_missing_library_of_the_simulation_says_what_to_install(tmp_path, without, line):
    assert line in complaint(tmp_path, 'train', '--config', str(CONFIG / 'sim_lift.yaml'), without=without)


def test_a_topic_that_nobody_publishes_is_named(tmp_path):
    settings = ('clock=realtime', 'sim=null', 'observation.state=[ee.x]', 'observation.topic_timeout_s=1.0')
    arguments = [part for setting in settings for part in ('--set', setting)]
    line = complaint(tmp_path, 'train', '--config', str(CONFIG / 'sim_reach_state.yaml'), *arguments)
    assert "nobody publishes '/" in line and 'after 1 s' in line
