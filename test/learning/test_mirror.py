"""Left and right exchanged: the numbers, images and actions of a transition together; and what has no mirror image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.base import Sampling
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.behaviour_cloning import clone_behaviour
from hybrid_rl_ros.learning.mirror import Mirror
from hybrid_rl_ros.learning.sampler import Source
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.factory import make_simulation

SIZE = 16


def vector(*dimensions: tuple[str, float, float]) -> tuple[Dimension, ...]:
    return tuple(Dimension(name=name, unit='m', low=low, high=high) for name, low, high in dimensions)


SPECS = Specs(
    observation=ObservationSpec(
        state=VectorSpec(dimensions=vector(('ee.x', 0.2, 0.6), ('ee.y', -0.1, 0.3), ('ee.yaw', -3, 3))),
        images=(ImageSpec(camera='front', height=SIZE, width=SIZE),),
    ),
    action=ActionSpec(dimensions=vector(('ee.dx', -0.02, 0.02), ('ee.dy', -0.02, 0.02), ('gripper', -1, 1))),
)


def make_config(**settings) -> Config:
    sizes = {'sac': {'hidden': [16, 16]}, 'bc': {'updates': 300, 'batch': 64, 'hidden': [32, 32]}, 'seed': 0}
    return Config.model_validate({'symmetry': 'left_right', **sizes, **settings})


def make_step(number: int, last: bool = False) -> Step:
    """All of it says in which step it was, and the image's columns differ."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:, :, 0], image[:, :, 1] = number, np.arange(SIZE) * 10
    state = np.array([0.4, 0.01 * number, 0.1 * number], np.float32)
    action = np.array([0.01, 0.001 * number, 1.0], np.float32)
    return Step(number + 1, 0, Observation(state, {'front': image}), action, float(number), truncated=last)


@pytest.fixture
def store(tmp_path):
    with ReplayStore.create(tmp_path / 'store', SPECS, 30) as store:
        for number in range(20):
            store.append(make_step(number, last=number == 19))
        yield store


def test_what_points_to_the_side_changes_its_sign_in_physical_units():
    """Also where the bounds are not the same to both sides: y = 0.05 m of [-0.1, 0.3] becomes -0.05 m."""
    mirror, state = Mirror(SPECS, make_config()), SPECS.observation.state
    states = state.normalise(np.array([[0.5, 0.05, 1.0], [0.5, 0.05, 1.0]]))
    found = state.denormalise(mirror.states(states, np.array([True, False])))
    assert found == pytest.approx(np.array([[0.5, -0.05, -1.0], [0.5, 0.05, 1.0]]), abs=1e-6)
    twice = mirror.states(mirror.states(states, np.array([True, True])), np.array([True, True]))
    assert twice == pytest.approx(states, abs=1e-6)


def test_states_and_actions_side_by_side_are_mirrored_each():
    mirror, which = Mirror(SPECS, make_config()), np.array([True])
    state = np.array([[0.1, 0.2, 0.3]], np.float32)
    assert np.array_equal(mirror.states(np.tile(state, 3), which), np.tile(mirror.states(state, which), 3))
    assert mirror.actions(np.array([[0.1, 0.2, 1.0, 0.3, -0.4, -1.0]]), which) == pytest.approx(
        np.array([[0.1, -0.2, 1.0, 0.3, 0.4, -1.0]])
    )


@pytest.mark.parametrize('mode', ['end_to_end', 'frozen'])
def test_all_of_a_transition_is_mirrored_together_or_not_at_all(store, mode):
    config = make_config(encoder={'mode': mode, 'features': 8, 'random_shift_px': 0})
    agent = SacAgent(SPECS, config, 'cpu')
    source = Source(store, agent.encoders, config, Sampling())
    source.cache.catch_up(store.sequence)
    rows = store.sample_rows(200, np.random.default_rng(1))
    parts = source.parts(rows, np.random.default_rng(0))
    signs = np.sign(SPECS.action.denormalise(parts['action'])[:, 1] * store.actions(rows)[:, 1])
    assert 70 < (signs < 0).sum() < 130
    for name, following in (('', 0), ('next_', 1)):
        numbers = store.sequence_at(rows) + following
        sides = np.where(store.sequence_at(rows) == 0, 1, signs)
        states = SPECS.observation.state.denormalise(parts[f'{name}state'])
        known = store.sequence_at(rows) > 0  # step 0 lies in the mirror's plane
        assert states[known, 1] == pytest.approx((sides * 0.01 * numbers)[known], abs=1e-6)
        images = store.frames(store.row_of(numbers))['front']
        images[signs < 0] = images[signs < 0][:, :, ::-1]
        if mode == 'frozen':
            with torch.no_grad():
                images = agent.encoders.trunks({'front': torch.from_numpy(images)})['front'].numpy()
        assert parts[f'{name}views/front'][known] == pytest.approx(images[known], abs=1e-6)
    assert np.array_equal(parts['reward'], store.rewards(rows))


