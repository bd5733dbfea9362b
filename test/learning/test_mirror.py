"""Left and right exchanged: what is drawn of a store, mirrored, is what is drawn of its mirrored twin."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.learning.agents.base import Sampling
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.behaviour_cloning import clone_behaviour
from hybrid_rl_ros.learning.mirror import Mirror
from hybrid_rl_ros.learning.sampler import Parts, Source

HEIGHT, WIDTH = 16, 20
STATE = {
    'ee.x': (0.3, 0.6, 1),
    'ee.y': (-0.1, 0.3, -1),
    'ee.z': (0.0, 0.4, 1),
    'ee.yaw': (-np.pi, np.pi, -1),
    'ee.vx': (-0.2, 0.2, 1),
    'ee.vy': (-0.2, 0.2, -1),
    'gripper.opening': (0.0, 1.0, 1),
    'task.cube.x': (0.3, 0.6, 1),
    'task.cube.y': (-0.1, 0.3, -1),
}
ACTION = {
    **{f'ee.d{axis}': (-0.02, 0.02, sign) for axis, sign in zip('xyz', (1, -1, 1))},
    **{f'ee.dr{axis}': (-0.1, 0.1, sign) for axis, sign in zip('xyz', (-1, 1, -1))},
    'gripper': (-1.0, 1.0, 1),
}


def vector(numbers: dict[str, tuple[float, float, int]]) -> tuple[Dimension, ...]:
    return tuple(Dimension(name=name, unit='m', low=low, high=high) for name, (low, high, _) in numbers.items())


SPECS = Specs(
    observation=ObservationSpec(
        state=VectorSpec(dimensions=vector(STATE)), images=(ImageSpec(camera='front', height=HEIGHT, width=WIDTH),)
    ),
    action=ActionSpec(dimensions=vector(ACTION)),
)


def make_config(symmetry: str = 'left_right', relative: bool = False, **encoder) -> Config:
    names = list(STATE)
    return Config.model_validate(
        {
            'symmetry': symmetry,
            'sac': {'hidden': [16, 16], 'relative_frame': relative},
            'bc': {'updates': 300, 'batch': 64, 'hidden': [32, 32]},
            'observation': {'state': names[:7], 'critic_only': names[7:], 'cameras': {'front': {}}},
            'encoder': {'features': 8, 'random_shift_px': 0, **encoder},
            'seed': 0,
        }
    )


def fill(folder, mirrored: bool) -> ReplayStore:
    """Steps of six episodes, or of the same before a mirror."""
    rng, store = np.random.default_rng(0), ReplayStore.create(folder, SPECS, 150)
    state_signs, action_signs = (np.array([n[2] for n in numbers.values()]) for numbers in (STATE, ACTION))
    for number in range(120):
        state = rng.uniform(SPECS.observation.state.low, SPECS.observation.state.high)
        action = rng.uniform(SPECS.action.low, SPECS.action.high)
        image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        if mirrored:
            state, action, image = state * state_signs, action * action_signs, image[:, ::-1].copy()
        observation = Observation(state.astype(np.float32), {'front': image})
        last = number % 20 == 19
        store.append(
            Step(number + 1, number // 20, observation, action.astype(np.float32), float(number % 7), truncated=last)
        )
    return store


@pytest.fixture
def twins(tmp_path):
    with fill(tmp_path / 'one', mirrored=False) as one, fill(tmp_path / 'other', mirrored=True) as other:
        yield one, other


@pytest.mark.parametrize('relative', [False, True])
@pytest.mark.parametrize('mode', ['end_to_end', 'frozen'])
def test_a_mirrored_transition_is_that_of_a_mirrored_rig(twins, mode, relative, monkeypatch):
    """States, histories of them, chunks of actions, sums of rewards and images, on either side of what comes next."""
    agent = SacAgent(SPECS, make_config(relative=relative, mode=mode), 'cpu')
    sampling = Sampling(n_step=3, discount=0.9, chunk=2, observations=2)
    monkeypatch.setattr(Mirror, 'draw', lambda mirror, count, _: np.ones(count, bool) if mirror._symmetric else None)
    drawn: list[Parts] = []
    for store, symmetry in zip(twins, ('left_right', 'none')):
        source = Source(store, agent.encoders, make_config(symmetry, relative, mode=mode), sampling)
        source.cache.catch_up(store.sequence)
        rows = store.sample_rows(64, np.random.default_rng(1))
        drawn.append(source.parts(rows, np.random.default_rng(2)))
    mirrored, known = drawn
    assert mirrored.keys() == known.keys() >= {'state', 'action', 'next_state', 'views/front', 'next_views/front'}
    for name in known:
        apart = np.abs(mirrored[name].astype(float) - known[name].astype(float))
        if name.endswith('state'):
            yaw = [column for column in range(apart.shape[1]) if column % len(STATE) == list(STATE).index('ee.yaw')]
            apart[:, yaw] = np.minimum(apart[:, yaw], 2.0 - apart[:, yaw])  # a turn is 2 of what is normalised
        assert apart.max() < 1e-5, name


def test_about_half_of_what_is_drawn_is_mirrored_and_all_of_it_together(twins):
    agent = SacAgent(SPECS, make_config(mode='end_to_end'), 'cpu')
    one, other = (Source(store, agent.encoders, make_config(mode='end_to_end'), Sampling()) for store in twins)
    for source in (one, other):
        source.cache.catch_up(source.store.sequence)
    rows, frames = one.store.sample_rows(200, np.random.default_rng(1)), twins[0].frames
    parts, twin = (source.parts(rows, np.random.default_rng(0)) for source in (one, other))
    plain = {'action': one.cache.actions(rows), 'state': one.cache.states(rows), 'views/front': frames(rows)['front']}
    changed = {name: (parts[name] != plain[name]).reshape(200, -1).any(1) for name in plain}
    assert 70 < changed['action'].sum() < 130
    assert np.array_equal(changed['action'], changed['state'])
    assert np.array_equal(changed['action'], changed['views/front'])
    assert np.allclose(parts['reward'], one.store.rewards(rows)) and np.allclose(parts['reward'], twin['reward'])


def test_shifted_copies_of_a_mirrored_frame_are_of_its_mirror_image(twins):
    config = make_config(random_shift_px=2, cached_shifts=3)
    agent = SacAgent(SPECS, config, 'cpu')
    cache = Source(twins[0], agent.encoders, config, Sampling()).cache
    cache.catch_up(twins[0].sequence)
    row, kept = np.array([5]), []
    for mirrored in (False, True):
        rngs = [np.random.default_rng(seed) for seed in range(60)]
        kept.append({cache.views(row, rng, np.array([mirrored]))['front'].tobytes() for rng in rngs})
    assert len(kept[0]) > 1 and len(kept[1]) > 1
    assert not kept[0] & kept[1]


def test_without_a_symmetry_nothing_is_drawn_and_nothing_changes(twins):
    store, config = twins[0], make_config('none', mode='end_to_end')
    source = Source(store, SacAgent(SPECS, config, 'cpu').encoders, config, Sampling())
    source.cache.catch_up(store.sequence)
    rng, rows = np.random.default_rng(0), store.valid_rows()
    assert np.array_equal(source.parts(rows, rng)['views/front'], store.frames(rows)['front'])
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_a_clone_of_what_was_shown_on_one_side_alone_acts_on_the_other(tmp_path):
    """Demonstrations go right by a fifth of how far left the tool is, which it always was."""
    numbers = {name: STATE[name] for name in ('ee.x', 'ee.y')}
    specs = Specs(
        observation=ObservationSpec(state=VectorSpec(dimensions=vector(numbers))),
        action=ActionSpec(dimensions=vector({'ee.dy': ACTION['ee.dy']})),
    )
    settings = {'observation': {'state': list(numbers)}, 'bc': {'updates': 300, 'batch': 64, 'hidden': [32, 32]}}
    rng = np.random.default_rng(0)
    with ReplayStore.create(tmp_path / 'demos', specs, 200) as demos:
        for number in range(200):
            y = rng.uniform(0.02, 0.1)
            observation = Observation(np.array([0.4, y], np.float32))
            action = np.array([-0.2 * y], np.float32)
            demos.append(Step(number + 1, number // 20, observation, action, 0.0, truncated=number % 20 == 19))
        learned, unaware = (
            clone_behaviour(demos, Config.model_validate({**settings, 'symmetry': it}), 'cpu', lambda *_: None)
            for it in ('left_right', 'none')
        )
    there = Observation(np.array([0.4, -0.08], np.float32))
    assert learned.act(there)[0, 0] == pytest.approx(0.016, abs=0.003)
    assert unaware.act(there)[0, 0] < 0.01


def test_what_learns_from_images_alone_sees_windows_of_them_mirrored_as_wholes():
    mirror, which = Mirror(SPECS, make_config()), np.array([True, False])
    windows = np.random.default_rng(0).integers(0, 255, (2, 5, HEIGHT, WIDTH, 3), np.uint8)
    found = mirror.images({'front': windows.copy()}, which)['front']
    assert np.array_equal(found[0], windows[0, :, :, ::-1])
    assert np.array_equal(found[1], windows[1])


@pytest.mark.parametrize(
    'settings, complaint',
    [
        ({'action': {'space': 'joint_delta'}}, 'symmetry: left_right needs action.space: ee_delta'),
        ({'agent': 'dsrl'}, 'symmetry: left_right is not for agent: dsrl'),
    ],
)
def test_a_configuration_that_cannot_be_mirrored_is_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        Config.model_validate({'symmetry': 'left_right', **settings})
