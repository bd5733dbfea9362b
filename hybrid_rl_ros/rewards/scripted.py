"""Reward and success from named numbers of the task stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hybrid_rl_ros.config import RewardConfig


@dataclass(frozen=True)
class Verdict:
    """What arriving at a step is worth; `succeeded` and `failed` are true ends, `truncated` is not."""

    reward: float
    succeeded: bool = False
    failed: bool = False
    truncated: bool = False


def judge(task: Mapping[str, float], config: RewardConfig) -> Verdict:
    """The verdict on one step. Raises KeyError naming a number that the task stream lacks."""
    succeeded = task['success'] > 0.5
    failed = not succeeded and task.get('failure', 0.0) > 0.5
    truncated = not (succeeded or failed) and task.get('truncated', 0.0) > 0.5
    if config.source == 'environment':
        return Verdict(float(task['reward']), succeeded, failed, truncated)
    reward = config.success_reward if succeeded else config.step_reward
    reward += sum(scale * task[name] for name, scale in config.shaping.items())
    return Verdict(float(reward), succeeded, failed, truncated)