def test_shifted_copies_of_a_mirrored_frame_are_of_its_mirror_image(store):
    config = make_config(encoder={'features': 8, 'random_shift_px': 2, 'cached_shifts': 3})
    agent = SacAgent(SPECS, config, 'cpu')
    cache = Source(store, agent.encoders, config, Sampling()).cache
    cache.catch_up(store.sequence)
    row = np.array([5])
    kept = {
        mirrored: {
            cache.views(row, np.random.default_rng(seed), np.array([mirrored]))['front'].tobytes() for seed in range(60)
        }
        for mirrored in (False, True)
    }
    assert 2 <= len(kept[False]) <= 4 and 2 <= len(kept[True]) <= 4
    assert not kept[False] & kept[True]


def test_without_a_symmetry_nothing_is_drawn_and_nothing_changes(store):
    config = make_config(symmetry='none', encoder={'mode': 'end_to_end', 'features': 8, 'random_shift_px': 0})
    source = Source(store, SacAgent(SPECS, config, 'cpu').encoders, config, Sampling())
    source.cache.catch_up(store.sequence)
    rng, rows = np.random.default_rng(0), store.valid_rows()
    parts = source.parts(rows, rng)
    assert np.array_equal(parts['views/front'], store.frames(rows)['front'])
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_a_clone_of_what_was_shown_on_one_side_alone_acts_on_the_other(tmp_path):
    """Demonstrations go right by as much as the tool is to the left, in scenes on the left alone."""
    specs = SPECS.model_copy(update={'observation': SPECS.observation.model_copy(update={'images': ()})})
    rng = np.random.default_rng(0)
    with ReplayStore.create(tmp_path / 'demos', specs, 200) as demos:
        for number in range(200):
            y = rng.uniform(0.02, 0.1)
            observation = Observation(np.array([0.4, y, 0.0], np.float32))
            action = np.array([0.0, -0.2 * y, 0.0], np.float32)
            demos.append(Step(number + 1, number // 20, observation, action, 0.0, truncated=number % 20 == 19))
        learned, unaware = (
            clone_behaviour(demos, make_config(symmetry=symmetry), 'cpu', lambda *_: None)
            for symmetry in ('left_right', 'none')
        )
    there = Observation(np.array([0.4, -0.08, 0.0], np.float32))
    assert learned.act(there)[0, 1] == pytest.approx(0.016, abs=0.003)
    assert unaware.act(there)[0, 1] < 0.01


@pytest.mark.parametrize(
    'specs, complaint',
    [
        (
            SPECS.model_copy(
                update={'observation': ObservationSpec(state=VectorSpec(dimensions=vector(('joint1.position', -3, 3))))}
            ),
            'observation.state has joint1.position, whose mirror image is not known',
        ),
        (
            SPECS.model_copy(update={'action': ActionSpec(dimensions=vector(('ee.dy', -0.02, 0.03)))}),
            'the bounds of action ee.dy are not the same to both sides',
        ),
    ],
)
def test_a_number_without_a_mirror_image_is_named(specs, complaint):
    with pytest.raises(UserError, match=complaint):
        Mirror(specs, make_config())


@pytest.mark.parametrize(
    'settings, complaint',
    [
        ({'action': {'space': 'joint_delta'}}, 'symmetry: left_right needs action.space: ee_delta'),
        ({'agent': 'dsrl'}, 'symmetry: left_right is not for agent: dsrl'),
    ],
)
def test_a_configuration_that_cannot_be_mirrored_is_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        make_config(**settings)


def test_the_simulated_rig_is_its_own_mirror_image():
    """A scene of push, and the same with left and right exchanged: both cameras' pictures are mirrored."""
    seen = []
    for side in (1.0, -1.0):
        sim = {'placed': {'cube': [0.45, 0.08 * side], 'goal': [0.5, -0.06 * side]}}
        cameras = {'cameras': {'front': {}, 'wrist': {}}}
        config = Config.model_validate(
            {'task': 'push', 'action': {'gripper': False}, 'sim': sim, 'observation': cameras}
        )
        simulation = make_simulation(config, load_robot('sim_arm'), 1)
        simulation.reset(0)
        seen.append([_middle_of(simulation.render('front'), colour) for colour in (0, 1)])
        simulation.close()
    assert np.abs(np.array(seen).sum(0)).max() < 1.0, 'columns from the middle'
    assert np.abs(np.array(seen)).min() > 3.0, 'otherwise this tests nothing'


def _middle_of(picture: np.ndarray, colour: int) -> float:
    """In columns from the picture's middle, of what is red (0) or green (1)."""
    own, others = picture[..., colour].astype(int), np.delete(picture, colour, axis=-1).astype(int)
    columns = np.nonzero((own > 90) & (own > 2 * others.max(-1)))[1]
    return float(columns.mean() - (picture.shape[1] - 1) / 2)
