"""Soft actor-critic with demonstrations (Ball et al. 2023, RLPD; Luo et al. 2024, HIL-SERL)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from hybrid_rl_ros.config import EncoderConfig, SacConfig
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.agents.base import Metrics
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.checkpoint import flatten, load_flat
from hybrid_rl_ros.learning.networks.mlp import CriticEnsemble
from hybrid_rl_ros.learning.policies.policy import Policy


class SacAgent:
    """The agent; its encoders are frozen (inputs carry their features) or trained by the critic's loss."""

    def __init__(self, specs: Specs, config: SacConfig, encoder: EncoderConfig, seed: int, device: str) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.end_to_end = encoder.mode == 'end_to_end' and bool(specs.observation.images)
        self.generator = torch.Generator(device).manual_seed(seed)
        self._policy = Policy.build(specs, encoder.features, config.hidden, 'sac')
        self.network = self._policy.network.requires_grad_(True).to(device)
        self.encoders, self.actor = self.network.encoders, self.network.actor
        self.encoders.requires_grad_(self.end_to_end)
        self.critics = CriticEnsemble(config.critics, self.network.input_width, len(specs.action), config.hidden).to(
            device
        )
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_encoders = copy.deepcopy(self.encoders).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(config.initial_temperature, device=device).log())
        self.target_entropy = config.target_entropy_per_dim * len(specs.action)
        trained = [*self.critics.parameters(), *(self.encoders.parameters() if self.end_to_end else ())]
        self.critic_optimiser = torch.optim.Adam(trained, config.learning_rate, fused=True)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), config.learning_rate, fused=True)
        self.temperature_optimiser = torch.optim.Adam([self.log_temperature], config.learning_rate, fused=True)
        self.updates = 0

    def use_encoders(self, policy: Policy) -> None:
        """Start from the encoders of another policy, such as the behaviour-cloned one."""
        for encoders in (self.encoders, self.target_encoders):
            encoders.load_state_dict(policy.network.encoders.state_dict())

    def update(self, batch: Batch, updates: int) -> Metrics:
        """`updates` critic updates on equal slices, with the actor's and temperature's in their ratio."""
        metrics: dict[str, Tensor] = {}
        for part in batch.slices(updates):
            metrics |= self._update_critics(part)
            self.updates += 1
            if self.updates % self.config.critic_updates_per_actor_update == 0:
                metrics |= self._update_actor(part)
        return {name: float(value) for name, value in metrics.items()}

    def critic_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """TD error of every ensemble member: y = r + discount * mask * min over a random subset of targets."""
        with torch.no_grad():
            target = self.td_target(batch)
        q = self.critics(self._inputs(self.encoders, batch.inputs, batch.images), batch.action)
        return (q - target).square().mean(), {'q': q.mean()}

    def td_target(self, batch: Batch) -> Tensor:
        """(B,) bootstrapped value; a time limit bootstraps (mask 1), a true end does not (mask 0)."""
        next_inputs = self._inputs(self.target_encoders, batch.next_inputs, batch.next_images)
        next_action, next_log_prob = self.actor.sample(next_inputs, self.generator)
        next_q = random_subset_min(
            self.target_critics(next_inputs, next_action), self.config.critic_subset, self.generator
        )
        if self.config.entropy_backup:
            next_q = next_q - self.log_temperature.exp() * next_log_prob
        return batch.reward + self.config.discount * batch.mask * next_q

    def actor_loss(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Temperature-weighted log-probability less the mean value; also the (B,) log-probabilities."""
        action, log_prob = self.actor.sample(inputs, self.generator)
        value = self.critics(inputs, action).mean(0)
        return (self.log_temperature.exp().detach() * log_prob - value).mean(), log_prob.detach()

    def temperature_loss(self, log_prob: Tensor) -> Tensor:
        """Falls while the entropy is above its target, rises while it is below."""
        return self.log_temperature.exp() * (-log_prob.mean() - self.target_entropy)

    def policy(self) -> Policy:
        self._policy = Policy(self.network, self._policy.specs, self._policy._head)
        self._policy.network.to('cpu')
        return self._policy

    def state_dict(self) -> dict[str, Tensor]:
        return flatten(self._parts()) | {
            'log_temperature': self.log_temperature.detach(),
            'updates': torch.tensor(self.updates),
            'generator': self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        load_flat(self._parts(), state)
        with torch.no_grad():
            self.log_temperature.copy_(state['log_temperature'])
        self.updates = int(state['updates'])
        self.generator.set_state(state['generator'])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            'network': self.network,
            'critics': self.critics,
            'target_critics': self.target_critics,
            'target_encoders': self.target_encoders,
            'critic_optimiser': self.critic_optimiser,
            'actor_optimiser': self.actor_optimiser,
            'temperature_optimiser': self.temperature_optimiser,
        }

    def _update_critics(self, batch: Batch) -> dict[str, Tensor]:
        loss, metrics = self.critic_loss(batch)
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimiser.step()
        _follow(self.target_critics, self.critics, self.config.tau)
        if self.end_to_end:
            _follow(self.target_encoders, self.encoders, self.config.tau)
        return {'critic_loss': loss.detach(), **{name: value.detach() for name, value in metrics.items()}}

    def _update_actor(self, batch: Batch) -> dict[str, Tensor]:
        # The actor learns on the critic's features and never shapes them.
        with torch.no_grad():
            inputs = self._inputs(self.encoders, batch.inputs, batch.images)
        loss, log_prob = self.actor_loss(inputs)
        # Only the actor's gradient: backward() would also work out the critics', which nobody uses.
        parameters = list(self.actor.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient
        self.actor_optimiser.step()
        temperature_loss = self.temperature_loss(log_prob)
        self.temperature_optimiser.zero_grad(set_to_none=True)
        temperature_loss.backward()
        self.temperature_optimiser.step()
        temperature = self.log_temperature.detach().exp()
        return {'actor_loss': loss.detach(), 'entropy': -log_prob.mean(), 'temperature': temperature}

    def _inputs(self, encoders: nn.Module, inputs: Tensor, images: dict[str, Tensor]) -> Tensor:
        if not self.end_to_end:
            return inputs
        return torch.cat([inputs, encoders(images, len(inputs))], dim=-1)


def random_subset_min(q: Tensor, subset: int, generator: torch.Generator | None) -> Tensor:
    """(E, B) to (B,): the smallest of `subset` members, drawn without replacement."""
    if subset < len(q):
        q = q[torch.randperm(len(q), generator=generator, device=q.device)[:subset]]
    return q.min(0).values


@torch.no_grad()
def _follow(target: nn.Module, source: nn.Module, tau: float) -> None:
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), tau)
