"""Frames over which a person and the judge did not agree: what a success classifier has still to learn."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation, Specs, require_same_specs
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.rewards.source import Seen

FOLDER = 'disputed'
MOST_FRAMES = 5_000


class Disputes:
    """Keeps them in RUN/disputed, a store of one episode for each dispute, whose rewards are the person's word."""

    def __init__(self, run: Path, specs: Specs, success_reward: float) -> None:
        self._folder, self._specs, self._success_reward = run / FOLDER, specs, success_reward
        self._store: ReplayStore | None = None

    def keep(self, frames: Iterable[Seen], success: bool) -> int:
        """Store them with the person's word; how many. Raises UserError when the disk does not take it."""
        store = self._opened()
        frames, episode = list(frames), store.last_episode + 1
        # One moment is one episode: what is told apart from it is another.
        for index, seen in enumerate(frames):
            state = np.array([seen.numbers[name] for name in self._specs.observation.state.names], np.float32)
            observation = Observation(state, dict(seen.images))
            action = np.zeros(len(self._specs.action.names), np.float32)
            reward = self._success_reward if success else 0.0
            last = index == len(frames) - 1
            store.append(Step(time.time_ns(), episode, observation, action, reward=reward, terminal=last))
        store.flush()
        return len(frames)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _opened(self) -> ReplayStore:
        if self._store is None:
            if (self._folder / 'specs.json').exists():
                self._store = ReplayStore.open(self._folder)
                require_same_specs(self._store.specs, self._specs, str(self._folder))
            else:
                self._store = ReplayStore.create(self._folder, self._specs, MOST_FRAMES)
        return self._store
