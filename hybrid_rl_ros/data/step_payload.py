"""A step's arrays as a replay store's files hold them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hybrid_rl_ros.data.step import Step


def step_payload(step: Step, streams: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One row for each of `streams` (capacity, ...). Raises ValueError naming the array that does not fit."""
    given = {'state': step.observation.state, 'action': step.action}
    if 'noise' in streams:
        none = np.full(streams['noise'].shape[1:], np.nan, np.float32)
        given['noise'] = none if step.noise is None else step.noise
    given |= {f'image_{camera}': image for camera, image in step.observation.images.items()}
    if given.keys() != streams.keys():
        missing, unknown = streams.keys() - given.keys(), given.keys() - streams.keys()
        raise ValueError(f'the step lacks {sorted(missing)} and has {sorted(unknown)}, which the specs do not name')
    if not np.isfinite(np.float32(step.reward)):
        raise ValueError(f'reward is not finite: {step.reward}')
    return {name: _fit(name, np.asarray(given[name]), stream) for name, stream in streams.items()}


def _fit(name: str, value: np.ndarray, stream: np.ndarray) -> np.ndarray:
    if value.shape != stream.shape[1:]:
        raise ValueError(f'{name} has shape {value.shape}, expected {stream.shape[1:]}')
    if stream.dtype == np.uint8:
        if value.dtype != np.uint8:
            raise ValueError(f'{name} is {value.dtype}, expected uint8')
        return np.ascontiguousarray(value)
    with np.errstate(over='ignore'):
        numbers = np.ascontiguousarray(value, dtype=stream.dtype)
    # Most steps begin no chunk and so have no noise.
    if not np.isfinite(numbers).all() and name != 'noise':
        raise ValueError(f'{name} is not finite: {value}')
    return numbers
