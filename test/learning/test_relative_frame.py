"""The same scene elsewhere, and turned, is the same to who learns and who acts; the arm still goes where it should."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.config import BcConfig, Config, InferenceConfig, load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.acting import PolicyActor, WarmUp
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.behaviour_cloning import clone_behaviour
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.relative_frame import RelativeFrame
from hybrid_rl_ros.learning.sampler import Source

LIFT = Path(__file__).parents[2] / 'config' / 'sim_lift.yaml'
NAMES = ['ee.x', 'ee.y', 'ee.z', 'ee.vx', 'ee.vy', 'ee.yaw', 'task.cube.x', 'task.cube.y', 'task.cube.z']
NAMES += ['task.cube.yaw', 'task.offset.x', 'task.offset.y', 'gripper.opening']
SETTINGS = [
    f'observation.state=[{", ".join(NAMES)}]',
    'observation.cameras={}',
    'action.rotation=true',
    'sac.relative_frame=true',
    'sac.hidden=[32, 32]',
    'train.compile=off',
    'train.device=cpu',
]
STEP_M, TURN_RAD = 0.025, 0.1


@pytest.fixture(scope='module')
def config() -> Config:
    return load_config(LIFT, SETTINGS)


@pytest.fixture(scope='module')
def specs(config):
    return resolve_specs(config)


def states(count: int = 20, seed: int = 0) -> np.ndarray:
    """(count, S) anywhere in reach, with all headings."""
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(-0.3, 0.3, (count, len(NAMES))).astype(np.float32)
    for heading in ('ee.yaw', 'task.cube.yaw'):
        drawn[:, NAMES.index(heading)] = rng.uniform(-math.pi, math.pi, count)
    return drawn


def actions(count: int = 20, seed: int = 1) -> np.ndarray:
    """(count, 7) of dx dy dz drx dry drz gripper, short enough to stay inside their bounds however they are turned."""
    drawn = np.random.default_rng(seed).uniform(-0.7, 0.7, (count, 7)).astype(np.float32)
    return drawn * np.array([STEP_M] * 3 + [TURN_RAD] * 3 + [1.0], np.float32)


def moved(values: np.ndarray, names: list[str], angle: float, shift: tuple[float, float, float]) -> np.ndarray:
    """The scene of `values` (B, D) turned by `angle` about the base's z, and then shifted."""
    turned = values.copy()
    c, s = math.cos(angle), math.sin(angle)
    for x_name in names:
        if x_name.endswith('x'):
            x, y = names.index(x_name), names.index(x_name[:-1] + 'y')
            place = x_name in ('ee.x', 'task.cube.x')
            turned[:, x] = c * values[:, x] - s * values[:, y] + place * shift[0]
            turned[:, y] = s * values[:, x] + c * values[:, y] + place * shift[1]
        elif x_name in ('ee.z', 'task.cube.z'):
            turned[:, names.index(x_name)] += shift[2]
        elif x_name.endswith('yaw'):
            column = names.index(x_name)
            turned[:, column] = np.mod(values[:, column] + angle + math.pi, 2 * math.pi) - math.pi
    return turned


def test_an_episode_begins_at_the_origin_facing_ahead(specs):
    frame, begun = RelativeFrame(specs), states()
    seen = frame.states(begun, frame.start(begun))
    for name in ('ee.x', 'ee.y', 'ee.z', 'ee.yaw'):
        np.testing.assert_allclose(seen[:, NAMES.index(name)], 0.0, atol=1e-6)


