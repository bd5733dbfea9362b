"""Whether what a reward is seen by is there, before anything is learned or moved; nothing of it is loaded here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.reward_config import SightConfig

CLASSIFIER_FILE = 'classifier.safetensors'
CLASSIFIER_MEND = 'make one with hybrid-rl pretrain --what classifier'


def require_classifier(folder: Path) -> None:
    """Raises UserError where there is none."""
    if not (folder / CLASSIFIER_FILE).is_file():
        raise UserError(f'reward classifier {folder}: no {CLASSIFIER_FILE} here; {CLASSIFIER_MEND}')


def require_sights(sights: Iterable[SightConfig]) -> None:
    """Raises UserError for a classifier's folder without one, and for a source in a module that nothing finds."""
    for sight in sights:
        if sight.classifier:
            require_classifier(Path(sight.classifier))
        if sight.source:
            module = sight.source.partition(':')[0]
            try:
                found = importlib.util.find_spec(module)
            except ModuleNotFoundError:
                found = None
            if found is None:
                raise UserError(f'reward source {sight.source}: no module {module!r}; is its folder in PYTHONPATH?')
