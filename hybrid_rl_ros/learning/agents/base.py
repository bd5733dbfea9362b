"""What every learner offers: an update, a policy, and a state that can be saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.policy import Policy

Metrics = dict[str, float]


@dataclass(frozen=True)
class Sampling:
    """What an agent wants to learn from: batches of `batch`, `demo_ratio` of each demonstrations, so many a step.

    Rewards of `n_step` steps are summed, discounted by `discount`, before the target bootstraps.
    """

    batch: int = 128
    demo_ratio: float = 0.5
    updates_per_step: int = 1
    discount: float = 0.97
    n_step: int = 1


class Agent(Protocol):
    """`update` learns from `updates` batches laid end to end; `state_dict` is flat, tensors only.

    `encoders` are those that the policy looks through; with encoder.mode: frozen, batches hold what their trunks made
    of the images. `updates` counts what the weights have had; it goes back with them. docs/agents.md shows a whole one.
    """

    sampling: Sampling
    encoders: Encoders
    updates: int

    def __init__(self, specs: Specs, config: Config, device: str) -> None: ...

    def use_encoders(self, encoders: Encoders) -> None: ...

    def update(self, batch: Batch, updates: int) -> Metrics: ...

    def policy(self) -> Policy: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...
