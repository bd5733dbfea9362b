"""Diffusion steering by reinforcement learning (Wagenmaker et al. 2025): SAC over the noise of a frozen base policy.

Written w for the noise, c for the chunk of h actions that the base decodes from it, s for what the base sees:

    na   critics of chunks       y = r + gamma^h m min_i Q_i'(s', base(s', w')),  w' ~ actor
         critics of noise        Q_i^w(s, w) <- Q_i(s, base(s, w)),               w ~ N(0, 1) within its bounds
    sac  critics of noise        y = r + gamma^h m min_i Q_i'(s', w')
    both actor                   temperature * log pi(w | s) - min_i Q_i^w(s, w)

r sums the chunk's rewards, discounted. Critics say how much less than the best a state is worth, in units of what a
chunk without success costs: fresh ones are optimistic, and the temperature means the same for every task.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import differences
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.agents.base import Metrics, Sampling
from hybrid_rl_ros.learning.agents.saved import SavedAgent
from hybrid_rl_ros.learning.agents.value_scale import ValueScale
from hybrid_rl_ros.learning.batch import Batch, NoiseBatch
from hybrid_rl_ros.learning.compiling import Compiled
from hybrid_rl_ros.learning.mean_metrics import MeanMetrics
from hybrid_rl_ros.learning.networks.adam import Adam, Parameters
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.mlp import CriticEnsemble, Trunk, squashed
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.steered import ACTIVATION, SteeredNetwork, steered_shape_of

ENCODERS = ('encoder', 'features', 'stride', 'fixed_norm')
SET_AFTER_CLONING = ('executed', 'steps', 'refine', 'refine_share', 'refine_noise', 'normalisation')


class DsrlAgent(SavedAgent):
    """The base's weights are never changed; what the policy's gate asks are the target critics."""

    network: SteeredNetwork

    def __init__(self, specs: Specs, config: Config, device: str) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config.dsrl, device
        self.sampling = Sampling(
            batch=self.config.batch,
            demo_ratio='uniform' if self.config.demos == 'uniform' and self.config.variant == 'na' else 0.0,
            updates_per_step=self.config.updates_per_step,
            discount=self.config.discount,
            n_step=config.base.acts,
            chunk=config.base.acts,
            observations=config.base.observations,
            by_noise=self.config.variant == 'sac',
            first_updates=self.config.first_updates,
        )
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self._policy = Policy.build(specs, steered_shape_of(config), 'dsrl')
        network = self._policy.network
        assert isinstance(network, SteeredNetwork)
        self.network = network.to(device)
        self.encoders = network.encoders
        self.actor = network.actor.requires_grad_(True)
        self.critics = copy.deepcopy(network.critics).requires_grad_(True)
        self.noise_critics = self.critics
        if self.config.variant == 'na':
            trunk = Trunk(self.config.hidden, ACTIVATION)
            width = network.base.input_width
            self.noise_critics = CriticEnsemble(self.config.critics, width, network.noise_width, trunk).to(device)
        self.scale = ValueScale.of(config.reward, self.config.discount, config.base.acts)
        self.log_temperature = torch.tensor(self.config.initial_temperature, device=device).log()
        self.target_entropy = self.config.target_entropy_per_dim * network.noise_width
        rate = self.config.learning_rate
        self.critic_adam, self.actor_adam = Adam(_trained(self.critics), rate), Adam(_trained(self.actor), rate)
        self.noise_critic_adam = Adam(_trained(self.noise_critics), rate)
        self.temperature_adam = Adam({'log_temperature': self.log_temperature}, rate)
        self.updates = 0
        compiling = 'off' if network.needs_eager else config.train.compile
        self._update_critics = Compiled(self.update_critics, compiling, device)
        self._update_actor = Compiled(self.update_actor, compiling, device)

    def use_encoders(self, encoders: Encoders) -> None:
        """The base policy's own are used: see `use_base`."""

    def use_base(self, policy: Policy) -> None:
        """Steer this one. Raises RuntimeError or LookupError for one that is not what the configuration says."""
        wanted = self.network.shape.base.model_dump(mode='json')
        unused = () if self.encoders.width else ENCODERS
        for key, (was, said) in differences(policy.head['shape'], wanted).items():
            # Weights of another method may have the same shapes.
            if key not in (*SET_AFTER_CLONING, *unused):
                raise LookupError(f'{key} {said}, and its base was made with {key} {was}')
        self.network.base.load_state_dict(policy.network.state_dict())

    def update(self, batch: Batch, updates: int) -> Metrics:
        """`updates` critic updates on equal slices, with the actor's in their ratio; their means."""
        metrics = MeanMetrics()
        for part in batch.slices(updates):
            metrics.add(self._update_critics(part, self.draw_noise(part)))
            self.updates += 1
            if self.updates % self.config.critic_updates_per_actor_update == 0:
                metrics.add(self._update_actor(part, self.draw_noise(part), self.draw_noise(part)))
        return metrics.floats()

    def update_critics(self, batch: Batch, noise: Tensor) -> dict[str, Tensor]:
        """One step of the critics; the targets follow."""
        inputs = self.network.inputs(batch.state, batch.views)
        target = self.td_target(batch, noise)
        parameters = _trained(self.critics)
        loss = grad_and_value(self.critic_loss, has_aux=True)
        gradients, (_, metrics) = loss(parameters, inputs, self.judged(batch), target)
        self.critic_adam.step(parameters, gradients)
        for follower, parameter in zip(self.network.critics.parameters(), parameters.values()):
            follower.lerp_(parameter, self.config.tau)
        return metrics | {'largest_reward': batch.reward.abs().max()}

    def executed(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """(B, E * A) what is done of the chunks that the base makes of noise (B, W)."""
        return self.network.executed(self.network.decode(inputs, noise))

    def judged(self, batch: Batch) -> Tensor:
        """What was done, as the critics of chunks or of noise see it."""
        if self.config.variant == 'na':
            return batch.action
        assert isinstance(batch, NoiseBatch)
        noise = batch.noise[:, : self.network.noise_width]
        return noise.clamp(-self.config.bound, self.config.bound)

    def td_target(self, batch: Batch, noise: Tensor) -> Tensor:
        """(B,) in the critics' scale; a time limit bootstraps (mask 1), a true end does not (mask 0)."""
        inputs = self.network.inputs(batch.next_state, batch.next_views)
        next_noise = self.config.bound * self.actor.sample(inputs, noise)[0]
        if self.config.variant == 'na':
            next_q = self.network.critics(inputs, self.executed(inputs, next_noise))
        else:
            next_q = self.network.critics(inputs, next_noise)
        value = self.scale.value(next_q.min(0).values)
        return self.scale.scaled(batch.reward + batch.discount * batch.mask * value)

    def critic_loss(
        self, parameters: Parameters, inputs: Tensor, done: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared TD error of every critic. What is reported are values, as rewards have them."""
        q = functional_call(self.critics, parameters, (inputs, done))
        loss = (q - target).square().mean()
        q, target = self.scale.value(q.detach()), self.scale.value(target)
        metrics = {'critic_loss': loss.detach(), 'q': q.mean(), 'target': target.mean()}
        return loss, metrics | {'td_error': (q - target).abs().mean(), 'largest_target': target.abs().max()}

    def update_actor(self, batch: Batch, noise: Tensor, base_noise: Tensor) -> dict[str, Tensor]:
        """One step of the critics of noise (na), then of the actor and the temperature."""
        inputs = self.network.inputs(batch.state, batch.views)
        metrics = self.distil(inputs, base_noise) if self.config.variant == 'na' else {}
        parameters = _trained(self.actor)
        gradients, (loss, (action, log_prob)) = grad_and_value(self.actor_loss, has_aux=True)(parameters, inputs, noise)
        self.actor_adam.step(parameters, gradients)
        temperature = self.log_temperature.exp()
        gradient = temperature * (-log_prob.mean() - self.target_entropy)
        self.temperature_adam.step({'log_temperature': self.log_temperature}, {'log_temperature': gradient})
        return metrics | {
            'actor_loss': loss,
            'entropy': -log_prob.mean(),
            'temperature': self.log_temperature.exp(),
            'action_saturation': (action.abs() > 0.99).float().mean(),
        }

    def distil(self, inputs: Tensor, base_noise: Tensor) -> dict[str, Tensor]:
        """One step of the critics of noise towards what the critics think of the chunk that it decodes into."""
        noise = base_noise.clamp(-self.config.bound, self.config.bound)
        target = self.critics(inputs, self.executed(inputs, noise))
        parameters = _trained(self.noise_critics)

        def loss(parameters: Parameters) -> Tensor:
            return (functional_call(self.noise_critics, parameters, (inputs, noise)) - target).square().mean()

        gradients, value = grad_and_value(loss)(parameters)
        self.noise_critic_adam.step(parameters, gradients)
        return {'distillation_loss': value}

    def actor_loss(self, parameters: Parameters, inputs: Tensor, noise: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Temperature-weighted log-probability less the least value; also the noises and their log-probabilities."""
        mean, log_std = functional_call(self.actor, parameters, (inputs,))
        action, log_prob = squashed(mean, log_std, noise)
        value = self.noise_critics(inputs, self.config.bound * action).min(0).values
        loss = (self.log_temperature.exp() * log_prob - value).mean()
        return loss, (action.detach(), log_prob.detach())

    def draw_noise(self, batch: Batch) -> Tensor:
        """(B, W) standard normal."""
        return torch.randn((len(batch), self.network.noise_width), generator=self.generator, device=self.device)

    def _parts(self) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {
            'network': self.network,
            'critics': self.critics,
            'critic_adam': self.critic_adam,
            'actor_adam': self.actor_adam,
            'temperature_adam': self.temperature_adam,
        }
        if self.config.variant == 'na':
            parts |= {'noise_critics': self.noise_critics, 'noise_critic_adam': self.noise_critic_adam}
        return parts


def _trained(module: nn.Module) -> Parameters:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
