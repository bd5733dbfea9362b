"""What every learner offers: an update, a policy, and a state that can be saved."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.policies.policy import Policy

Metrics = dict[str, float]


class Agent(Protocol):
    """`update` learns from `updates` batches laid end to end; `state_dict` is flat, tensors only.

    `updates` counts what the weights have had; it goes back with them.
    """

    updates: int

    def update(self, batch: Batch, updates: int) -> Metrics: ...

    def policy(self) -> Policy: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...
