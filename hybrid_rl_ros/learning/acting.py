"""Running a policy: the little that inference_node needs to know of torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from hybrid_rl_ros.config import InferenceConfig
from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.data.specs import Observation, Specs, require_same_specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.engines.action_graph import Engine
from hybrid_rl_ros.learning.engines.choice import make_engine
from hybrid_rl_ros.learning.policies.base_network import refining
from hybrid_rl_ros.learning.policies.history import history_of
from hybrid_rl_ros.learning.policies.network import Plan
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.published import PublishedPolicy
from hybrid_rl_ros.learning.policies.warm_start import WarmStart


class Moment(NamedTuple):
    """When something is planned: `step` counts control periods, from anywhere, within one `stretch` of acting."""

    stretch: int
    step: int


class PolicyActor:
    """Holds the newest acceptable policy, the engine that runs it, and its own random numbers.

    The same weights, observation and noise give the same action, whatever ran before; engines agree to rounding.
    """

    def __init__(self, specs: Specs, config: InferenceConfig, seed: int, deterministic: bool) -> None:
        torch.set_num_threads(1)
        self._specs, self._config = specs, config
        # Acts by the mode; may change between two plans.
        self.deterministic = deterministic
        self._generator = torch.Generator().manual_seed(seed)
        self._architecture = ''
        self._shapes: dict[str, torch.Size] = {}
        self.engine: Engine | None = None
        self._refiner: Engine | None = None
        self._warm, self._stretch = WarmStart(), 0
        self.version = 0
        self.weights_sha256: str | None = None
        action = specs.action
        self._action_low, self._action_span = action.low, action.high - action.low

    @property
    def has_policy(self) -> bool:
        return self.weights_sha256 is not None

    def prepare(self, shape: Section, kind: str) -> None:
        """Build the engine for the weights that will come, so that the first of them do not keep the arm waiting."""
        self._make_engine(Policy.build(self._specs, shape, kind))

    def use(self, data: bytes, where: str) -> None:
        """Act on these weights. Raises UserError and keeps the old ones if they are bad, do not fit or are no newer."""
        published = PublishedPolicy.read(data, where)
        require_same_specs(published.specs, self._specs, where)
        if self.has_policy and published.version <= self.version:
            raise UserError(f'{where}: version {published.version} is not newer than {self.version}, which acts')
        self._fit_engine(published, where).load(published.weights)
        if self._refiner is not None:
            self._refiner.load(published.weights)
        self.version, self.weights_sha256 = published.version, published.sha256

    def act(self, observation: Observation, start: np.ndarray | None = None) -> np.ndarray:
        """(h, A) the plan's actions, physical units."""
        return self.plan(observation, start).actions

    def plan(self, observation: Observation, start: np.ndarray | None = None, moment: Moment | None = None) -> Plan:
        """What to do from here. `start`: the state that the episode began in; None: this.

        `moment`: real-time iteration begins with what is left of the last plan of the same stretch; None: from noise.
        """
        guess = self._guess(moment)
        engine = self.engine if guess is None or self._refiner is None else self._refiner
        assert engine is not None
        buffers, frame = engine.buffers, self._frame
        begun = frame.start(np.atleast_2d(observation.state)[-1] if start is None else start)
        seen = frame.states(history_of(observation.state, self._observations), begun)
        state = np.subtract(seen, self._state_low, out=buffers.state.reshape(self._observations, -1))
        state /= self._state_span
        state *= 2.0
        state -= 1.0
        for camera, image in buffers.images.items():
            np.copyto(image[0], observation.images[camera])
        noise = torch.from_numpy(buffers.noise if guess is None else buffers.noise[:1])
        if self.deterministic:
            noise.copy_(self._mode_noise[: len(noise)])
        else:
            noise.normal_(generator=self._generator)
        if guess is not None:
            buffers.noise[1] = guess.ravel()
        engine.run()
        if self._refiner is not None and moment is not None:
            self._warm.keep(buffers.plan[: self._chunk].copy(), moment.step)
        actions = self._action_low + (buffers.plan[: self._chunk] + 1.0) / 2.0 * self._action_span
        return Plan(frame.base_actions(actions, begun), buffers.plan[self._chunk :].copy() if self._tells else None)

    def _guess(self, moment: Moment | None) -> np.ndarray | None:
        """(h, A) in [-1, 1] of what is left of the last plan, if there is any and it may be gone on from."""
        if self._refiner is None or moment is None:
            return None
        if moment.stretch != self._stretch:
            self._warm.reset()
            self._stretch = moment.stretch
        return self._warm.guess(moment.step)

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
        self._mode_noise = policy.network.mode_noise().detach().expand(self.engine.buffers.noise.shape).clone()
        refiner = refining(policy.network, self._specs)
        self._refiner = None if refiner is None else make_engine(refiner, self._specs, self._config)
        self._warm.reset()
        self._chunk, self._tells = policy.network.chunk, policy.network.tells_noise
        self._observations = policy.network.observations
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
        """(A,) the plan's first action, physical units."""
        return self.plan(observation, start).actions[0]

    def plan(self, observation: Observation, start: np.ndarray | None = None, explore: bool = True) -> Plan:
        """Actions within their bounds; `start` as for PolicyActor. Without a policy there is nothing but exploring."""
        if self._policy is None:
            return Plan(self._rng.uniform(self._low, self._high)[None])
        if not explore:
            return self._policy.plan(observation, start=start)
        if self._generator is not None:
            return self._policy.plan(observation, deterministic=False, generator=self._generator, start=start)
        noise = self._deviation * self._rng.standard_normal(len(self._low))
        return Plan(np.clip(self._policy.act(observation, start=start) + noise, self._low, self._high))
