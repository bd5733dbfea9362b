"""Calibrated Q-learning (Nakamoto et al. 2023): SAC whose critics think little of actions that the data does not hold.

Not too little: no action of the policy is held to be worth less than what the data earned from the same state, so that
the critics are on the right scale when the robot first tries them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.networks.adam import Parameters
from hybrid_rl_ros.learning.networks.mlp import squashed
from hybrid_rl_ros.learning.networks.running_mean import RunningMean
from hybrid_rl_ros.learning.policies.gaussian import gaussian
from hybrid_rl_ros.learning.policies.policy import Policy

# tanh's slope is nothing at its ends, and the density there without bounds.
MOST_ACTION = 0.99999


@dataclass
class OfflineBatch(Batch):
    """return_to_go (B,): what the data earned from here on, discounted."""

    return_to_go: Tensor


class CalQlAgent(SacAgent):
    """`state_dict` is that of a SacAgent, which goes on from it online."""

    def __init__(self, specs: Specs, config: Config, device: str) -> None:
        super().__init__(specs, config, device)
        self.offline = config.offline
        # Online begins with the last weights, and so what acts first is what was shown offline.
        self.averaged = RunningMean(gaussian(self.network), 1)

    def use_actor(self, policy: Policy) -> None:
        super().use_actor(policy)
        self.actor_rests_until = min(self.actor_rests_until, self.offline.updates // 3)

    def draw_critic_noise(self, batch: Batch) -> Tensor:
        """(4, K, B, A): for the targets' actions, the random ones, and the policy's here and one step on."""
        shape = (4, self.offline.actions, len(batch), self.value.critics.acts)
        noise = torch.randn(shape, generator=self.generator, device=self.device)
        noise[1] = torch.rand(shape[1:], generator=self.generator, device=self.device) * 2.0 - 1.0
        return noise

    def update_critics(self, batch: Batch, noise: Tensor, subset: Tensor) -> dict[str, Tensor]:
        target = self.td_target(batch, noise[0], subset)
        actions, log_density = self.candidates(batch, noise[1:])
        return self.fit_critics(self.calibrated_loss, batch, target, actions, log_density)

    def td_target(self, batch: Batch, noise: Tensor, subset: Tensor) -> Tensor:
        """(B,) as SAC's, but of the best of K next actions, for noise (K, B, A), where that is configured."""
        if not self.offline.max_target_backup:
            return super().td_target(batch, noise[0], subset)
        with self._autocast():
            inputs = self.target_value.inputs(batch.next_state, batch.next_views)
            mean, log_std = self.actor(inputs)
            actions, log_prob = squashed(mean, log_std, noise)
            q = self.target_value.of_each(inputs, actions).float()
        best, chosen = q[subset].min(0).values.max(0)
        if self.config.entropy_backup:
            best = best - self.log_temperature.exp() * log_prob.gather(0, chosen[None]).squeeze(0)
        return batch.reward + batch.discount * batch.mask * best

    def candidates(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(3K, B, A) actions that the critics may overrate, and (3K, B) the log density they were drawn with.

        In this order: uniform, of the policy here, and of the policy one step on; `noise` (3, K, B, A).
        """
        uniform, here, ahead = noise
        with self._autocast():
            mean, log_std = self.actor(self.value.inputs(batch.state, batch.views))
            next_mean, next_log_std = self.actor(self.value.inputs(batch.next_state, batch.next_views))
        own, own_density = _bounded(mean, log_std, here)
        later, later_density = _bounded(next_mean, next_log_std, ahead)
        uniform_density = torch.full_like(own_density, -math.log(2.0) * uniform.shape[-1])
        return torch.cat([uniform, own, later]), torch.cat([uniform_density, own_density, later_density])

    def calibrated_loss(
        self, parameters: Parameters, batch: OfflineBatch, target: Tensor, actions: Tensor, log_density: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The TD error, and alpha times what the soft maximum over actions is above the data's own, Eq. 5.1."""
        every = torch.cat([batch.action[None, :, : actions.shape[-1]], actions])
        with self._autocast():
            q = torch.func.functional_call(self.value, parameters, (batch.state, batch.views, every)).float()
        q_data, q_actions = q[:, 0], q[:, 1:]
        error = q_data - target
        gap, raised = self.conservative_gap(q_data, q_actions, log_density, batch.return_to_go)
        # As if all rewards were so many times larger.
        loss = error.square().mean() + self.offline.alpha / self.offline.value_scale**2 * gap
        metrics = {'critic_loss': error.square().mean(), 'conservative_gap': gap, 'raised': raised, 'q': q_data.mean()}
        metrics |= {'target': target.mean(), 'td_error': error.abs().mean()}
        metrics |= {'largest_target': target.abs().max(), 'largest_reward': batch.reward.abs().max()}
        return loss, {name: value.detach() for name, value in metrics.items()}

    def conservative_gap(
        self, q_data: Tensor, q_actions: Tensor, log_density: Tensor, floor: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of the data's values (E, B) and the candidates' (E, 3K, B); also the share that the floor (B,) raised.

        The floor is under the policy's own actions alone: random ones are to be worth as little as may be.
        """
        temperature, scale, count = self.offline.temperature, self.offline.value_scale, self.offline.actions
        raised = torch.zeros((), device=q_data.device)
        if self.offline.calibrated:
            own = q_actions[:, count:]
            above = own > floor
            raised = 1.0 - above.float().mean()
            # Nothing is to be learned from a value that was raised, not even at equality.
            q_actions = torch.cat([q_actions[:, :count], torch.where(above, own, floor)], dim=1)
        soft_maximum = temperature * torch.logsumexp((scale * q_actions - log_density) / temperature, dim=1)
        return (soft_maximum - scale * q_data).mean(), raised


def _bounded(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions (K, B, A) of a squashed Gaussian, and their log density (K, B), finite at the ends of the range."""
    mean, log_std = mean.float(), log_std.float()
    action = torch.tanh(mean + log_std.exp() * noise).clamp(-MOST_ACTION, MOST_ACTION)
    log_density = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi) - torch.log1p(-action.square())
    return action, log_density.sum(-1)
