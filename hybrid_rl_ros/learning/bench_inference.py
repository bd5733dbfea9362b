"""What `hybrid-rl bench inference` runs: prints its result as one JSON object.

Both sides turn the same observation, in numpy, into the same action in physical units, on one thread. The peer is
PyTorch as one would write it: the normalisation in numpy, the network under inference_mode, nothing more.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch

from hybrid_rl_ros.bench_result import bench_result, bench_row
from hybrid_rl_ros.config import Config, InferenceConfig
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.learning.acting import PolicyActor
from hybrid_rl_ros.learning.bench_base import base_rows
from hybrid_rl_ros.learning.bench_denoiser import denoiser_rows
from hybrid_rl_ros.learning.policies.gaussian import gaussian
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import shape_of
from hybrid_rl_ros.learning.timing import interleaved, percentile_rows

STATES, ACTIONS = 7, 4
CASES = {
    'MLP actor, state only': None,
    'two-camera actor, 64x64': 64,
    'two-camera actor, 128x128': 128,
}
SWAPS = 60


class EagerPeer:
    """The same network in plain PyTorch, with everything that does not change computed beforehand."""

    def __init__(self, policy: Policy, sampled: bool) -> None:
        self._network, self._sampled = gaussian(policy.network), sampled
        self._generator = torch.Generator().manual_seed(0)
        state, action = policy.specs.observation.state, policy.specs.action
        self._state_low, self._state_span = state.low, state.high - state.low
        self._action_low, self._action_span = action.low, action.high - action.low

    @torch.inference_mode()
    def act(self, observation: Observation) -> np.ndarray:
        state = torch.from_numpy((observation.state[None] - self._state_low) / self._state_span * 2.0 - 1.0)
        images = {camera: torch.from_numpy(image)[None] for camera, image in observation.images.items()}
        mean, log_std = self._network.actor(self._network.inputs(state, images))
        if self._sampled:
            mean = mean + log_std.exp() * torch.randn(mean.shape, generator=self._generator)
        return self._action_low + (torch.tanh(mean).numpy() + 1.0) / 2.0 * self._action_span


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for name, size in CASES.items():
        policy, observation = make_case(size)
        for sampled in (False, True):
            rows += timing_rows(f'{name}, {"sampled" if sampled else "mode"}', policy, observation, sampled)
        rows.append(swap_row(f'{name}, weights swapped', policy))
    rows += denoiser_rows()
    rows += base_rows(make_specs([]))
    sys.stdout.write(json.dumps(bench_result('inference', rows)) + '\n')


def make_case(size: int | None) -> tuple[Policy, Observation]:
    """A policy of the default architecture and something for it to see; `size` of its two images, if any."""
    specs = make_specs([] if size is None else [ImageSpec(camera=c, height=size, width=size) for c in ('a', 'b')])
    rng = np.random.default_rng(0)
    images = {image.camera: rng.integers(0, 256, image.shape, dtype=np.uint8) for image in specs.observation.images}
    torch.manual_seed(0)
    policy = Policy.build(specs, shape_of(Config(), 'sac'), 'sac')
    return policy, Observation(rng.uniform(-1, 1, STATES).astype(np.float32), images)


def make_specs(images: Sequence[ImageSpec]) -> Specs:
    def dimensions(prefix: str, count: int) -> tuple[Dimension, ...]:
        return tuple(Dimension(name=f'{prefix}{i}', unit='1', low=-2, high=2) for i in range(count))

    state = VectorSpec(dimensions=dimensions('s', STATES))
    return Specs(
        observation=ObservationSpec(state=state, images=tuple(images)),
        action=ActionSpec(dimensions=dimensions('a', ACTIONS)),
    )


def timing_rows(name: str, policy: Policy, observation: Observation, sampled: bool) -> list[dict[str, object]]:
    actor = PolicyActor(policy.specs, InferenceConfig(), seed=0, deterministic=not sampled)
    actor.use(policy.to_bytes(1), 'bench')
    peer = EagerPeer(policy, sampled)
    np.testing.assert_allclose(actor.act(observation), peer.act(observation), atol=1e-5)
    ours, theirs = interleaved(lambda: actor.act(observation), lambda: peer.act(observation))
    assert actor.engine is not None
    return percentile_rows(name, ours, 'PyTorch eager', theirs, engine=actor.engine.name)


def swap_row(name: str, policy: Policy) -> dict[str, object]:
    """From the bytes of a publication to the action's being of its weights, with every check."""
    actor = PolicyActor(policy.specs, InferenceConfig(), seed=0, deterministic=True)
    times = []
    for version in range(1, SWAPS + 1):
        data = policy.to_bytes(version)
        began = time.perf_counter_ns()
        actor.use(data, 'bench')
        times.append((time.perf_counter_ns() - began) * 1e-6)
    # The first also built the engine.
    return bench_row(f'{name}, p50', float(np.median(times[1:])), SWAPS - 1)


if __name__ == '__main__':
    main()
