"""A gripper that closes, keeps or opens, chosen by a double DQN beside the arm's actor (Luo et al. 2024, HIL-SERL)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from hybrid_rl_ros.config import SacConfig
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.networks.adam import Adam, Parameters
from hybrid_rl_ros.learning.networks.mlp import GripperValues

# In the normalised opening, 0.9 of the stroke. Fingers that hold something are below: they need not open or close.
OPEN_ABOVE = 0.8


class GripperCritic:
    """Learns a policy's GripperValues; their inputs come from encoders that it does not train.

    `opening`: the column of gripper.opening in the batch's state.
    """

    def __init__(self, values: GripperValues, opening: int, config: SacConfig) -> None:
        self.values, self._opening, self._config = values, opening, config
        self.target_values = copy.deepcopy(values).requires_grad_(False)
        self.adam = Adam(self._parameters(), config.learning_rate)

    def update(self, batch: Batch, inputs: Tensor, next_inputs: Tensor) -> dict[str, Tensor]:
        """One step; the target follows. `batch` with whole actions, the gripper's last."""
        target = self.td_target(batch, next_inputs)
        parameters = self._parameters()
        label = labels(batch.action[:, -1:])
        gradients, (loss, q) = grad_and_value(self._loss, has_aux=True)(parameters, inputs, label, target)
        self.adam.step(parameters, gradients)
        for name, follower in self.target_values.named_parameters():
            follower.lerp_(parameters[name], self._config.tau)
        return {'gripper_loss': loss, 'gripper_q': q, 'gripper_changes': self.changes(batch).mean()}

    def td_target(self, batch: Batch, next_inputs: Tensor) -> Tensor:
        """(B,) the online values choose, the target's say what that is worth; a needless motion costs the penalty."""
        choice = self.values(next_inputs).argmax(-1, keepdim=True)
        next_q = self.target_values(next_inputs).gather(-1, choice).squeeze(-1).float()
        reward = batch.reward + self._config.gripper_penalty * self.changes(batch)
        return reward + batch.discount * batch.mask * next_q

    def changes(self, batch: Batch) -> Tensor:
        """(B,) 1 where the command asks for another state than the one that the fingers are in, else 0.

        Told by what the state says of them, for what was asked for before is not in it. Fingers on their way still
        count as where they come from until they are open, or no longer.
        """
        is_open = batch.state[:, self._opening] > OPEN_ABOVE
        label = labels(batch.action[:, -1])
        return torch.where(is_open, label == 0, label == 2).float()

    def parts(self) -> dict[str, nn.Module]:
        """What a checkpoint needs beyond the policy's network."""
        return {'gripper_target': self.target_values, 'gripper_adam': self.adam}

    def _parameters(self) -> Parameters:
        return {name: value for name, value in self.values.named_parameters()}

    def _loss(self, parameters: Parameters, inputs: Tensor, label: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        q = functional_call(self.values, parameters, (inputs,)).gather(-1, label).squeeze(-1).float()
        loss = (q - target).square().mean()
        return loss, q.mean().detach()


def labels(gripper: Tensor) -> Tensor:
    """0 for close, 1 for keep, 2 for open; a half keeps, as it does in the action space."""
    return gripper.round().long() + 1
