"""Values as critics learn them best: how far from the best, in units of what a step without success costs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hybrid_rl_ros.config import RewardConfig


@dataclass(frozen=True)
class ValueScale:
    """q = factor * (value - best), within [lowest, highest].

    With a success reward of 1 alone and steps of c chunks this is, exactly, a reward of -1 a chunk until success.
    """

    best: float = 0.0
    factor: float = 1.0
    lowest: float = float('-inf')
    highest: float = float('inf')

    @classmethod
    def of(cls, reward: RewardConfig, discount: float, chunk: int) -> ValueScale:
        """For rewards of success alone their bounds are known; others are left as they are."""
        if reward.source != 'success' or reward.shaping or reward.step_reward > 0 or reward.success_reward < 0:
            return cls()
        worst = reward.step_reward / (1.0 - discount)
        span = reward.success_reward - worst
        if span <= 0:
            return cls()
        chunks = 1.0 / (1.0 - discount**chunk)
        return cls(reward.success_reward, chunks / span, -chunks, 0.0)

    def scaled(self, value: Tensor) -> Tensor:
        return (self.factor * (value - self.best)).clamp(self.lowest, self.highest)

    def value(self, q: Tensor) -> Tensor:
        return self.best + q / self.factor
