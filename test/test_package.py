"""The package's own facts agree with each other."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_in_every_place():
    setup = re.search(r"version='([\d.]+)'", (ROOT / 'setup.py').read_text()).group(1)
    package = ElementTree.parse(ROOT / 'package.xml').getroot().find('version').text
    changelog = re.search(r'^(\d+\.\d+\.\d+) ', (ROOT / 'CHANGELOG.rst').read_text(), re.M).group(1)
    assert setup == package == changelog


def test_every_node_file_is_an_executable_of_the_package():
    files = {path.stem for path in (ROOT / 'hybrid_rl_ros' / 'nodes').glob('*_node.py')}
    named = set(re.findall(r"'(\w+_node)'", (ROOT / 'setup.py').read_text()))
    assert files == named
    assert all(importlib.util.find_spec(f'hybrid_rl_ros.nodes.{name}') for name in named)
