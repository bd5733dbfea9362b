"""Bags of other software: every stream sampled at a control rate, with known signals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bag_data import foreign_mcap, from_bag, header, joint_state, message, picture, vector3

from hybrid_rl_ros.data.exchange.dataset import import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.errors import UserError

FORCE = '/ft/wrench:wrench.force.x'
MAPPING: dict[str, Any] = {
    'state': {'elbow': '/joint_states:elbow.position', 'force': FORCE},
    'action': {'forward': '/servo/cmd:twist.linear.x'},
    'cameras': {'front': '/camera/image'},
    'success': 'all',
    'bag': {'rate_hz': 10, 'max_age_s': 0.25},
}
BEGIN_S, END_S = 100.0, 102.0


def times(rate_hz: float, begin_s: float = BEGIN_S, end_s: float = END_S) -> list[float]:
    return [begin_s + number / rate_hz for number in range(round((end_s - begin_s) * rate_hz) + 1)]


def write_arm(write: Any, silence: tuple[float, float] = (0, 0), end_s: float = END_S) -> None:
    """Joints at 100 Hz, a force at 50, commands at 20 and pictures at 8; each says its own time since the beginning.

    The force sensor is silent in `silence`. One topic after the other: the file is in no order of time.
    """
    for at in times(100, end_s=end_s):
        write('/joint_states', 'sensor_msgs/msg/JointState', joint_state(['wrist', 'elbow'], [9, at - BEGIN_S]), at)
    for at in times(50, end_s=end_s):
        if not silence[0] < at < silence[1]:
            wrench = message('geometry_msgs/msg/Wrench', vector3(10 * (at - BEGIN_S), 0, 0), vector3(0, 0, 0))
            write('/ft/wrench', 'geometry_msgs/msg/WrenchStamped', stamped('WrenchStamped', wrench), at)
    for at in times(20, end_s=end_s):
        twist = message('geometry_msgs/msg/Twist', vector3(at - BEGIN_S, 0, 0), vector3(0, 0, 0))
        write('/servo/cmd', 'geometry_msgs/msg/TwistStamped', stamped('TwistStamped', twist), at)
    for number, at in enumerate(times(8, end_s=end_s)):
        write('/camera/image', 'sensor_msgs/msg/Image', picture(number), at)


def stamped(name: str, value: Any) -> Any:
    return message(f'geometry_msgs/msg/{name}', header(), value)


@pytest.fixture
def arm_bag(tmp_path) -> Path:
    with foreign_mcap(tmp_path / 'arm.mcap') as write:
        write_arm(write)
    return tmp_path / 'arm.mcap'


def test_each_tick_has_the_newest_of_every_stream(tmp_path, arm_bag):
    steps = from_bag(arm_bag, tmp_path / 'store', **MAPPING)
    ticks = np.arange(21) / 10
    assert [each.stamp_ns for each in steps] == [round((BEGIN_S + tick) * 1e9) for tick in ticks]
    states = np.array([each.observation.state for each in steps])
    assert np.allclose(states, np.stack([ticks, 10 * ticks], axis=1), atol=1e-5)
    newest_picture = np.floor(ticks * 8 + 1e-9)
    assert [each.observation.images['front'][0, 0, 0] for each in steps] == newest_picture.tolist()
    assert np.allclose([each.action[0] for each in steps[:-1]], ticks[:-1], atol=1e-5)
    assert steps[-1].terminal and steps[-1].reward == 1.0 and steps[-1].action[0] == 0.0
    assert not any(each.terminal or each.truncated or each.reward for each in steps[:-1])
    assert {each.episode for each in steps} == {0}


def test_without_success_an_episode_is_cut_off_and_earns_nothing(tmp_path, arm_bag):
    steps = from_bag(arm_bag, tmp_path / 'store', **{**MAPPING, 'success': 'none'})
    assert steps[-1].truncated and not steps[-1].terminal and steps[-1].reward == 0.0


def test_a_gap_ends_the_segment_and_nothing_is_paired_across_it(tmp_path):
    with foreign_mcap(tmp_path / 'gap.mcap') as write:
        write_arm(write, silence=(BEGIN_S + 0.5, BEGIN_S + 1.21))
    with import_dataset(
        tmp_path / 'gap.mcap', tmp_path / 's', 'rosbag', None, Mapping.model_validate(MAPPING), lambda *_: None
    ) as store:
        # The last force before the gap is of 0.5 s and good until 0.75; the next is of 1.22.
        rows = store.rows()
        ticks = [round((stamp * 1e-9 - BEGIN_S) * 10) for stamp in store.stamps(rows)]
        assert ticks == [0, 1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 16, 17, 18, 19, 20]
        assert [summary.steps for summary in store.episodes()] == [8, 8]
        assert store.transitions == 14
        first, second = store.episodes()
        assert not first.terminal and not first.truncated and second.terminal


@pytest.mark.parametrize('kind', ['flag', 'number'])
def test_a_topic_says_which_episode_it_is(tmp_path, kind):
    type_name = 'std_msgs/msg/Bool' if kind == 'flag' else 'std_msgs/msg/Int32'
    said = [(0.05, True), (0.55, False), (1.05, True), (1.65, False)]
    with foreign_mcap(tmp_path / 'episodes.mcap') as write:
        write_arm(write)
        for at, value in said:
            number = value if kind == 'flag' else int(at * 10) if value else -1
            write('/recording', type_name, message(type_name, number), BEGIN_S + at)
    mapping = {**MAPPING, 'bag': {**MAPPING['bag'], 'episode': '/recording:data'}}
    steps = from_bag(tmp_path / 'episodes.mcap', tmp_path / 'store', **mapping)
    ticks = [round((each.stamp_ns * 1e-9 - BEGIN_S) * 10) for each in steps]
    assert ticks == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16]
    assert [each.episode for each in steps] == [0] * 5 + [1] * 6
    assert [tick for tick, each in zip(ticks, steps) if each.terminal] == [5, 16]


def test_a_folder_of_bags_is_an_episode_each(tmp_path):
    (tmp_path / 'bags').mkdir()
    for name in ('episode_10', 'episode_9'):
        with foreign_mcap(tmp_path / 'bags' / f'{name}.mcap') as write:
            write_arm(write, end_s=BEGIN_S + (1.0 if name == 'episode_9' else 0.5))
    steps = from_bag(tmp_path / 'bags', tmp_path / 'store', **MAPPING)
    assert [each.episode for each in steps] == [0] * 11 + [1] * 6
    assert [number for number, each in enumerate(steps) if each.terminal] == [10, 16]


def test_pictures_come_compressed_in_any_encoding_and_are_resized_as_live(tmp_path):
    large = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    png = cv2.imencode('.png', cv2.cvtColor(large, cv2.COLOR_RGB2BGR))[1].ravel()
    with foreign_mcap(tmp_path / 'b.mcap') as write:
        for at in times(10, end_s=BEGIN_S + 0.5):
            write('/joint_states', 'sensor_msgs/msg/JointState', joint_state(['elbow'], [0.5]), at)
            compressed = message('sensor_msgs/msg/CompressedImage', header(), 'png', png)
            write('/packed', 'sensor_msgs/msg/CompressedImage', compressed, at)
            bgr = message('sensor_msgs/msg/Image', header(), 16, 16, 'bgr8', 0, 48, large[:, :, ::-1].ravel())
            write('/bgr', 'sensor_msgs/msg/Image', bgr, at)
    mapping = {
        'state': {'elbow': '/joint_states:elbow.position'},
        'action': {'elbow': '/joint_states:elbow.position'},
        'cameras': {'packed': '/packed', 'bgr': '/bgr'},
        'success': 'none',
        'bag': {'rate_hz': 10},
    }
    step = from_bag(tmp_path / 'b.mcap', tmp_path / 'store', **mapping)[0]
    assert np.array_equal(step.observation.images['packed'], large)
    assert np.array_equal(step.observation.images['bgr'], large)

    vector = VectorSpec(dimensions=(Dimension(name='elbow', unit='rad', low=-1, high=1),))
    images = tuple(ImageSpec(camera=camera, height=8, width=8) for camera in ('packed', 'bgr'))
    specs = Specs(
        observation=ObservationSpec(state=vector, images=images), action=ActionSpec(dimensions=vector.dimensions)
    )
    small = from_bag(tmp_path / 'b.mcap', tmp_path / 'small', specs, **mapping)[0]
    expected = cv2.resize(large, (8, 8), interpolation=cv2.INTER_AREA)
    assert np.array_equal(small.observation.images['packed'], expected)


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        ({'success': None}, 'does not say how an episode ended; say in the mapping `success: all` or `success: none`'),
        ({'units': {'elbo': 'deg->rad'}}, "mapping: units 'elbo' is not there; the nearest is 'elbow'"),
        ({'quaternions': {'q': 'xyzw'}}, 'mapping: quaternions: bags have no such thing'),
        ({'action': {}}, 'the mapping names no action'),
        ({'bag': {}}, 'sampling a bag needs bag.rate_hz in the mapping'),
        ({'state': {'elbow': '/joint_state:elbow.position'}}, 'no topic /joint_state; the nearest is /joint_states'),
        (
            {'state': {'elbow': '/joint_states:elbo.position'}},
            "/joint_states: no number 'elbo.position' in a message; the nearest is elbow.position",
        ),
        ({'state': {'elbow': 'joint_states.elbow'}}, "state.elbow: 'joint_states.elbow': expected /topic:field"),
        ({'state': {'name': '/joint_states:header.frame_id'}}, "no number 'header.frame_id'"),
        ({'cameras': {'front': '/joint_states'}}, 'is a sensor_msgs/msg/JointState, expected sensor_msgs/msg/Image'),
        ({'cameras': {'front': '/camera/imag'}}, 'no topic /camera/imag; the nearest is /camera/image'),
    ],
)
def test_a_mapping_that_does_not_fit_is_one_line(tmp_path, arm_bag, change, complaint):
    with pytest.raises(UserError) as caught:
        from_bag(arm_bag, tmp_path / 'store', **{**MAPPING, **change})
    assert complaint in str(caught.value)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'store').exists()


def test_what_the_configuration_wants_and_the_mapping_does_not_name_is_named(tmp_path, arm_bag):
    dimensions = (
        Dimension(name='force', unit='N', low=-1, high=1),
        Dimension(name='wrist', unit='rad', low=-1, high=1),
    )
    specs = Specs(
        observation=ObservationSpec(state=VectorSpec(dimensions=dimensions)),
        action=ActionSpec(dimensions=(Dimension(name='forward', unit='m/s', low=-1, high=1),)),
    )
    with pytest.raises(UserError, match="state 'wrist' is not there; the nearest is"):
        from_bag(arm_bag, tmp_path / 'store', specs, **{**MAPPING, 'state': {'force': FORCE}})


def test_a_number_that_is_not_finite_is_named(tmp_path):
    with foreign_mcap(tmp_path / 'nan.mcap') as write:
        for at in times(10):
            write('/joint_states', 'sensor_msgs/msg/JointState', joint_state(['elbow'], [np.nan]), at)
    mapping = {key: {'elbow': '/joint_states:elbow.position'} for key in ('state', 'action')}
    with pytest.raises(UserError, match="'elbow.position' is nan, expected a finite number"):
        from_bag(tmp_path / 'nan.mcap', tmp_path / 'store', **mapping, success='none', bag={'rate_hz': 10})


def test_units_are_converted_and_normalised_actions_scaled(tmp_path, arm_bag):
    mapping = {**MAPPING, 'units': {'elbow': 'deg->rad'}, 'cameras': {}}
    steps = from_bag(arm_bag, tmp_path / 'rad', **mapping)
    ticks = np.arange(21) / 10
    assert np.allclose([each.observation.state[0] for each in steps], np.deg2rad(ticks), atol=1e-6)

    def dimension(name: str, unit: str, high: float) -> Dimension:
        return Dimension(name=name, unit=unit, low=-high, high=high)

    specs = Specs(
        observation=ObservationSpec(
            state=VectorSpec(dimensions=(dimension('force', 'N', 30.0), dimension('elbow', 'rad', 3.0)))
        ),
        action=ActionSpec(dimensions=(dimension('forward', 'm/s', 0.5),)),
    )
    with pytest.raises(UserError, match="row 11: action 'forward' is 1.1, expected -1 to 1"):
        from_bag(arm_bag, tmp_path / 'out', specs, **mapping, action_scale='normalised')
    with foreign_mcap(tmp_path / 'short.mcap') as write:
        write_arm(write, end_s=BEGIN_S + 0.5)
    scaled = from_bag(tmp_path / 'short.mcap', tmp_path / 'scaled', specs, **mapping, action_scale='normalised')
    assert np.allclose([each.action[0] for each in scaled[:-1]], 0.5 * ticks[:5], atol=1e-6)
    assert np.allclose([each.observation.state[0] for each in scaled], 10 * ticks[:6], atol=1e-5)
