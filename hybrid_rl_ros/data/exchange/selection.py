"""From an opened foreign dataset to the steps of a store, one episode at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from hybrid_rl_ros.data.exchange.columns import Columns, require_known
from hybrid_rl_ros.data.exchange.dataset import Source
from hybrid_rl_ros.data.exchange.foreign import Episode, ForeignDataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.specs import ActionSpec, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError


def select(dataset: ForeignDataset, specs: Specs | None, mapping: Mapping) -> Source:
    """What `specs` names of the dataset, or all of it.

    The numbers are read twice: all of them are checked before the first image is decoded. Raises UserError.
    """
    where, known = str(dataset.path), dataset.specs
    wanted_state, wanted_action = (specs.observation.state, specs.action) if specs else (None, None)
    state = Columns.of('state', where, dataset.state_names, wanted_state, mapping)
    action = Columns.of('action', where, dataset.action_names, wanted_action, mapping)
    require_known(mapping.units, state.names + action.names, 'mapping: units')
    require_known(mapping.ranges, state.names + action.names, 'mapping: ranges')
    state.require_units(where, known.observation.state if known else None, dataset.state_names)
    action.require_units(where, known.action if known else None, dataset.action_names)
    cameras = _cameras(dataset, specs, mapping)
    survey = _survey(dataset, state, action)
    if specs is None:
        specs = Specs(
            observation=ObservationSpec(
                state=VectorSpec(
                    dimensions=state.derived(*survey.state_range, known.observation.state if known else None)
                ),
                images=tuple(
                    ImageSpec(camera=camera, height=dataset.cameras[key][0], width=dataset.cameras[key][1])
                    for camera, key in cameras.items()
                ),
            ),
            action=ActionSpec(dimensions=action.derived(*survey.action_range, known.action if known else None)),
        )
    return Source(specs, _steps(dataset, specs, state, action, cameras), survey.steps)


@dataclass
class _Survey:
    """`*_range` are (lowest, highest), each (D,)."""

    steps: int
    state_range: tuple[np.ndarray, np.ndarray]
    action_range: tuple[np.ndarray, np.ndarray]


def _survey(dataset: ForeignDataset, state: Columns, action: Columns) -> _Survey:
    """Read and check all numbers, keeping the extremes."""
    survey = _Survey(0, _no_range(len(state.names)), _no_range(len(action.names)))
    for episode in dataset.episodes():
        _require_shape(dataset, episode)
        survey.steps += len(episode)
        survey.state_range = _widened(survey.state_range, state.take(episode.where, episode.state))
        acted = episode.action[episode.acted]
        if len(acted):
            survey.action_range = _widened(survey.action_range, action.take(episode.where, acted))
        if not np.isfinite(episode.reward).all():
            raise UserError(f'{episode.where}: a reward is not finite')
    if not survey.steps:
        raise UserError(f'{dataset.path}: holds no episode')
    return survey


def _require_shape(dataset: ForeignDataset, episode: Episode) -> None:
    for what, rows, names in (
        ('state', episode.state, dataset.state_names),
        ('action', episode.action, dataset.action_names),
    ):
        if rows.shape[1] != len(names):
            raise UserError(f'{episode.where}: {rows.shape[1]} numbers of {what}, the first episode has {len(names)}')


def _no_range(size: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(size, np.inf), np.full(size, -np.inf)


def _widened(found: tuple[np.ndarray, np.ndarray], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.minimum(found[0], values.min(axis=0)), np.maximum(found[1], values.max(axis=0))


def _cameras(dataset: ForeignDataset, specs: Specs | None, mapping: Mapping) -> dict[str, str]:
    """Our camera -> their key."""
    there = list(dataset.cameras)
    require_known(mapping.cameras.values(), there, f'{dataset.path}: camera (uint8, height x width x 3)')
    if specs is None:
        ours = {key: camera for camera, key in mapping.cameras.items()}
        return {ours.get(key, _short(key)): key for key in there}
    wanted = [image.camera for image in specs.observation.images]
    require_known(mapping.cameras, wanted, 'mapping: cameras')
    short = {_short(key): key for key in there}
    chosen = {camera: mapping.cameras.get(camera, short.get(camera, camera)) for camera in wanted}
    mend = '; say in the mapping cameras: {OUR CAMERA: THEIR KEY}'
    require_known(chosen.values(), there, f'{dataset.path}: camera (uint8, height x width x 3)', mend)
    return chosen


def _short(key: str) -> str:
    """The camera's own name in their key: `observation.images.front` and `front_image` are `front`."""
    return key.removeprefix('observation.images.').removeprefix('observation.').removesuffix('_image')


def _steps(
    dataset: ForeignDataset, specs: Specs, state: Columns, action: Columns, cameras: dict[str, str]
) -> Iterator[Step]:
    taken: set[int] = set()
    for episode in dataset.episodes():
        # Two episodes of one number would become one in the store.
        number = max(taken) + 1 if episode.number in taken else episode.number
        taken.add(number)
        states = state.take(episode.where, episode.state)
        actions = np.zeros((len(episode), len(action.names)), np.float32)
        actions[episode.acted] = action.take(episode.where, episode.action[episode.acted])
        frames = episode.frames(list(cameras.values()))
        for row in range(len(episode)):
            images = _images(next(frames), specs, cameras)
            yield _step(episode, row, number, Observation(states[row], images), actions[row])


def _step(episode: Episode, row: int, number: int, observation: Observation, action: np.ndarray) -> Step:
    return Step(
        stamp_ns=int(episode.stamp_ns[row]),
        episode=number,
        observation=observation,
        action=action,
        reward=float(episode.reward[row]),
        terminal=bool(episode.terminal[row]),
        truncated=bool(episode.truncated[row]),
        intervention=bool(episode.intervention[row]),
    )


def _images(frames: dict[str, np.ndarray], specs: Specs, cameras: dict[str, str]) -> dict[str, np.ndarray]:
    return {image.camera: _fitted(frames[cameras[image.camera]], image) for image in specs.observation.images}


def _fitted(image: np.ndarray, spec: ImageSpec) -> np.ndarray:
    if image.shape == spec.shape:
        return image
    shrinks = image.shape[0] >= spec.height and image.shape[1] >= spec.width
    return cv2.resize(image, (spec.width, spec.height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
