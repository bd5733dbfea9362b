"""Running a policy: the little that inference_node needs to know of torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hybrid_rl_ros.data.specs import Observation, Specs, require_same_specs
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


class WarmUp:
    """Acts before the learner's first weights: the cloned policy with noise, or chance where nothing was cloned.

    Noise around the demonstrated behaviour succeeds now and then and stays where a person has been; uniformly random
    actions do neither.
    """

    def __init__(self, specs: Specs, cloned: Path, noise: float, seed: int) -> None:
        """`noise`: deviation, as a fraction of half the action's range. Raises UserError for an unfit policy."""
        self._low, self._high = np.array(specs.action.low), np.array(specs.action.high)
        self._deviation = noise * (self._high - self._low) / 2.0
        self._rng = np.random.default_rng(seed)
        self._policy = Policy.load(cloned) if cloned.exists() else None
        if self._policy is not None:
            require_same_specs(self._policy.specs, specs, str(cloned))

    def act(self, observation: Observation) -> np.ndarray:
        """(A,) an action, physical units, within its bounds."""
        if self._policy is None:
            return self._rng.uniform(self._low, self._high)
        noise = self._deviation * self._rng.standard_normal(len(self._low))
        return np.clip(self._policy.act(observation)[0] + noise, self._low, self._high)
