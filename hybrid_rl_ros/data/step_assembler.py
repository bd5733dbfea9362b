"""From the graph's streams to stored steps: the same rules live and from a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.data.step import Step

NOISE = 'latent/'


def noise_names(actions: Sequence[str], steps: int) -> list[str]:
    """What the noise of a chunk is called in an action message: latent/<step>/<action>, step by step."""
    return [f'{NOISE}{step}/{name}' for step in range(steps) for name in actions]


@dataclass(frozen=True)
class StreamValues:
    """All streams of one stamp: named numbers of the state, the executed action and the reward, and the images."""

    state: Mapping[str, float]
    executed: Mapping[str, float]
    reward: Mapping[str, float]
    images: Mapping[str, np.ndarray]


class StepAssembler:
    """Turns each stamp's streams into the Step to store, or None.

    A segment of consecutive executed steps gets one episode number; it ends with the observation that the last action
    led to. A step that safety held, an aborted episode or a missing stamp ends the segment without that observation.
    """

    def __init__(self, specs: Specs, first_episode: int) -> None:
        self._specs = specs
        self._next_episode = first_episode
        self._episode: int | None = None

    def break_segment(self) -> None:
        """A stamp is missing: what follows must not be paired with what came before."""
        self._episode = None

    def assemble(self, stamp_ns: int, streams: StreamValues) -> Step | None:
        acted = streams.reward['running'] > 0.5 and streams.executed.get('by/hold', 0.0) < 0.5
        terminal, truncated = streams.reward['terminal'] > 0.5, streams.reward['truncated'] > 0.5
        if acted and self._episode is None:
            self._episode = self._next_episode
            self._next_episode += 1
        episode = self._episode
        if not acted:
            self._episode = None
        if episode is None or not (acted or terminal or truncated):
            return None
        names = self._specs.action.names
        action = [streams.executed[name] for name in names] if acted else [0.0] * len(names)
        state = [streams.state[name] for name in self._specs.observation.state.names]
        return Step(
            stamp_ns=stamp_ns,
            episode=episode,
            observation=Observation(np.array(state, np.float32), dict(streams.images)),
            action=np.array(action, np.float32),
            reward=streams.reward['reward'],
            terminal=terminal and not acted,
            truncated=truncated and not acted,
            intervention=acted and streams.executed.get('by/teleop', 0.0) > 0.5,
            noise=self._noise(streams.executed) if acted else None,
        )

    def _noise(self, executed: Mapping[str, float]) -> np.ndarray | None:
        steps = self._specs.noise_steps
        names = noise_names(self._specs.action.names, steps)
        if not names or names[0] not in executed:
            return None
        return np.array([executed[name] for name in names], np.float32).reshape(steps, -1)
