"""Any Gymnasium environment with Box spaces behind the interface of a simulated robot."""

from __future__ import annotations

from typing import Any

import cv2
import gymnasium
import numpy as np

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.sim.backend import JointReading, NamedVector

CAMERA = 'render'


class GymnasiumSimulation:
    """The `Simulation` of an environment; one `advance` is one environment step, however long it is."""

    def __init__(self, config: Config, seed: int) -> None:
        """Raises UserError for an environment, a space or a camera that cannot be used."""
        self.cameras = _camera_sizes(config)
        self._seed = seed
        self._env = _make_environment(config, render=bool(self.cameras))
        try:
            self._box = _require_box(self._env.action_space, 'action', config)
            _require_box(self._env.observation_space, 'observation', config)
        except UserError:
            self._env.close()
            raise
        self._action = self._neutral_action()
        self._state: NamedVector = {}
        self.reset(0)
        for camera in self.cameras:
            self._require_picture(camera, config)

    def reset(self, index: int) -> None:
        # Environments take one integer: this one mixes both numbers, so that seeds do not share starts.
        seed = int(np.random.SeedSequence([self._seed, index]).generate_state(1)[0])
        observation, info = self._env.reset(seed=seed)
        self._action = self._neutral_action()
        self._remember(observation, 0.0, False, False, info)

    def command_joints(self, names: list[str], positions: np.ndarray, duration_s: float) -> None:
        raise ValueError(f'a Gymnasium environment has no joints to command, got {", ".join(names)}')

    def command_action(self, action: np.ndarray) -> None:
        low, high = self._box.low, self._box.high
        action = np.asarray(action, dtype=float)
        if action.shape != (low.size,) or not np.isfinite(action).all():
            raise ValueError(f'expected {low.size} finite numbers, got {action.tolist()}')
        self._action = np.clip(action.reshape(low.shape), low, high).astype(low.dtype)

    def advance(self, duration_s: float) -> None:
        """One step of the environment; nothing once the episode has ended, until the next reset."""
        if self._state['terminated'] or self._state['truncated']:
            return
        observation, reward, terminated, truncated, info = self._env.step(self._action)
        self._remember(observation, float(reward), terminated, truncated, info)

    def joint_state(self) -> JointReading | None:
        return None

    def wrench(self) -> np.ndarray | None:
        return None

    def task_state(self) -> NamedVector:
        return dict(self._state)

    def render(self, camera: str) -> np.ndarray:
        if camera not in self.cameras:
            raise ValueError(f'no camera {camera!r}; the cameras are {", ".join(self.cameras) or "none"}')
        height, width = self.cameras[camera]
        picture = np.asarray(self._env.render())
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)

    def _require_picture(self, camera: str, config: Config) -> None:
        try:
            self.render(camera)
        except (gymnasium.error.Error, ImportError) as error:
            self.close()
            reason = ' '.join(str(error).split())
            raise UserError(
                f'observation.cameras.{camera}: {config.sim and config.sim.env_id!r} draws no picture: {reason}'
            ) from None

    def camera_matrix(self, camera: str) -> np.ndarray:
        """A drawing has no lens: the focal length is made up, one picture width."""
        height, width = self.cameras[camera]
        return np.array([[width, 0.0, (width - 1) / 2.0], [0.0, width, (height - 1) / 2.0], [0.0, 0.0, 1.0]])

    def close(self) -> None:
        self._env.close()

    def _neutral_action(self) -> np.ndarray:
        return np.clip(np.zeros_like(self._box.low), self._box.low, self._box.high)

    def _remember(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict) -> None:
        values = np.asarray(observation, dtype=float).ravel()
        success = float(info.get('is_success', 0.0))
        self._state = {
            **{f'obs/{index}': float(value) for index, value in enumerate(values)},
            'reward': reward,
            'terminated': float(terminated),
            'truncated': float(truncated),
            'success': success,
            # A true end that is not a success; what it was worth is in the reward.
            'failure': float(terminated and not success),
        }


def gymnasium_specs(config: Config) -> Specs:
    """The environment's own spaces as specs: `task.obs/0..` and `action/0..`. Raises UserError."""
    images = tuple(
        ImageSpec(camera=name, height=height, width=width) for name, (height, width) in _camera_sizes(config).items()
    )
    env = _make_environment(config, render=False)
    try:
        low, high = _flat_bounds(_require_box(env.observation_space, 'observation', config))
        finite = np.isfinite(low) & np.isfinite(high) & (low < high)
        observation = [
            Dimension(name=f'task.obs/{index}', unit='1', low=float(below), high=float(above))
            for index, (below, above) in enumerate(
                zip(np.where(finite, low, -1.0), np.where(finite, high, 1.0), strict=True)
            )
        ]
        low, high = _flat_bounds(_require_box(env.action_space, 'action', config))
        action = [
            Dimension(name=f'action/{index}', unit='1', low=float(below), high=float(above))
            for index, (below, above) in enumerate(zip(low, high, strict=True))
        ]
    finally:
        env.close()
    return Specs(
        observation=ObservationSpec(state=VectorSpec(dimensions=tuple(observation)), images=images),
        action=ActionSpec(dimensions=tuple(action)),
    )


def _make_environment(config: Config, render: bool) -> gymnasium.Env:
    assert config.sim is not None and config.sim.env_id is not None
    arguments = dict(config.sim.env_kwargs)
    if render:
        arguments['render_mode'] = 'rgb_array'
    try:
        return gymnasium.make(config.sim.env_id, **arguments)
    except (gymnasium.error.Error, TypeError, ImportError) as error:
        reason = ' '.join(str(error).split())
        raise UserError(f'sim.env_id: {config.sim.env_id!r} with {arguments} cannot be made: {reason}') from None


def _camera_sizes(config: Config) -> dict[str, tuple[int, int]]:
    cameras = config.observation.driver_cameras
    for name in cameras:
        if name != CAMERA:
            raise UserError(f'observation.cameras: a Gymnasium environment has no {name!r}, only {CAMERA!r}')
    return {name: (camera.height, camera.width) for name, camera in cameras.items()}


def _require_box(space: gymnasium.Space, kind: str, config: Config) -> gymnasium.spaces.Box:
    """The space if it is a Box, and for an action one with finite bounds. Raises UserError naming the space."""
    where = f'sim.env_id: {config.sim.env_id if config.sim else None!r}'
    if not isinstance(space, gymnasium.spaces.Box):
        raise UserError(f'{where} has the {kind} space {space}; expected a Box')
    if kind == 'action' and not space.is_bounded():
        raise UserError(f'{where} has the action space {space} without finite bounds; wrap it to have some')
    return space


def _flat_bounds(space: gymnasium.spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds, each (N,)."""
    return space.low.astype(float).ravel(), space.high.astype(float).ravel()
