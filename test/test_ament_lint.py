"""ament's linters, as `colcon test` of a ROS workspace runs them; skipped where they are not installed.

ament_copyright is not among them: the files carry no header, LICENSE says it once for all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [str(ROOT / name) for name in ('hybrid_rl_ros', 'launch', 'test', 'setup.py')]
HOUSE_STYLE = ['D205', 'D209', 'D213', 'D400', 'D401', 'D402', 'D403', 'D415']

pytestmark = pytest.mark.slow


@pytest.mark.flake8
@pytest.mark.linter
def test_flake8():
    main = pytest.importorskip('ament_flake8.main', reason='ament_flake8 is not installed')
    code, errors = main.main_with_errors(argv=['--config', str(ROOT / 'test' / 'ament_flake8.ini'), *SOURCES])
    assert code == 0, '\n'.join(errors)


@pytest.mark.pep257
@pytest.mark.linter
def test_pep257():
    main = pytest.importorskip('ament_pep257.main', reason='ament_pep257 is not installed')
    assert main.main(argv=['--add-ignore', *HOUSE_STYLE, '--', *SOURCES[:2]]) == 0
