"""Offline reinforcement learning from stored episodes, before the first step with the robot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.returns import returns_to_go
from hybrid_rl_ros.learning.agents.base import Metrics
from hybrid_rl_ros.learning.agents.cal_ql import CalQlAgent, OfflineBatch
from hybrid_rl_ros.learning.health import Health
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.pretrained import begin_as
from hybrid_rl_ros.learning.sampler import Source, drawn_from, to_batch

CHUNK = 10

Progress = Callable[[int, int, float], None]


class OfflineSampler:
    """Batches drawn uniformly from the transitions of several stores, with the returns that followed them."""

    def __init__(self, sources: Sequence[Source], discount: float) -> None:
        self._sources = sources
        self._returns = [returns_to_go(source.store, discount) for source in sources]
        transitions = np.array([source.store.transitions for source in sources], float)
        self._shares = transitions / transitions.sum()
        for source in sources:
            source.cache.catch_up(source.store.sequence)

    def sample(self, count: int, rng: np.random.Generator, device: str) -> OfflineBatch:
        drawn = []
        for source, returns, wanted in zip(self._sources, self._returns, rng.multinomial(count, self._shares)):
            if wanted:
                rows = source.store.sample_rows(int(wanted), rng)
                drawn.append({**source.parts(rows, rng), 'return_to_go': returns[rows]})
        # The batch is cut into updates, each of which is to see all stores.
        order = rng.permutation(count)
        parts = {name: np.concatenate([part[name] for part in drawn])[order] for name in drawn[0]}
        return to_batch({name: torch.from_numpy(part).to(device) for name, part in parts.items()}, OfflineBatch)


def learn_offline(
    stores: Sequence[ReplayStore], cloned: Policy, config: Config, device: str, progress: Progress
) -> CalQlAgent:
    """Calibrated Q-learning on everything in `stores`, on the encoders of the `cloned` policy.

    `progress(update, updates, loss)` is called every few updates with the critics' TD error. Raises UserError where
    learning keeps going wrong.
    """
    rng = np.random.default_rng(config.seed)
    offline = config.offline
    agent = CalQlAgent(stores[0].specs, config, device)
    begin_as(agent, cloned, config)
    sources = [Source(store, agent.encoders, config, agent.sampling) for store in stores]
    if agent.lacks_ranges:
        agent.standardise(drawn_from(sources[0], config.seed, device))
    sampler = OfflineSampler(sources, agent.sampling.discount)
    health = Health(agent, config)
    health.begin()
    while agent.updates < offline.updates:
        updates = min(CHUNK, offline.updates - agent.updates)
        metrics: Metrics = agent.update(sampler.sample(updates * offline.batch, rng, device), updates)
        # What went wrong is undone, and made again from other batches.
        if health.sound(metrics, thorough=agent.updates == offline.updates):
            progress(agent.updates, offline.updates, metrics['critic_loss'])
    return agent
