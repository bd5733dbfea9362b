"""Running a policy: the little that inference_node needs to know of torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hybrid_rl_ros.config import InferenceConfig
from hybrid_rl_ros.data.specs import Observation, Specs, require_same_specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.engines.action_graph import Engine
from hybrid_rl_ros.learning.engines.choice import make_engine
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.published import PublishedPolicy
from hybrid_rl_ros.learning.policies.shape import PolicyShape


class PolicyActor:
    """Holds the newest acceptable policy, the engine that runs it, and its own random numbers.

    The same weights, observation and noise give the same action, whatever ran before; engines agree to rounding.
    """

    def __init__(self, specs: Specs, config: InferenceConfig, seed: int, deterministic: bool) -> None:
        torch.set_num_threads(1)
        self._specs, self._config, self._deterministic = specs, config, deterministic
        self._generator = torch.Generator().manual_seed(seed)
        self._architecture = ''
        self._shapes: dict[str, torch.Size] = {}
        self.engine: Engine | None = None
        self.version = 0
        self.weights_sha256: str | None = None
        action = specs.action
        self._action_low, self._action_span = action.low, action.high - action.low

    @property
    def has_policy(self) -> bool:
        return self.weights_sha256 is not None

    def prepare(self, shape: PolicyShape) -> None:
        """Build the engine for the weights that will come, so that the first of them do not keep the arm waiting."""
        self._make_engine(Policy.build(self._specs, shape, kind='none'))

    def use(self, data: bytes, where: str) -> None:
        """Act on these weights. Raises UserError and keeps the old ones if they are bad, do not fit or are no newer."""
        published = PublishedPolicy.read(data, where)
        require_same_specs(published.specs, self._specs, where)
        if self.has_policy and published.version <= self.version:
            raise UserError(f'{where}: version {published.version} is not newer than {self.version}, which acts')
        self._fit_engine(published, where).load(published.weights)
        self.version, self.weights_sha256 = published.version, published.sha256

    def act(self, observation: Observation, start: np.ndarray | None = None) -> np.ndarray:
        """(1, A) a chunk of one action, physical units. `start`: the state that the episode began in; None: this."""
        assert self.engine is not None
        buffers, frame = self.engine.buffers, self._frame
        begun = frame.start(observation.state if start is None else start)
        seen = frame.states(observation.state, begun)
        state = np.subtract(seen, self._state_low, out=buffers.state[0])
        state /= self._state_span
        state *= 2.0
        state -= 1.0
        for camera, image in buffers.images.items():
            np.copyto(image[0], observation.images[camera])
        if not self._deterministic:
            self._noise.normal_(generator=self._generator)
        self.engine.run()
        action = self._action_low + (buffers.action + 1.0) / 2.0 * self._action_span
        return frame.base_actions(action, begun)

    def _fit_engine(self, published: PublishedPolicy, where: str) -> Engine:
        """The engine that takes these weights; they are known to fit before any of them is in place."""
        shapes = {name: tensor.shape for name, tensor in published.weights.items()}
        if self.engine is not None and published.architecture == self._architecture:
            if shapes != self._shapes:
                raise UserError(f'{where}: the weights do not have the names and shapes of their own architecture')
            return self.engine
        return self._make_engine(Policy.from_published(published, where))

    def _make_engine(self, policy: Policy) -> Engine:
        self.engine = make_engine(policy.network, self._specs, self._config)
        self._noise = torch.from_numpy(self.engine.buffers.noise)
        self._frame = policy.frame
        state = policy.frame.specs.observation.state
        self._state_low, self._state_span = state.low, state.high - state.low
        self._architecture = policy.architecture
        self._shapes = {name: tensor.shape for name, tensor in policy.network.state_dict().items()}
        return self.engine


class WarmUp:
    """Acts before the learner's first weights: the pretrained policy with noise, or chance where there is none.

    Noise around the demonstrated behaviour succeeds now and then and stays where a person has been; uniformly random
    actions do neither. A policy that the learner goes on from acts as it is, `sampled`: what its critics must know is
    what it does itself.
    """

    def __init__(self, specs: Specs, pretrained: Path, noise: float, seed: int, sampled: bool = False) -> None:
        """`noise`: deviation, as a fraction of half the action's range. Raises UserError for an unfit policy."""
        self._low, self._high = np.array(specs.action.low), np.array(specs.action.high)
        self._deviation = noise * (self._high - self._low) / 2.0
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator().manual_seed(seed) if sampled else None
        self._policy = Policy.load(pretrained) if pretrained.exists() else None
        if self._policy is not None:
            require_same_specs(self._policy.specs, specs, str(pretrained))

    def act(self, observation: Observation, start: np.ndarray | None = None) -> np.ndarray:
        """(A,) an action, physical units, within its bounds; `start` as for PolicyActor."""
        if self._policy is None:
            return self._rng.uniform(self._low, self._high)
        if self._generator is not None:
            return self._policy.act(observation, deterministic=False, generator=self._generator, start=start)[0]
        noise = self._deviation * self._rng.standard_normal(len(self._low))
        return np.clip(self._policy.act(observation, start=start)[0] + noise, self._low, self._high)
