"""What every learner offers: an update, a policy, and a state that can be saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

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

    demo_ratio `uniform`: as many as there are, beside the experience. Rewards of `n_step` steps are summed, discounted
    by `discount`, before the target bootstraps. An action is a `chunk` of so many; a state, of `observations` states.
    `by_noise`: only steps that begin a steered chunk, with the noise it was decoded from. `first_updates` are done
    once, when the warm-up ends.
    """

    batch: int = 128
    demo_ratio: float | Literal['uniform'] = 0.5
    updates_per_step: int = 1
    discount: float = 0.97
    n_step: int = 1
    chunk: int = 1
    observations: int = 1
    by_noise: bool = False
    first_updates: int = 0


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
