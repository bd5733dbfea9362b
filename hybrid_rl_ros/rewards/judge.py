"""What arriving at a step is worth, and whether it ends the episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.reward_config import RewardConfig, SightConfig
from hybrid_rl_ros.rewards.sights import make_sight
from hybrid_rl_ros.rewards.source import Seen


@dataclass(frozen=True)
class Verdict:
    """`succeeded` and `failed` are true ends, `truncated` is not; `by` says who judged.

    `disputed`: a person said success where nothing else did, or failure where it was a success.
    """

    reward: float
    succeeded: bool = False
    failed: bool = False
    truncated: bool = False
    by: str = ''
    disputed: bool = False


class Judge:
    """Judges every step of an episode by `config.reward`; a person's word goes over all of it.

    `simulated`: whether there is a simulation, whose own word counts where the configuration names nothing.
    `labelling`: success ends nothing; it is paid at every step at which it is seen (what a classifier learns from).
    """

    def __init__(self, config: RewardConfig, specs: Specs, simulated: bool, labelling: bool = False) -> None:
        self._config, self._labelling = config, labelling
        success, failure = config.success, config.failure
        # What is named replaces the simulation's word altogether: a learned reward is not to be helped by the truth.
        if simulated and success is None and config.source == 'success':
            success = SightConfig(simulation='success')
            failure = failure or SightConfig(simulation='failure')
        if config.source == 'environment':
            success, failure = SightConfig(simulation='success'), SightConfig(simulation='failure')
        if labelling and success:
            # Of each frame by itself, whatever was seen before.
            if success.stages:
                raise UserError('record --label: reward.success has stages, of which no single frame tells')
            success = success.model_copy(update={'steps': 1})
        self._success = make_sight(success, specs) if success else None
        self._failure = make_sight(failure, specs) if failure else None
        self._paid = 0
        self._said = ''

    @property
    def sees(self) -> bool:
        """Whether it wants images."""
        return any(sight.sees for sight in (self._success, self._failure) if sight)

    def reset(self) -> None:
        """An episode begins."""
        self._paid, self._said = 0, ''
        for sight in (self._success, self._failure):
            if sight:
                sight.reset()

    def judge(self, seen: Seen, person: str = '') -> Verdict:
        """The verdict on one step. `person`: `success` or `failure`, where somebody said so at this step.

        Raises KeyError naming a number that `seen` lacks.
        """
        numbers = seen.numbers
        so = self._success.look(seen) if self._success else False
        not_so = self._failure.look(seen) if self._failure else False
        if self._labelling:
            # A person's word stands until their next.
            self._said = person or self._said
            label = self._said == 'success' if self._said else so
            return Verdict(self._config.success_reward * label, failed=not_so and not label, by='task')
        succeeded = person == 'success' if person else so
        failed = person == 'failure' or (not person and not succeeded and not_so)
        truncated = not (succeeded or failed) and numbers.get('task.truncated', 0.0) > 0.5
        by = 'a person' if person else 'task'
        if self._config.source == 'environment':
            return Verdict(float(numbers['task.reward']), succeeded, failed, truncated, by)
        disputed = bool(person and self._success) and (person == 'success') != so
        return Verdict(self._reward(numbers, succeeded, failed), succeeded, failed, truncated, by, disputed)

    def _reward(self, numbers: Mapping[str, float], succeeded: bool, failed: bool) -> float:
        config, stages = self._config, self._success.stages if self._success else 1
        reached = stages if succeeded else self._success.reached if self._success and not failed else self._paid
        stage = config.success_reward / stages * (reached - self._paid)
        reward = stage if reached > self._paid else config.step_reward
        self._paid = max(self._paid, reached)
        return reward + sum(scale * numbers[f'task.{name}'] for name, scale in config.shaping.items())
