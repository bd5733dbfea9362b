"""A Gymnasium environment behaves behind our interface exactly as it does by itself."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.factory import make_simulation
from hybrid_rl_ros.sim.gymnasium_backend import gymnasium_specs


class Drawn(gymnasium.Env):
    """Observation: how often it was stepped and the last action; ends with success at the third step."""

    metadata = {'render_modes': ['rgb_array'], 'render_fps': 10}  # noqa: RUF012 (the base class declares it so)

    def __init__(self, bound: float = 2.0, render_mode: str | None = None) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(-bound, bound, (1,), np.float32)
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        done = self.steps == 3
        return np.array([self.steps, action[0]], np.float32), -1.0, done, False, {'is_success': done}

    def render(self):
        picture = np.zeros((100, 200, 3), np.uint8)
        picture[:, 100:] = (255, 0, 0)
        return picture


@pytest.fixture(scope='module', autouse=True)
def _register():
    gymnasium.register('Drawn-v0', entry_point=Drawn)
    yield
    gymnasium.registry.pop('Drawn-v0')


def _config(env_id: str, cameras: dict | None = None, **env_kwargs: object) -> Config:
    return Config(
        task='gymnasium',
        sim={'backend': 'gymnasium', 'env_id': env_id, 'env_kwargs': env_kwargs},
        action={'space': 'direct'},
        observation={'cameras': cameras or {}},
    )


def _simulation(env_id: str, cameras: dict | None = None, **env_kwargs: object):
    return make_simulation(_config(env_id, cameras, **env_kwargs), load_robot('sim_arm'), 5)


def test_pendulum_gives_the_same_numbers_as_the_bare_environment():
    sim = _simulation('Pendulum-v1')
    sim.reset(3)
    start = sim.task_state()
    bare = gymnasium.make('Pendulum-v1').unwrapped
    bare.reset()
    bare.state = np.array([np.arctan2(start['obs/1'], start['obs/0']), start['obs/2']])
    for torque in np.linspace(-2.0, 2.0, 20):
        sim.command_action(np.array([torque]))
        sim.advance(0.05)
        observation, reward, *_ = bare.step(np.array([torque], np.float32))
        state = sim.task_state()
        np.testing.assert_allclose([state[f'obs/{index}'] for index in range(3)], observation, atol=1e-5)
        assert state['reward'] == pytest.approx(reward, abs=1e-5)
    assert sim.joint_state() is None
    assert sim.wrench() is None


def test_the_same_seed_and_index_give_the_same_start():
    first, second = _simulation('Pendulum-v1'), _simulation('Pendulum-v1')
    first.reset(8)
    second.reset(2)
    assert first.task_state() != second.task_state()
    second.reset(8)
    assert first.task_state() == second.task_state()


def test_an_episode_ends_once_and_waits_for_the_next_reset():
    sim = _simulation('Drawn-v0')
    for _ in range(5):
        sim.command_action(np.array([9.0]))  # clipped to the bounds
        sim.advance(0.1)
    expected = {'obs/0': 3.0, 'obs/1': 2.0, 'reward': -1.0, 'terminated': 1.0, 'truncated': 0.0}
    assert sim.task_state() == {**expected, 'success': 1.0, 'failure': 0.0}
    sim.reset(1)
    assert sim.task_state()['obs/0'] == 0.0
    assert sim.task_state()['terminated'] == 0.0


def test_a_time_limit_of_the_environment_is_truncation_not_termination():
    sim = _simulation('Pendulum-v1', max_episode_steps=4)
    for _ in range(4):
        sim.advance(0.1)
    state = sim.task_state()
    assert (state['truncated'], state['terminated'], state['failure']) == (1.0, 0.0, 0.0)


def test_specs_carry_the_bounds_of_the_environment():
    specs = gymnasium_specs(_config('Pendulum-v1'))
    assert specs.observation.state.names == ['task.obs/0', 'task.obs/1', 'task.obs/2']
    np.testing.assert_allclose(specs.observation.state.high, [1.0, 1.0, 8.0])
    assert specs.action.names == ['action/0']
    np.testing.assert_allclose([specs.action.low, specs.action.high], [[-2.0], [2.0]])


def test_unbounded_observations_are_scaled_by_one():
    state = gymnasium_specs(_config('Drawn-v0')).observation.state
    np.testing.assert_allclose([state.low, state.high], [[-1.0, -1.0], [1.0, 1.0]])


def test_the_render_camera_is_resized_to_the_configured_size():
    cameras = {'render': {'width': 32, 'height': 16}}
    sim = _simulation('Drawn-v0', cameras)
    picture = sim.render('render')
    assert picture.shape == (16, 32, 3)
    np.testing.assert_array_equal(picture[8, [2, 29]], [[0, 0, 0], [255, 0, 0]])
    assert gymnasium_specs(_config('Drawn-v0', cameras)).observation.images[0].shape == (16, 32, 3)
    with pytest.raises(ValueError, match='front'):
        sim.render('front')


@pytest.mark.parametrize(
    ('env_id', 'kwargs', 'cameras', 'message'),
    [
        ('CartPole-v1', {}, {}, r"'CartPole-v1' has the action space Discrete\(2\); expected a Box"),
        ('Drawn-v0', {'bound': np.inf}, {}, 'without finite bounds'),
        ('Nothing-v0', {}, {}, 'Nothing'),
        ('Drawn-v0', {'colour': 'blue'}, {}, 'colour'),
        ('Drawn-v0', {}, {'front': {}}, "'front', only 'render'"),
    ],
)
def test_environments_that_cannot_be_used_are_user_errors(env_id, kwargs, cameras, message):
    for make in (gymnasium_specs, lambda config: make_simulation(config, load_robot('sim_arm'), 1)):
        with pytest.raises(UserError, match=message):
            make(_config(env_id, cameras, **kwargs))


def test_commands_that_make_no_sense_are_refused():
    sim = _simulation('Drawn-v0')
    with pytest.raises(ValueError, match='1 finite'):
        sim.command_action(np.array([np.nan]))
    with pytest.raises(ValueError, match='1 finite'):
        sim.command_action(np.zeros(2))
    with pytest.raises(ValueError, match='joint1'):
        sim.command_joints(['joint1'], np.zeros(1), 0.1)
