"""Stores and foreign datasets to exchange, and what must be the same on the other side."""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.data.exchange.segments import segments
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step

PERIOD_NS = 100_000_000


def make_specs(cameras: tuple[str, ...] = ('front', 'wrist'), height: int = 48, width: int = 64) -> Specs:
    state = VectorSpec(
        dimensions=(
            Dimension(name='ee.x', unit='m', low=0.3, high=0.6),
            Dimension(name='joint.1', unit='rad', low=-3.1, high=3.1),
        )
    )
    action = ActionSpec(
        dimensions=(
            Dimension(name='ee.dx', unit='m', low=-0.025, high=0.025),
            Dimension(name='gripper', unit='1', low=-1, high=1),
        )
    )
    images = tuple(ImageSpec(camera=camera, height=height, width=width) for camera in cameras)
    return Specs(observation=ObservationSpec(state=state, images=images), action=action)


def smooth_image(height: int, width: int, phase: float) -> np.ndarray:
    """(H, W, 3) uint8: colours that change over the image and with `phase`, as a camera's do."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 9 + phase), np.cos(y / 7 - phase), np.sin((x + y) / 11 + 2 * phase)]
    return np.stack([(127.5 + 127 * wave).astype(np.uint8) for wave in waves], axis=-1)


def fill(store: ReplayStore, lengths: tuple[int, ...] = (5, 4, 7), seed: int = 0) -> None:
    """Episodes numbered 3, 7, 11, ...: the first succeeds, the second runs out of time, the third breaks off."""
    rng = np.random.default_rng(seed)
    stamp = 1_700_000_000_123_456_789
    low, high = store.specs.observation.state.low, store.specs.observation.state.high
    for index, length in enumerate(lengths):
        stamp += 5_000_000_000
        for row in range(length):
            last = row == length - 1
            stamp += PERIOD_NS + int(rng.integers(1000))
            images = {
                image.camera: smooth_image(image.height, image.width, 0.3 * row + index + 2 * camera)
                for camera, image in enumerate(store.specs.observation.images)
            }
            action = rng.uniform(store.specs.action.low, store.specs.action.high)
            store.append(
                Step(
                    stamp_ns=stamp,
                    episode=3 + 4 * index,
                    observation=Observation(rng.uniform(low, high).astype(np.float32), images),
                    action=np.zeros(len(action), np.float32) if last and index % 3 < 2 else action.astype(np.float32),
                    reward=float(np.float32(rng.normal())),
                    terminal=last and index % 3 == 0,
                    truncated=last and index % 3 == 1,
                    intervention=bool(rng.random() < 0.5),
                )
            )


def all_rows(store: ReplayStore) -> np.ndarray:
    return np.concatenate([segment.rows for segment in segments(store)])


def assert_same_numbers(found: ReplayStore, expected: ReplayStore) -> None:
    """States, actions, records (rewards, ends, interventions, stamps, episode numbers) and transitions, to the bit."""
    assert found.specs == expected.specs
    ours, theirs = all_rows(found), all_rows(expected)
    np.testing.assert_array_equal(found.states(ours), expected.states(theirs))
    np.testing.assert_array_equal(found.actions(ours), expected.actions(theirs))
    for field in ('stamp_ns', 'episode', 'reward', 'terminal', 'truncated', 'intervention'):
        np.testing.assert_array_equal(found.records(ours)[field], expected.records(theirs)[field], err_msg=field)
    ours, theirs = found.valid_rows(), expected.valid_rows()
    assert len(ours) == len(theirs)
    np.testing.assert_array_equal(found.rewards(ours), expected.rewards(theirs))
    np.testing.assert_array_equal(found.masks(ours), expected.masks(theirs))


def psnr_db(found: np.ndarray, expected: np.ndarray) -> float:
    """The worst image's, of two (N, H, W, 3)."""
    error = ((found.astype(np.float64) - expected) ** 2).mean(axis=(1, 2, 3))
    return float(10 * np.log10(255**2 / np.maximum(error.max(), 1e-9)))


def ignore_progress(done: int, total: int) -> None:
    pass
