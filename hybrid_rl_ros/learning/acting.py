"""Running a policy: the little that inference_node needs to know of torch."""

from __future__ import annotations

import numpy as np
import torch

from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.learning.policies.policy import Policy


class PolicyActor:
    """Holds the newest policy and its own random numbers."""

    def __init__(self, seed: int, deterministic: bool) -> None:
        torch.set_num_threads(1)
        self._policy: Policy | None = None
        self._deterministic = deterministic
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def has_policy(self) -> bool:
        return self._policy is not None

    @property
    def specs(self) -> Specs:
        assert self._policy is not None
        return self._policy.specs

    @property
    def weights_sha256(self) -> str:
        assert self._policy is not None
        return self._policy.weights_sha256()

    def use(self, data: bytes, where: str) -> int:
        """Swap to these weights and return their version. Raises UserError and keeps the old ones if they are bad."""
        self._policy = Policy.from_bytes(data, where)
        return self._policy.version

    def act(self, observation: Observation) -> np.ndarray:
        """(A,) the first action of the policy's chunk, physical units."""
        assert self._policy is not None
        return self._policy.act(observation, self._deterministic, self._generator)[0]
