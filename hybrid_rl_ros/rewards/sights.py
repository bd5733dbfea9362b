"""What a configuration says of how success and failure are seen, as something that looks at every step."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.expression import Expression
from hybrid_rl_ros.reward_config import SightConfig
from hybrid_rl_ros.rewards.own_class import own_class
from hybrid_rl_ros.rewards.source import RewardSource, Seen

SO = 0.5


class Sight:
    """A source, with a gate that must hold too, that has to say so for some steps in a row."""

    stages = 1

    def __init__(self, source: RewardSource, gate: str | None, steady_steps: int) -> None:
        self._source = source
        self._gate = Expression(gate) if gate else None
        self._steady_steps = steady_steps
        self._in_a_row = 0

    @property
    def sees(self) -> bool:
        """Whether it wants images."""
        return self._source.sees

    @property
    def reached(self) -> int:
        """How many of its `stages` were seen."""
        return int(self._in_a_row >= self._steady_steps)

    def reset(self) -> None:
        self._in_a_row = 0
        self._source.reset()

    def look(self, seen: Seen) -> bool:
        """Whether it is so, by this step and those before it."""
        so = self._source.score(seen) > SO and (self._gate is None or self._gate.holds(seen.numbers))
        self._in_a_row = self._in_a_row + 1 if so else 0
        return self.reached == self.stages


class Stages(Sight):
    """Sights that come one after the other; what was seen stays so until the episode ends."""

    def __init__(self, parts: Sequence[Sight]) -> None:
        self._parts = parts
        self.stages = len(parts)
        self._reached = 0

    @property
    def sees(self) -> bool:
        return any(part.sees for part in self._parts)

    @property
    def reached(self) -> int:
        return self._reached

    def reset(self) -> None:
        self._reached = 0
        for part in self._parts:
            part.reset()

    def look(self, seen: Seen) -> bool:
        if self._reached < self.stages and self._parts[self._reached].look(seen):
            self._reached += 1
        return self._reached == self.stages


def make_sight(config: SightConfig, specs: Specs) -> Sight:
    """What `config` describes. Raises UserError for a classifier or a source that is not there."""
    parts = [make_sight(part, specs) for part in config.parts]
    if config.stages:
        return Stages(parts)
    return Sight(_source(config, parts, specs), config.gate, config.steady_steps)


def _source(config: SightConfig, parts: Sequence[Sight], specs: Specs) -> RewardSource:
    if config.simulation:
        return _Word(config.simulation)
    if config.when:
        return _When(config.when)
    if config.classifier:
        from hybrid_rl_ros.rewards.classifier_source import ClassifierSource

        return ClassifierSource(config.classifier, specs)
    if config.source:
        return own_class(config.source, RewardSource, 'reward source')(config.settings, specs)
    if config.weighted:
        return _Share(parts, [part.weight for part in config.weighted], config.at_least)
    # All of them: more than all but one. Any of them: more than none.
    return _Share(parts, [1.0] * len(parts), 1.0 - 0.5 / len(parts) if config.all_of else 0.0)


class _Word(RewardSource):
    """The simulation's own word."""

    def __init__(self, name: str) -> None:
        self._name = f'task.{name}'

    def score(self, seen: Seen) -> float:
        return seen.numbers[self._name]


class _When(RewardSource):
    def __init__(self, text: str) -> None:
        self._expression = Expression(text)

    def score(self, seen: Seen) -> float:
        return float(self._expression.holds(seen.numbers))


class _Share(RewardSource):
    """So when those parts that say so have more than `above` of the weight of all."""

    def __init__(self, parts: Sequence[Sight], weights: Sequence[float], above: float) -> None:
        self._parts, self._weights, self._above = parts, weights, above
        self.sees = any(part.sees for part in parts)

    def reset(self) -> None:
        for part in self._parts:
            part.reset()

    def score(self, seen: Seen) -> float:
        # Every part looks at every step: they count steps in a row.
        so = [part.look(seen) for part in self._parts]
        share = sum(weight for weight, yes in zip(self._weights, so) if yes) / sum(self._weights)
        return float(share > self._above)
