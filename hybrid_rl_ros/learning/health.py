"""Whether what is being learned is still sound, and the way back where it is not."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.base import Agent, Metrics

# Copying the state and looking through it costs less than one update, so less than a hundredth of the time.
KEEP_EVERY_UPDATES = 100
# Over the largest value that the rewards allow: an overestimate that still comes down stays below.
VALUE_MARGIN = 10.0
# Over the largest reward so far. A batch like this ruins Adam's moments for thousands of updates.
REWARD_JUMP = 1e4

logger = logging.getLogger(__name__)


class Health:
    """Looks at every job's metrics, and now and then at the weights; puts the agent back where they are bad.

    A copy of the last good state is kept in memory. What is drawn at random is not put back, so that what went wrong
    is not repeated. More than `train.max_rollbacks` times without a new good state in between is a UserError.
    """

    def __init__(self, agent: Agent, config: Config) -> None:
        self._agent, self._sac, self._most_in_a_row = agent, config.sac, config.train.max_rollbacks
        # A fresh critic's values are of the order of 1, whatever the rewards.
        self._usual_reward = max(1.0, abs(config.reward.success_reward), abs(config.reward.step_reward))
        self._largest_reward = 0.0
        self._kept: dict[str, Tensor] = {}
        self._in_a_row = 0
        self.rollbacks = 0
        self.complaint = ''
        """Why the agent was last put back; '' once a good state has been reached since."""

    def begin(self) -> None:
        """Keep the state to start from. Raises UserError for one that is not finite."""
        state = self._agent.state_dict()
        if name := not_finite(state):
            raise UserError(f'{name} is not finite before any update; remove the newest checkpoint to use an older one')
        self._keep(state)

    def sound(self, metrics: Metrics, thorough: bool = False) -> bool:
        """Whether updates went well that reported `metrics`; if not the agent is as it was when it was last good.

        The weights are looked at too where a copy is due, or with `thorough`: before they leave the learner.
        """
        complaint = self._complaint(metrics)
        due = self._agent.updates - int(self._kept['updates']) >= KEEP_EVERY_UPDATES
        if not complaint and (due or thorough):
            state = self._agent.state_dict()
            name = not_finite(state)
            complaint = f'{name} is not finite' if name else ''
            if due and not complaint:
                self._keep(state)
                self._in_a_row, self.complaint = 0, ''
        if complaint:
            self._put_back(complaint)
            return False
        self._largest_reward = max(self._largest_reward, metrics.get('largest_reward', 0.0))
        return True

    def head(self) -> dict[str, Any]:
        """What a checkpoint must say for the updates behind it to be judged again as they were."""
        return {'rollbacks': self.rollbacks, 'largest_reward': self._largest_reward}

    def restore(self, head: Mapping[str, Any]) -> None:
        self.rollbacks, self._largest_reward = int(head.get('rollbacks', 0)), float(head.get('largest_reward', 0.0))

    def _complaint(self, metrics: Metrics) -> str:
        reward = metrics.get('largest_reward', 0.0)
        for name, value in metrics.items():
            if not math.isfinite(value):
                return f'{name} is {value}' + (f' with rewards up to {reward:.3g}' if reward else '')
        if self._largest_reward and reward > REWARD_JUMP * max(self._largest_reward, self._usual_reward):
            return f'a reward of {reward:.3g} was drawn, where the largest before was {self._largest_reward:.3g}'
        allowed = self._largest_value(max(reward, self._largest_reward), metrics)
        for name in ('largest_target', 'td_error'):
            if metrics.get(name, 0.0) > VALUE_MARGIN * allowed:
                return f'{name} is {metrics[name]:.3g}, where the rewards allow values up to {allowed:.3g}'
        return ''

    def _largest_value(self, reward: float, metrics: Metrics) -> float:
        """Of a policy that earns the largest reward in every step."""
        per_step = max(reward, self._usual_reward)
        if self._sac.entropy_backup:
            per_step += metrics.get('temperature', 0.0) * abs(metrics.get('entropy', 0.0))
        return per_step / (1.0 - self._sac.discount)

    def _keep(self, state: Mapping[str, Tensor]) -> None:
        for name, value in state.items():
            if name in self._kept:
                self._kept[name].copy_(value)
            else:
                self._kept[name] = value.clone()

    def _put_back(self, complaint: str) -> None:
        self.rollbacks += 1
        self._in_a_row += 1
        self.complaint = f'{complaint}; the weights were put back'
        if self._in_a_row > self._most_in_a_row:
            raise UserError(
                f'learning went wrong {self._in_a_row} times in a row, last because {complaint}; '
                'docs/learning.md, "When learning goes wrong", says what to try'
            )
        lost = self._agent.updates - int(self._kept['updates'])
        logger.warning('%s: the weights are put back by %d updates (rollback %d)', complaint, lost, self.rollbacks)
        self._agent.load_state_dict({**self._kept, 'generator': self._agent.state_dict()['generator']})


def not_finite(state: Mapping[str, Tensor]) -> str:
    """The name of a tensor in `state` that holds an infinity or no number; '' if all are finite."""
    floats = {name: value for name, value in state.items() if value.is_floating_point()}
    # A sum is one pass over the weights, thirty times quicker than isfinite on a CPU, and finite wherever they are of
    # any use. One answer comes from the device, not one for each tensor.
    finite = torch.stack([value.sum() for value in floats.values()]).isfinite()
    if bool(finite.all()):
        return ''
    return next(name for name, good in zip(floats, finite.tolist()) if not good)
