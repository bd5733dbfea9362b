"""A trained success classifier as a reward source."""

from __future__ import annotations

from pathlib import Path

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.rewards.classifier import SuccessClassifier
from hybrid_rl_ros.rewards.source import RewardSource, Seen


class ClassifierSource(RewardSource):
    """So where the classifier in `folder` says so, gate and all. Raises UserError if it is not there or misfits."""

    sees = True

    def __init__(self, folder: str, specs: Specs) -> None:
        self._classifier = SuccessClassifier.load(Path(folder), specs)

    def score(self, seen: Seen) -> float:
        return float(self._classifier.succeeded(seen.numbers, seen.images))