def test_what_lies_to_the_left_of_a_turned_tool_is_to_its_left(specs):
    """The tool faces along the base's y; the cube lies 0.1 m further that way, and the tool moves towards it."""
    frame, state = RelativeFrame(specs), np.zeros(len(NAMES), np.float32)
    named = {'ee.x': 0.4, 'ee.y': 0.1, 'ee.z': 0.2, 'ee.yaw': math.pi / 2, 'ee.vy': 0.2}
    named |= {'task.cube.x': 0.4, 'task.cube.y': 0.2, 'task.cube.z': 0.02, 'task.offset.x': 0.05}
    for name, value in named.items():
        state[NAMES.index(name)] = value
    seen = dict(zip(NAMES, frame.states(state, frame.start(state)).tolist()))
    expected = {'ee.vx': 0.2, 'ee.vy': 0.0, 'task.cube.x': 0.1, 'task.cube.y': 0.0, 'task.cube.z': -0.18}
    expected |= {'task.offset.x': 0.0, 'task.offset.y': -0.05}
    assert {name: seen[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    action = np.array([0.0, STEP_M, 0.01, 0.0, 0.0, 0.05, 1.0], np.float32)
    expected_action = [STEP_M, 0.0, 0.01, 0.0, 0.0, 0.05, 1.0]
    np.testing.assert_allclose(frame.actions(action, frame.start(state)), expected_action, atol=1e-7)


def test_actions_come_back_from_the_relative_frame(specs):
    frame, starts = RelativeFrame(specs), RelativeFrame(specs).start(states())
    there = frame.actions(actions(), starts)
    assert not np.allclose(there, actions())
    np.testing.assert_allclose(frame.base_actions(there, starts), actions(), atol=1e-7)


def test_an_action_in_a_corner_keeps_its_direction_and_its_bounds(specs):
    frame, starts = RelativeFrame(specs), RelativeFrame(specs).start(states())
    corner = np.zeros((20, 7), np.float32)
    corner[:, :2], corner[:, 3:5] = STEP_M, TURN_RAD
    seen = frame.actions(corner, starts)
    for x, y, most in ((0, 1, STEP_M), (3, 4, TURN_RAD)):
        assert np.abs(seen[:, [x, y]]).max() <= most * (1 + 1e-6)
        direction = np.arctan2(seen[:, y], seen[:, x]) + starts[:, 3]
        np.testing.assert_allclose(np.exp(1j * direction), np.exp(1j * np.full(20, math.pi / 4)), atol=1e-5)


def test_the_same_scene_turned_and_shifted_is_seen_alike(specs):
    frame, angle, shift = RelativeFrame(specs), 1.9, (0.2, -0.4, 0.1)
    here, there = states(), moved(states(), NAMES, angle, shift)
    begun_here, begun_there = here[0], there[0]
    seen = [frame.states(s, frame.start(b)) for s, b in ((here, begun_here), (there, begun_there))]
    np.testing.assert_allclose(np.cos(seen[0]), np.cos(seen[1]), atol=1e-5)  # headings may differ by a whole turn
    np.testing.assert_allclose(np.sin(seen[0]), np.sin(seen[1]), atol=1e-5)
    turned = moved(actions(), specs.action.names, angle, (0, 0, 0))
    np.testing.assert_allclose(
        frame.actions(actions(), frame.start(begun_here)), frame.actions(turned, frame.start(begun_there)), atol=1e-6
    )


def make_policy(specs, config) -> Policy:
    policy = SacAgent(specs, config, 'cpu').policy()
    policy.network.actor.head.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    return policy


@pytest.mark.parametrize('engine', ['onnx', 'eager'])
def test_a_published_policy_acts_alike_in_the_turned_and_shifted_scene(specs, config, engine):
    """The turn is in the policy's head: who loads it need not be told."""
    policy = make_policy(specs, config)
    actor = PolicyActor(specs, InferenceConfig(engine=engine), seed=0, deterministic=True)
    actor.use(policy.to_bytes(1), 'weights')
    again = Policy.from_bytes(policy.to_bytes(1))
    here, there = states(), moved(states(), NAMES, 0.8, (0.1, 0.1, -0.05))
    given = np.concatenate([actor.act(Observation(state), start=here[0]) for state in here])
    turned = np.concatenate([actor.act(Observation(state), start=there[0]) for state in there])
    # What is shortened to stay inside the bounds is shortened by how it is turned.
    inside = (np.hypot(given[:, 0], given[:, 1]) < STEP_M) & (np.hypot(given[:, 3], given[:, 4]) < TURN_RAD)
    assert inside.sum() >= 5
    expected = moved(given, specs.action.names, 0.8, (0, 0, 0))
    np.testing.assert_allclose(turned[inside], expected[inside], atol=1e-4)
    for state, action in zip(here, given):
        np.testing.assert_allclose(again.act(Observation(state), start=here[0])[0], action, atol=1e-5)
    assert (given <= specs.action.high * (1 + 1e-6)).all() and (given >= specs.action.low * (1 + 1e-6)).all()


def fill(store: ReplayStore, scenes: list[np.ndarray]) -> None:
    """One episode a scene."""
    for episode, scene in enumerate(scenes):
        for number, (state, action) in enumerate(zip(scene, actions(len(scene)))):
            last = number == len(scene) - 1
            store.append(Step(store.sequence + 1, episode, Observation(state), action, truncated=last))


def test_the_learner_sees_each_episode_from_its_first_row_and_the_store_keeps_the_base(tmp_path, specs, config):
    scenes = [states(10, seed) for seed in range(3)]
    frame = RelativeFrame(specs)
    with ReplayStore.create(tmp_path, specs, 40) as store:
        fill(store, scenes)
        agent = SacAgent(specs, config, 'cpu')
        source = Source(store, agent.encoders, config, agent.sampling)
        source.cache.catch_up(15)
        source.cache.catch_up(store.sequence)
        rows = store.valid_rows()
        parts = source.parts(rows, np.random.default_rng(0))
        stored = store.states(rows)
    for episode, scene in enumerate(scenes):
        of_episode = slice(9 * episode, 9 * (episode + 1))
        np.testing.assert_array_equal(stored[of_episode], scene[:-1])
        seen = frame.specs.observation.state.normalise(frame.states(scene, frame.start(scene[0])))
        np.testing.assert_allclose(parts['state'][of_episode], seen[:-1], atol=1e-6)
        np.testing.assert_allclose(parts['next_state'][of_episode], seen[1:], atol=1e-6)
        done = specs.action.normalise(frame.actions(actions(10)[:-1], frame.start(scene[0])))
        np.testing.assert_allclose(parts['action'][of_episode], done, atol=1e-6)


def test_cloning_learns_the_same_from_scenes_that_differ_in_place_and_heading(tmp_path, specs, config):
    """A demonstrator goes where it faces; a clone that sees the base's frame would have to learn every heading."""
    quick = config.model_copy(update={'bc': BcConfig(updates=60, hidden=[16], learning_rate=0.02)})
    scenes = []
    for heading in np.linspace(-3.0, 3.0, 12):
        scene = states(2, seed=5)
        scene[0, NAMES.index('ee.yaw')] = 0.0
        scenes.append(moved(scene, NAMES, float(heading), (0.0, 0.0, 0.0)))
    ahead = np.array([[0.5 * STEP_M, 0, 0, 0, 0, 0, 0]], np.float32)
    with ReplayStore.create(tmp_path / 'demos', specs, 40) as demos:
        for episode, scene in enumerate(scenes):
            heading = np.linspace(-3.0, 3.0, 12)[episode]
            action = moved(ahead, specs.action.names, float(heading), (0, 0, 0))[0]
            demos.append(Step(1, episode, Observation(scene[0]), action))
            demos.append(Step(2, episode, Observation(scene[1]), action * 0, truncated=True))
        losses = []
        policy = clone_behaviour(demos, quick, 'cpu', lambda *progress: losses.append(progress[-1]))
    assert losses[-1] < 1e-3
    path = tmp_path / 'policy.safetensors'
    policy.save(path)
    warm_up = WarmUp(specs, path, noise=0.0, seed=0)
    for scene in scenes:
        heading = scene[0, NAMES.index('ee.yaw')]
        went = warm_up.act(Observation(scene[0]), scene[0])
        np.testing.assert_allclose(
            went[:2], 0.5 * STEP_M * np.array([math.cos(heading), math.sin(heading)]), atol=0.1 * STEP_M
        )
    # A policy that the learner goes on from, which acts as it is, in the same frame.
    there = Observation(scenes[1][1])
    sampled = WarmUp(specs, path, noise=0.0, seed=4, sampled=True).act(there, scenes[0][0])
    generator = torch.Generator().manual_seed(4)
    np.testing.assert_array_equal(sampled, policy.act(there, False, generator, scenes[0][0])[0])


@pytest.mark.parametrize(
    ('setting', 'needed'),
    [
        ('action.frame=tool', 'action.space: ee_delta and action.frame: base'),
        ('action.space=joint_delta', 'action.space: ee_delta and action.frame: base'),
        ('observation.state=[ee.x, ee.y]', 'needs ee.z in observation.state'),
        ('observation.state=[ee.x, ee.y, ee.z, task.cube.x]', 'task.cube.x comes without task.cube.y'),
    ],
)
def test_a_configuration_without_what_it_needs_is_refused(setting, needed):
    with pytest.raises(UserError, match=needed) as refused:
        load_config(LIFT, [*SETTINGS, setting])
    assert '\n' not in str(refused.value)
