"""Episodes of a base policy in the simulation, without ROS: how good it is, while it is cloned or compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.learning.policies.base_actor import BaseActor
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork
from hybrid_rl_ros.sim.backend import NamedVector
from hybrid_rl_ros.sim.direct_loop import DirectLoop

# Apart from the starts that are learned from and that are evaluated on.
SEED = 90_000


@dataclass(frozen=True)
class Episode:
    """How one ended, and the task's numbers at each of its steps, the start first."""

    succeeded: bool
    steps: list[NamedVector]


class Rollouts:
    """Measures networks on the same starts, `config.base.rollouts` of them."""

    def __init__(self, config: Config, specs: Specs) -> None:
        self._config, self._specs = config, specs
        self._loop = DirectLoop(config, specs, config.seed + SEED)

    def measure(self, network: BaseNetwork) -> dict[str, float]:
        specs = self._specs.without_state(self._config.observation.critic_only)
        actor = BaseActor(network, specs, self._config.seed)
        episodes = self.episodes(actor.act, actor.reset, self._config.base.rollouts)
        return {'success_rate': float(np.mean([episode.succeeded for episode in episodes]))}

    def episodes(
        self, act: Callable[[Observation], np.ndarray], reset: Callable[[], object], count: int
    ) -> list[Episode]:
        return [self._episode(act, reset, index) for index in range(count)]

    def _episode(self, act: Callable[[Observation], np.ndarray], reset: Callable[[], object], index: int) -> Episode:
        loop = self._loop
        reset()
        observation = self._seen(loop.reset(index))
        steps = [loop.task]
        for _ in range(self._config.episode.time_limit_steps):
            observation = self._seen(loop.step(act(observation)))
            steps.append(loop.task)
            if loop.ended:
                break
        return Episode(bool(loop.task['success']), steps)

    def _seen(self, observation: Observation) -> Observation:
        """Without what only critics see, which comes last."""
        hidden = len(self._config.observation.critic_only)
        return Observation(observation.state[: len(observation.state) - hidden], observation.images)

    def close(self) -> None:
        self._loop.close()
