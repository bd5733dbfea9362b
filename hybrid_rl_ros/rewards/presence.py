"""Whether what a reward is seen by is there, before anything is learned or moved."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError

CLASSIFIER_FILE = 'classifier.safetensors'
CLASSIFIER_MEND = 'make one with hybrid-rl pretrain --what classifier'


def require_classifier(folder: Path) -> None:
    """Raises UserError where there is none."""
    if not (folder / CLASSIFIER_FILE).is_file():
        raise UserError(f'reward classifier {folder}: no {CLASSIFIER_FILE} here; {CLASSIFIER_MEND}')


def require_sources(config: Config) -> None:
    """Raises UserError for a classifier's folder without one, and for a source in a module that nothing finds."""
    for sight in config.sights:
        if sight.classifier:
            require_classifier(Path(sight.classifier))
        if sight.source:
            _require_module(sight.source, 'reward source')
    if config.reset.source:
        _require_module(config.reset.source, 'reset source')


def _require_module(where: str, what: str) -> None:
    # Nodes look in the current folder as well; what is below the top is found by importing that.
    package = where.partition(':')[0].partition('.')[0]
    if PathFinder.find_spec(package, ['', *sys.path]) is None and package not in sys.modules:
        raise UserError(f'{what} {where}: no module {package!r}; is its folder in PYTHONPATH?')
