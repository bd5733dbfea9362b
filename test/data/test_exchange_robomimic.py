"""HDF5 files that other software wrote as robomimic documents them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from exchange_data import ignore_progress
from foreign_hdf5 import ROWS, acted, observed, write_robomimic

from hybrid_rl_ros.data.exchange.dataset import import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.errors import UserError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'low_dim.hdf5'
    write_robomimic(path)
    return path


def bring(file, specs=None, **mapping):
    return import_dataset(
        file, file.with_name('store'), 'robomimic', specs, Mapping.model_validate(mapping), ignore_progress
    )


def refused(file, specs=None, **mapping) -> str:
    with pytest.raises(UserError) as error:
        bring(file, specs, **mapping)
    assert not file.with_name('store').exists()
    assert '\n' not in str(error.value)
    return str(error.value)


def arm_specs(unit: str = 'm', low: float = 0.3, high: float = 0.6, size: int = 20) -> Specs:
    state = VectorSpec(
        dimensions=(
            Dimension(name='gripper', unit='m', low=0, high=0.04),
            Dimension(name='ee.x', unit=unit, low=low, high=high),
        )
    )
    action = ActionSpec(
        dimensions=(
            Dimension(name='ee.dx', unit='m', low=-0.025, high=0.025),
            Dimension(name='ee.dy', unit='m', low=0.0, high=0.05),
        )
    )
    images = (ImageSpec(camera='front', height=size, width=size),)
    return Specs(observation=ObservationSpec(state=state, images=images), action=action)


ARM = {
    'state': {'gripper': 'robot0_gripper_qpos_0', 'ee.x': 'robot0_eef_pos_0'},
    'action': {'ee.dx': 'action_0', 'ee.dy': 'action_1'},
    'cameras': {'front': 'agentview_image'},
    'action_scale': 'normalised',
}


def test_everything_is_taken_under_its_own_name_without_a_configuration(file):
    store = bring(file)
    names = store.specs.observation.state.names
    assert names[:4] == ['robot0_eef_pos_0', 'robot0_eef_pos_1', 'robot0_eef_pos_2', 'robot0_eef_quat_0']
    assert [image.camera for image in store.specs.observation.images] == ['agentview']
    assert {dimension.unit for dimension in store.specs.observation.state.dimensions} == {''}
    rows = store.episode_rows(0)
    expected = np.concatenate([observed(0)[key] for key in sorted(observed(0)) if key != 'agentview_image'], axis=1)
    np.testing.assert_array_equal(store.states(rows), expected.astype(np.float32))
    np.testing.assert_array_equal(store.actions(rows[:-1]), acted(0).astype(np.float32))
    np.testing.assert_array_equal(store.frames(rows)['agentview'], observed(0)['agentview_image'])


def test_bounds_are_the_extremes_found_and_a_constant_gets_room(file):
    dimensions = {d.name: d for d in bring(file).specs.observation.state.dimensions}
    heights = np.concatenate([observed(number)['robot0_eef_pos'][:, 2] for number in range(3)]).astype(np.float32)
    assert (dimensions['robot0_eef_pos_2'].low, dimensions['robot0_eef_pos_2'].high) == (heights.min(), heights.max())
    assert (dimensions['robot0_eef_quat_0'].low, dimensions['robot0_eef_quat_0'].high) == (-0.5, 0.5)


def test_dones_are_true_ends_and_the_rest_ran_out_of_time(file):
    summaries = bring(file).episodes()
    assert [summary.steps for summary in summaries] == [ROWS + 1] * 3
    assert [summary.terminal for summary in summaries] == [True, False, True]
    assert [summary.truncated for summary in summaries] == [False, True, False]
    assert [summary.return_ for summary in summaries] == [1.0, 0.0, 1.0]


def test_without_rewards_a_success_earns_one_at_its_end(tmp_path):
    write_robomimic(tmp_path / 'file.hdf5', rewards=False)
    store = bring(tmp_path / 'file.hdf5')
    assert store.records(store.episode_rows(0))['reward'].tolist() == [0.0] * ROWS + [1.0]
    assert not store.records(store.episode_rows(1))['reward'].any()


def test_without_dones_the_mapping_has_to_say_how_episodes_ended(tmp_path):
    write_robomimic(tmp_path / 'file.hdf5', dones=False, rewards=False)
    assert 'success: all' in refused(tmp_path / 'file.hdf5')
    assert all(summary.terminal for summary in bring(tmp_path / 'file.hdf5', success='all').episodes())


def test_success_none_makes_every_end_a_time_limit(file):
    assert all(summary.truncated for summary in bring(file, success='none').episodes())


def test_without_next_obs_a_success_ends_on_its_last_image_and_a_time_limit_drops_its_last_action(tmp_path):
    write_robomimic(tmp_path / 'file.hdf5', next_obs=False)
    store = bring(tmp_path / 'file.hdf5')
    assert [summary.steps for summary in store.episodes()] == [ROWS + 1, ROWS, ROWS + 1]
    success, limit = store.episode_rows(0), store.episode_rows(1)
    np.testing.assert_array_equal(*store.states(success[-2:]))
    np.testing.assert_array_equal(*store.frames(success[-2:])['agentview'])
    assert not store.actions(limit[-1:]).any() and store.actions(limit[:-1]).any(axis=1).all()


def test_an_episode_ends_at_its_first_done(file):
    with h5py.File(file, 'r+') as opened:
        opened['data/demo_0/dones'][2:] = 1
    store = bring(file)
    rows = store.episode_rows(0)
    assert len(rows) == 4
    np.testing.assert_array_equal(store.frames(rows)['agentview'], observed(0)['agentview_image'][:4])


def test_a_configuration_picks_orders_and_scales(file):
    specs = arm_specs()
    store = bring(file, specs, **ARM)
    assert store.specs == specs
    rows = store.episode_rows(1)
    expected = [observed(1)['robot0_gripper_qpos'][:, 0], observed(1)['robot0_eef_pos'][:, 0]]
    np.testing.assert_array_equal(store.states(rows), np.stack(expected, axis=1).astype(np.float32))
    low, high = specs.action.low.astype(np.float64), specs.action.high.astype(np.float64)
    np.testing.assert_allclose(store.actions(rows[:-1]), low + (acted(1) + 1) / 2 * (high - low), atol=1e-7)
    assert not store.actions(rows[-1:]).any()
    assert store.frames(rows)['front'].shape == (ROWS + 1, 20, 20, 3)


def test_units_are_converted_where_the_mapping_says_so(file):
    store = bring(file, arm_specs('mm', 300, 600), **ARM, units={'ee.x': 'm->mm'})
    expected = observed(0)['robot0_eef_pos'][:, 0] * 1000
    np.testing.assert_allclose(store.states(store.episode_rows(0))[:, 1], expected, rtol=1e-6)


def test_a_range_is_stretched_over_the_bounds_and_may_turn_a_sign_around(file):
    ranges = {'gripper': [0.0, 0.05], 'ee.dy': [1, -1]}
    specs = arm_specs()
    store = bring(file, specs, **ARM, ranges=ranges)
    rows = store.episode_rows(1)
    expected = observed(1)['robot0_gripper_qpos'][:, 0] / 0.05 * 0.04
    np.testing.assert_allclose(store.states(rows)[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(store.actions(rows[:-1])[:, 1], (1 - acted(1)[:, 1]) / 2 * 0.05, atol=1e-8)


@pytest.mark.parametrize(
    'mapping, complaint',
    [
        ({'ranges': {'gripper': [0, 1]}, 'units': {'gripper': 'mm->m'}}, "'gripper' has both units and ranges"),
        ({'ranges': {'grip': [0, 1]}}, "mapping: ranges 'grip' is not there; the nearest is 'gripper'"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(file, mapping, complaint):
    assert complaint in refused(file, arm_specs(), **ARM, **mapping)


def test_a_range_needs_the_bounds_of_a_configuration(file):
    assert 'needs the bounds of a configuration' in refused(file, ranges={'action_0': [0, 1]})


def test_an_action_outside_what_the_mapping_says_is_refused(file):
    with h5py.File(file, 'r+') as opened:
        opened['data/demo_1/actions'][2, 1] = 1.5
    assert "demo_1 row 2: action 'ee.dy' is 1.5, expected -1 to 1" in refused(file, arm_specs(), **ARM)


def test_a_quaternion_of_either_order_is_named_by_its_letters(file):
    store = bring(file, quaternions={'robot0_eef_quat': 'xyzw'})
    names = store.specs.observation.state.names
    state = store.states(store.episode_rows(0)[:1])[0]
    assert [state[names.index(f'robot0_eef_quat_{letter}')] for letter in 'wxyz'] == pytest.approx([0.8, 0, 0.6, 0])


def test_a_filter_key_takes_its_demos_alone(file):
    store = bring(file, filter_key='valid')
    np.testing.assert_array_equal(store.actions(store.episode_rows(0)[:-1]), acted(1).astype(np.float32))
    assert len(store.episodes()) == 2


def test_a_value_in_another_unit_is_named_with_its_mend(file):
    with h5py.File(file, 'r+') as opened:
        for demo in opened['data'].values():
            for group in ('obs', 'next_obs'):
                demo[f'{group}/robot0_eef_pos'][...] *= 1000
    message = refused(file, arm_specs(), **ARM)
    assert "demo_0 row 0: state 'ee.x'" in message and 'far outside [0.3, 0.6] m' in message
    assert 'units: {ee.x: mm->m}' in message


def test_normalised_actions_taken_for_physical_ones_are_named_with_their_mend(file):
    message = refused(file, arm_specs(), **{**ARM, 'action_scale': 'physical'})
    assert "action 'ee.dx'" in message and 'action_scale: normalised' in message


def test_a_missing_dimension_is_named_with_the_nearest(file):
    message = refused(file, arm_specs(), **{**ARM, 'state': {'gripper': 'robot0_gripper_qpos', 'ee.x': 'eef_pos_0'}})
    assert "'robot0_gripper_qpos' is not there; the nearest is 'robot0_gripper_qpos_" in message
    message = refused(file, arm_specs(), action_scale='normalised')
    assert "'gripper' is not there" in message and 'say in the mapping state' in message


def test_a_missing_camera_is_named_with_the_nearest(file):
    message = refused(file, arm_specs(), **{**ARM, 'cameras': {}})
    assert "'front' is not there; the nearest is 'agentview_image'" in message


def test_a_mapping_for_names_that_nobody_wants_is_a_mistake(file):
    message = refused(file, arm_specs(), **{**ARM, 'units': {'ee.xx': 'mm->m'}})
    assert "mapping: units 'ee.xx' is not there; the nearest is 'ee.x'" in message


def test_demos_that_are_made_differently_are_refused(file):
    with h5py.File(file, 'r+') as opened:
        del opened['data/demo_2/obs/robot0_eef_quat']
    assert "demo_2: obs 'robot0_eef_quat' is missing, unlike in demo_0" in refused(file)


def test_parts_of_different_length_are_refused(file):
    with h5py.File(file, 'r+') as opened:
        del opened['data/demo_1/obs/robot0_eef_pos']
        opened['data/demo_1/obs/robot0_eef_pos'] = np.zeros((ROWS - 2, 3))
    assert f'demo_1: obs/robot0_eef_pos has {ROWS - 2} rows, actions has {ROWS}' in refused(file)


def test_a_number_that_is_none_is_refused(file):
    with h5py.File(file, 'r+') as opened:
        opened['data/demo_1/obs/robot0_eef_pos'][3, 1] = np.nan
    assert "demo_1 row 3: state 'robot0_eef_pos_1' is nan" in refused(file)


def test_a_truncated_file_is_refused(file):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert f'{file}: cannot be read' in refused(file)


def test_a_file_of_another_kind_is_refused(file):
    file.write_text('not a dataset\n' * 100)
    assert refused(file) == f'{file}: is not an HDF5 file'


def test_hdf5_of_other_software_is_refused(file):
    with h5py.File(file, 'w') as opened:
        opened['observations'] = np.zeros(3)
    assert "has no group 'data'" in refused(file)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert 'No such file or directory' in refused(tmp_path / 'nothing.hdf5')
