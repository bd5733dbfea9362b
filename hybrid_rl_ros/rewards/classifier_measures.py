"""How a success classifier is judged: by whole episodes that it has not learned from, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_THRESHOLD = 0.5


@dataclass(frozen=True)
class LabelledFrames:
    """N frames of a store: their rows (N,), their episodes (N,), and whether each shows a success (N,)."""

    rows: np.ndarray
    episodes: np.ndarray
    success: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> LabelledFrames:
        return LabelledFrames(self.rows[chosen], self.episodes[chosen], self.success[chosen])

    @property
    def lacks_one_kind(self) -> bool:
        """Whether all of them are successes, or none is."""
        return bool(self.success.all() or not self.success.any())

    def episodes_with(self, success: bool) -> int:
        """How many episodes have such a frame."""
        return len(np.unique(self.episodes[self.success == success]))


@dataclass(frozen=True)
class Scores:
    """What a classifier made of N held-out frames: probabilities (N,), and whether its gate held (N,)."""

    frames: LabelledFrames
    probability: np.ndarray
    inside_gate: np.ndarray

    @property
    def gated(self) -> np.ndarray:
        """(N,) the probability, 0 where the gate did not hold."""
        return np.where(self.inside_gate, self.probability, 0.0)


def held_out_frames(frames: LabelledFrames, share: float, rng: np.random.Generator) -> np.ndarray:
    """(N,) bool: the frames of `share` of the episodes.

    It is the share of those with successes, of those without, and of those with nothing else; of each at least one is
    on either side, unless there is only one.
    """
    numbers, episode = np.unique(frames.episodes, return_inverse=True)
    frames_of_each = np.bincount(episode)
    successes = np.bincount(episode, weights=frames.success)
    kind = np.where(successes == 0, 0, np.where(successes < frames_of_each, 1, 2))
    held_out = np.zeros(len(numbers), bool)
    for members in (np.flatnonzero(kind == number) for number in range(3)):
        count = min(max(round(share * len(members)), 1), max(len(members) - 1, 0))
        held_out[rng.permutation(members)[:count]] = True
    return held_out[episode]


def choose_threshold(negatives: np.ndarray, max_rate: float) -> float:
    """The least threshold, from 0.5 on, above which at most `max_rate` of the probabilities of `negatives` (N,) are."""
    candidates = np.unique([LEAST_THRESHOLD, *negatives[negatives > LEAST_THRESHOLD].tolist()])
    return next(float(threshold) for threshold in candidates if _share_above(negatives, threshold) <= max_rate)


@dataclass(frozen=True)
class Confusion:
    """Counts of frames at a threshold."""

    true_positives: int
    missed: int
    false_positives: int
    true_negatives: int

    @classmethod
    def of(cls, success: np.ndarray, probability: np.ndarray, threshold: float) -> Confusion:
        fired = probability > threshold
        counts = (success & fired, success & ~fired, ~success & fired, ~success & ~fired)
        return cls(*(int(count.sum()) for count in counts))

    @property
    def recall(self) -> float:
        return self.true_positives / (self.true_positives + self.missed)

    @property
    def false_positive_rate(self) -> float:
        return self.false_positives / (self.false_positives + self.true_negatives)


def worst_mistakes(scores: Scores, threshold: float, most: int) -> tuple[np.ndarray, bool]:
    """Indices of at most `most` frames that are told wrongly, the furthest off first; and True.

    Where none is: those whose probability is nearest to the threshold, and False.
    """
    gated = scores.gated
    wrong = np.flatnonzero((gated > threshold) != scores.frames.success)
    if not len(wrong):
        return np.argsort(np.abs(scores.probability - threshold), kind='stable')[:most], False
    off = np.abs(gated[wrong] - scores.frames.success[wrong])
    return wrong[np.argsort(-off, kind='stable')][:most], True


def _share_above(probabilities: np.ndarray, threshold: float) -> float:
    return float((probabilities > threshold).mean())
