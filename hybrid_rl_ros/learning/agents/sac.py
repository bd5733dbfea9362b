"""Soft actor-critic with demonstrations (Ball et al. 2023, RLPD; Luo et al. 2024, HIL-SERL).

Every update is one pure function of tensors that changes parameters in place, so that it compiles into one graph; what
is random in it is drawn before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.agents.base import Metrics, Sampling
from hybrid_rl_ros.learning.agents.gripper_critic import GripperCritic
from hybrid_rl_ros.learning.agents.saved import SavedAgent
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.compiling import Compiled
from hybrid_rl_ros.learning.mean_metrics import MeanMetrics
from hybrid_rl_ros.learning.networks.adam import Adam, Parameters
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.mlp import CriticEnsemble, GaussianActor, Trunk, divergence, squashed
from hybrid_rl_ros.learning.networks.running_mean import RunningMean
from hybrid_rl_ros.learning.networks.value import ValueNetwork
from hybrid_rl_ros.learning.policies.gaussian import gaussian
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import shape_of

STANDARDISED_IN = 8

CriticLoss = Callable[..., tuple[Tensor, dict[str, Tensor]]]


class SacAgent(SavedAgent):
    """E critics and a Gaussian actor on one set of encoders, which only the critics' loss trains, if anything does."""

    def __init__(self, specs: Specs, config: Config, device: str) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config.sac, device
        names = ('batch', 'updates_per_step', 'discount', 'n_step')
        known = {name: getattr(config.sac, name) for name in names}
        self.sampling = Sampling(demo_ratio=config.demo_ratio, **known)
        self.precision = torch.bfloat16 if config.train.precision == 'bf16' else torch.float32
        self.generator = torch.Generator(device).manual_seed(config.seed)
        policy_specs = specs.without_state(config.observation.critic_only)
        self._policy = Policy.build(policy_specs, shape_of(config, 'sac'), 'sac')
        network = gaussian(self._policy.network).requires_grad_(True).to(device)
        network.encoders.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.encoders, self.actor = network, network.encoders, network.actor
        self.averaged = RunningMean(network, config.sac.averaged_updates)
        if config.encoder.mode == 'frozen':
            self.encoders.freeze_trunks()
        trunk = Trunk(self.config.hidden, self.config.activation, self.config.critic_layer_norm)
        actions = len(specs.action) - (network.gripper is not None)
        shared = len(policy_specs.observation.state)
        inputs = network.input_width + len(specs.observation.state) - shared
        critics = CriticEnsemble(self.config.critics, inputs, actions, trunk)
        self.value = ValueNetwork(self.encoders, network.ranges, critics, shared).to(device)
        self.target_value = copy.deepcopy(self.value).requires_grad_(False)
        self.log_temperature = torch.tensor(self.config.initial_temperature, device=device).log()
        self.target_entropy = self.config.target_entropy_per_dim * actions
        self.critic_adam = Adam(_trained(self.value), self.config.learning_rate)
        self.actor_adam = Adam(_trained(self.actor), self.config.learning_rate)
        self.temperature_adam = Adam({'log_temperature': self.log_temperature}, self.config.learning_rate)
        self.gripper: GripperCritic | None = None
        if network.gripper is not None:
            opening = specs.observation.state.names.index('gripper.opening')
            self.gripper = GripperCritic(network.gripper, opening, self.config)
        self.updates = self.actor_rests_until = 0
        self.origin: GaussianActor | None = None
        self.pull = torch.zeros((), device=device)
        self._update_gripper = Compiled(self.update_gripper, config.train.compile, device)
        self._update_critics = Compiled(self.update_critics, config.train.compile, device)
        self._update_actor = Compiled(self.update_actor, config.train.compile, device)

    def use_encoders(self, encoders: Encoders) -> None:
        """Start from the weights of other encoders, such as the behaviour-cloned policy's."""
        for own in (self.encoders, self.target_value.encoders):
            own.load_state_dict(encoders.state_dict())

    @property
    def lacks_ranges(self) -> bool:
        """Whether `standardise` has something to do."""
        return self.config.input_scale == 'demonstrations' and self.value.ranges.is_identity

    @torch.no_grad()
    def standardise(self, batch: Batch) -> None:
        """Give each input mean 0 and deviation 1 over `batch`; what a cloned actor makes of them stays as it is.

        A scene moves a feature by a tenth of its range. Beside that, what does not move (a centre, a bias) makes up
        most of what layer normalisation sees, and values that differ from place to place are learned late or never.
        """
        if not self.lacks_ranges:
            return
        ranges = self.value.ranges
        # A slice at a time: all of it at once is gigabytes of a trained encoder's maps.
        inputs = torch.cat([self.value.inputs(part.state, part.views) for part in batch.slices(STANDARDISED_IN)])
        ranges.fit_deviation(inputs[:, : self.actor.sees])
        self.target_value.ranges.load_state_dict(ranges.state_dict())
        if self.origin is not None:
            for actor in (self.actor, self.origin):
                ranges.fold_into(actor.first_layer)

    def use_actor(self, policy: Policy) -> None:
        """Begin as another policy, such as the behaviour-cloned one, and improve on it once the critics know it."""
        self.actor.load_state_dict(gaussian(policy.network).actor.state_dict())
        self.actor_rests_until = self.config.critic_warm_up_updates
        self.hold_to_actor()

    def hold_to_actor(self) -> None:
        """Let go of the present actor by and by only.

        However small the critics' say in it is, Adam's first steps are whole ones: without this a cloned actor had
        forgotten its task 200 updates after its first, and needed 2,000 to learn it again.
        """
        self.origin = copy.deepcopy(self.actor).requires_grad_(False)

    def state_dict(self) -> dict[str, Tensor]:
        """What is frozen is the same in the network, its mean and the targets, and is saved once."""
        again = self._frozen_again()
        return {name: value for name, value in super().state_dict().items() if name not in again}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        frozen = {name: state[original] for name, original in self._frozen_again().items()}
        # What was learned offline, or before there were means, goes on as its own mean.
        own = {name.replace('network', 'averaged', 1): state[name] for name in state if name.startswith('network/')}
        super().load_state_dict({**own, **frozen, **state})

    def update(self, batch: Batch, updates: int) -> Metrics:
        """`updates` critic updates on equal slices, with the actor's and temperature's in their ratio; their means."""
        metrics = MeanMetrics()
        for part in batch.slices(updates):
            if self.gripper is not None:
                metrics.add(self._update_gripper(part))
            metrics.add(self._update_critics(part, self.draw_critic_noise(part), self.draw_subset()))
            self.updates += 1
            due = self.updates % self.config.critic_updates_per_actor_update == 0
            if due and self.updates > self.actor_rests_until:
                self.pull.fill_(self._pull_now())
                metrics.add(self._update_actor(part, self.draw_noise(part)))
            self.averaged.follow(self.updates)
        return metrics.floats()

    def policy(self) -> Policy:
        """With weights that are the mean of the last updates': one update's alone are now better, now worse by far."""
        return self.policy_of(self.averaged.network if self.updates else self.network)

    def update_gripper(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the gripper's critic, on what the encoders make of the views at present."""
        assert self.gripper is not None
        with self._autocast():
            inputs = self.value.inputs(batch.state, batch.views)
            next_inputs = self.target_value.inputs(batch.next_state, batch.next_views)
            return self.gripper.update(batch, inputs, next_inputs)

    def update_critics(self, batch: Batch, noise: Tensor, subset: Tensor) -> dict[str, Tensor]:
        """One step of all critics, and of the encoders if they are trained; the targets follow."""
        return self.fit_critics(self.critic_loss, batch, self.td_target(batch, noise, subset))

    def fit_critics(self, loss: CriticLoss, *arguments: Any) -> dict[str, Tensor]:
        """One step of what `loss(parameters, *arguments)` says of the critics' and encoders' parameters."""
        parameters = _trained(self.value)
        gradients, (_, metrics) = grad_and_value(loss, has_aux=True)(parameters, *arguments)
        self.critic_adam.step(parameters, gradients)
        followers = dict(self.target_value.named_parameters())
        for name, parameter in parameters.items():
            followers[name].lerp_(parameter, self.config.tau)
        return metrics

    def td_target(self, batch: Batch, noise: Tensor, subset: Tensor) -> Tensor:
        """(B,) reward and bootstrapped value; a time limit bootstraps (mask 1), a true end does not (mask 0)."""
        with self._autocast():
            # The actor looks through the target's encoders too: one pass over the next images instead of two.
            next_inputs = self.target_value.inputs(batch.next_state, batch.next_views)
            next_action, next_log_prob = self.actor.sample(next_inputs, noise)
            members = None if self.config.critic_subset == self.config.critics else subset
            next_q = self.target_value.critics(next_inputs, next_action, members).float()
        next_q = next_q.min(0).values
        if self.config.entropy_backup:
            next_q = next_q - self.log_temperature.exp() * next_log_prob
        return batch.reward + batch.discount * batch.mask * next_q

    def critic_loss(self, parameters: Parameters, batch: Batch, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared TD error of every member of the ensemble."""
        with self._autocast():
            q = functional_call(self.value, parameters, (batch.state, batch.views, batch.action)).float()
        error = q - target
        loss = error.square().mean()
        metrics = {'critic_loss': loss, 'q': q.mean(), 'target': target.mean(), 'td_error': error.abs().mean()}
        metrics |= {'largest_target': target.abs().max(), 'largest_reward': batch.reward.abs().max()}
        return loss, {name: value.detach() for name, value in metrics.items()}

    def update_actor(self, batch: Batch, noise: Tensor) -> dict[str, Tensor]:
        """One step of the actor and one of the temperature."""
        with self._autocast():
            inputs = self.value.inputs(batch.state, batch.views)
        parameters = _trained(self.actor)
        gradients, (loss, (action, log_prob)) = grad_and_value(self.actor_loss, has_aux=True)(parameters, inputs, noise)
        self.actor_adam.step(parameters, gradients)
        temperature = {'log_temperature': self.log_temperature}
        gradient = self.temperature_gradient(log_prob)
        self.temperature_adam.step(temperature, {'log_temperature': gradient})
        return {
            'actor_loss': loss,
            'entropy': -log_prob.mean(),
            'temperature': self.log_temperature.exp(),
            'action_saturation': (action.abs() > 0.99).float().mean(),
        }

    def actor_loss(self, parameters: Parameters, inputs: Tensor, noise: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Temperature-weighted log-probability less the mean value; also the actions and their log-probabilities."""
        with self._autocast():
            mean, log_std = functional_call(self.actor, parameters, (inputs,))
            action, log_prob = squashed(mean, log_std, noise)
            value = self.value.critics(inputs, action).float().mean(0)
        loss = (self.log_temperature.exp() * log_prob - value).mean()
        if self.origin is not None:
            loss = loss + self.pull * divergence(mean, log_std, *self.origin(inputs)).mean()
        return loss, (action.detach(), log_prob.detach())

    def temperature_gradient(self, log_prob: Tensor) -> Tensor:
        """Of temperature * (entropy - target): it falls while the entropy is above its target."""
        return self.log_temperature.exp() * (-log_prob.mean() - self.target_entropy)

    def draw_critic_noise(self, batch: Batch) -> Tensor:
        """What is random in `update_critics` beside the subset."""
        return self.draw_noise(batch)

    def draw_noise(self, batch: Batch) -> Tensor:
        """(B, A) for the actor's actions."""
        return torch.randn((len(batch), self.value.critics.acts), generator=self.generator, device=self.device)

    def draw_subset(self) -> Tensor:
        """Members of the ensemble, without replacement; all of them in order if the target is their common least."""
        members, subset = self.config.critics, self.config.critic_subset
        if subset == members:
            return torch.arange(members, device=self.device)
        return torch.randperm(members, generator=self.generator, device=self.device)[:subset]

    def _parts(self) -> dict[str, nn.Module]:
        return {
            'network': self.network,
            **({} if self.averaged.network is self.network else {'averaged': self.averaged.network}),
            'critics': self.value.critics,
            'target_value': self.target_value,
            'critic_adam': self.critic_adam,
            'actor_adam': self.actor_adam,
            'temperature_adam': self.temperature_adam,
            **(self.gripper.parts() if self.gripper is not None else {}),
        }

    def _frozen_again(self) -> dict[str, str]:
        """Where a state would hold frozen weights again, and under which name it holds them."""
        frozen = [name for name, value in self.network.named_parameters() if not value.requires_grad]
        return {f'{part}/{name}': f'network/{name}' for part in ('averaged', 'target_value') for name in frozen}

    def _pull_now(self) -> float:
        share = (self.updates - self.actor_rests_until) / self.config.actor_pull_updates
        return self.config.actor_pull * max(0.0, 1.0 - share)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, self.precision, enabled=self.precision != torch.float32)


def _trained(module: nn.Module) -> Parameters:
    return {name: value for name, value in module.named_parameters() if value.requires_grad}
