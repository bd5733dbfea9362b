"""LeRobotDatasets v3.0 that other software wrote, and what ours looks like to it."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exchange_data import fill, ignore_progress, make_specs, psnr_db
from foreign_lerobot import CAMERA, FPS, LENGTHS, NAMES, SIZE, acted, joints, seen, write_lerobot, write_video

from hybrid_rl_ros.data.exchange.dataset import export_dataset, import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.errors import UserError


@pytest.fixture
def dataset(tmp_path):
    write_lerobot(tmp_path / 'theirs')
    return tmp_path / 'theirs'


def bring(dataset, specs=None, **mapping):
    return import_dataset(
        dataset, dataset.with_name('store'), 'lerobot', specs, Mapping.model_validate(mapping), ignore_progress
    )


def refused(dataset, specs=None, **mapping) -> str:
    with pytest.raises(UserError) as error:
        bring(dataset, specs, **mapping)
    assert not dataset.with_name('store').exists()
    assert '\n' not in str(error.value)
    return str(error.value)


def radian_specs() -> Specs:
    low, high = -math.pi, math.pi
    dimensions = tuple(Dimension(name=name, unit='rad', low=low, high=high) for name in ('joint.2', 'joint.1'))
    images = (ImageSpec(camera='top', height=16, width=20),)
    return Specs(
        observation=ObservationSpec(state=VectorSpec(dimensions=dimensions), images=images),
        action=ActionSpec(dimensions=dimensions),
    )


RENAMED = {'joint.1': 'shoulder.pos', 'joint.2': 'elbow.pos'}


def test_every_episode_of_every_file_is_read_under_its_own_names(dataset):
    store = bring(dataset)
    assert store.specs.observation.state.names == store.specs.action.names == NAMES
    assert [(image.camera, image.height, image.width) for image in store.specs.observation.images] == [('top', *SIZE)]
    for number, length in enumerate(LENGTHS):
        rows = store.episode_rows(number)
        np.testing.assert_array_equal(store.states(rows)[:length], joints(number)[: len(rows)])
        np.testing.assert_array_equal(store.actions(rows[:-1]), acted(number)[: len(rows) - 1])
        # Half the colour resolution leaves less than our own export does; a frame off would leave 20 dB.
        assert psnr_db(store.frames(rows)['top'][:length], seen(number)[: len(rows)]) > 28


def test_done_is_a_true_end_and_the_last_row_of_others_is_arrived_at(dataset):
    summaries = bring(dataset).episodes()
    assert [summary.steps for summary in summaries] == [LENGTHS[0] + 1, LENGTHS[1], LENGTHS[2] + 1]
    assert [summary.terminal for summary in summaries] == [True, False, True]
    assert [summary.return_ for summary in summaries] == [1.0, 0.0, 1.0]


def test_stamps_rise_by_the_frame_rate_within_an_episode(dataset):
    store = bring(dataset)
    np.testing.assert_allclose(np.diff(store.stamps(store.episode_rows(2))), 1e9 / FPS, atol=1)


def test_without_done_the_mapping_has_to_say_how_episodes_ended(tmp_path):
    write_lerobot(tmp_path / 'theirs', done=False, reward=False)
    assert 'episode 0: the dataset does not say how an episode ended' in refused(tmp_path / 'theirs')
    store = bring(tmp_path / 'theirs', success='all')
    assert [summary.return_ for summary in store.episodes()] == [1.0] * 3


def test_images_inside_the_parquet_files_are_exact(tmp_path):
    write_lerobot(tmp_path / 'theirs', images=True)
    store = bring(tmp_path / 'theirs')
    np.testing.assert_array_equal(store.frames(store.episode_rows(1))['top'], seen(1))


def test_a_configuration_picks_orders_converts_and_resizes(dataset):
    units = {'joint.1': 'deg->rad', 'joint.2': 'deg->rad'}
    store = bring(dataset, radian_specs(), state=RENAMED, action=RENAMED, units=units)
    expected = np.deg2rad(joints(1)[:, ::-1].astype(np.float64))
    np.testing.assert_allclose(store.states(store.episode_rows(1)), expected, rtol=1e-6)
    assert store.frames(store.episode_rows(1))['top'].shape == (LENGTHS[1], 16, 20, 3)


def test_degrees_for_radians_are_named_with_their_mend(dataset):
    message = refused(dataset, radian_specs(), state=RENAMED, action=RENAMED)
    assert 'episode 0 row 0' in message and 'far outside [-3.14159, 3.14159] rad' in message
    assert 'deg->rad' in message


def test_a_missing_dimension_is_named_with_the_nearest(dataset):
    message = refused(dataset, radian_specs(), state={'joint.1': 'shoulder_pos'})
    assert "state 'shoulder_pos' is not there; the nearest is 'shoulder.pos'" in message


def test_another_software_sees_a_valid_dataset(tmp_path):
    """next.* of a frame belong to the frame after it; only a true end is done, with the frame arrived at."""
    with ReplayStore.create(tmp_path / 'store', make_specs(('front',)), 40) as store:
        fill(store)
        export_dataset(store.folder, tmp_path / 'ours', 'lerobot', ignore_progress)
        reward = store.records(store.episode_rows(3))['reward']
    info = json.loads((tmp_path / 'ours/meta/info.json').read_text())
    table = pq.read_table(tmp_path / 'ours/data/chunk-000/file-000.parquet')
    assert set(table.column_names) == {key for key, value in info['features'].items() if value['dtype'] != 'video'}
    assert (info['codebase_version'], info['fps'], info['total_frames']) == ('v3.0', 10, 16)
    assert table.column('next.done').to_pylist()[:9] == [False] * 3 + [True] * 2 + [False] * 4
    np.testing.assert_array_equal(table.column('next.reward').to_numpy()[:4], reward[1:])
    assert table.column('hybrid_rl.final').to_pylist().count(True) == 2
    assert table.schema.field('observation.state').type == pa.list_(pa.float32(), 2)


def test_statistics_are_those_of_the_columns(tmp_path):
    with ReplayStore.create(tmp_path / 'store', make_specs(('front',)), 40) as store:
        fill(store)
        export_dataset(store.folder, tmp_path / 'ours', 'lerobot', ignore_progress)
        rows = np.concatenate([store.episode_rows(number) for number in (3, 7, 11)])
        states, images = store.states(rows).astype(np.float64), store.frames(rows)['front'] / 255
    stats = json.loads((tmp_path / 'ours/meta/stats.json').read_text())
    for name, expected in {'min': states.min(0), 'mean': states.mean(0), 'std': states.std(0)}.items():
        np.testing.assert_allclose(stats['observation.state'][name], expected, rtol=1e-9)
    image = stats['observation.images.front']
    np.testing.assert_allclose(np.ravel(image['std']), images.std(axis=(0, 1, 2)), rtol=1e-9)
    assert np.shape(image['mean']) == (3, 1, 1)


def test_a_folder_without_info_is_refused(tmp_path):
    (tmp_path / 'theirs').mkdir()
    assert 'has no meta/info.json' in refused(tmp_path / 'theirs')


@pytest.mark.parametrize('version, mend', [('v2.1', 'convert_dataset_v21_to_v30'), ('v4.0', "expected 'v3.0'")])
def test_another_version_is_refused(tmp_path, version, mend):
    write_lerobot(tmp_path / 'theirs', codebase_version=version)
    message = refused(tmp_path / 'theirs')
    assert f"codebase_version is '{version}'" in message and mend in message


@pytest.mark.parametrize(
    'info',
    [
        {'features': {}},
        {'features': {'action': {}}},
        {'features': None},
        {'fps': 0},
        {'fps': 'fast'},
        {'data_path': 'data/{episode_chunk}'},
    ],
)
def test_an_info_that_makes_no_sense_is_refused(tmp_path, info):
    write_lerobot(tmp_path / 'theirs', **info)
    assert 'meta/info.json' in refused(tmp_path / 'theirs')


def test_info_that_is_no_json_is_refused(dataset):
    (dataset / 'meta/info.json').write_text('{"codebase_version": "v3.0",')
    assert 'meta/info.json: cannot be read' in refused(dataset)


@pytest.mark.parametrize(
    'name',
    [
        'data/chunk-001/file-000.parquet',
        'meta/episodes/chunk-000/file-001.parquet',
        f'videos/{CAMERA}/chunk-000/file-001.mp4',
    ],
)
def test_a_truncated_or_missing_file_is_refused(dataset, name):
    content = (dataset / name).read_bytes()
    (dataset / name).write_bytes(content[: len(content) // 2])
    assert f'{dataset / name}: cannot be read' in refused(dataset)
    (dataset / name).unlink()
    if not name.startswith('meta'):
        assert f'{dataset / name}: cannot be read: No such file or directory' in refused(dataset)


def test_a_video_shorter_than_its_index_is_refused(dataset):
    video = dataset / f'videos/{CAMERA}/chunk-000/file-001.mp4'
    write_video(video, seen(1))
    message = refused(dataset)
    assert f'{video}: has no frame at {LENGTHS[1] / FPS:.3f} s for {dataset}: episode 2 row 0' in message
    assert 'ends before that' in message


def test_a_video_of_another_size_is_refused(dataset):
    write_video(dataset / f'videos/{CAMERA}/chunk-000/file-000.mp4', seen(0)[:, :16])
    assert 'has shape (16, 40, 3), info.json says (32, 40, 3)' in refused(dataset)


def test_files_with_different_columns_are_refused(dataset):
    path = dataset / 'data/chunk-001/file-000.parquet'
    pq.write_table(pq.read_table(path).drop_columns('observation.state'), path)
    assert f"{path}: has no column 'observation.state', which info.json lists" in refused(dataset)


def test_a_vector_of_another_size_than_info_says_is_refused(dataset):
    path = dataset / 'data/chunk-001/file-000.parquet'
    table = pq.read_table(path)
    wide = pa.array([[0.0, 0.0, 0.0]] * len(table), pa.list_(pa.float32()))
    pq.write_table(table.set_column(0, 'observation.state', wide), path)
    assert "column 'observation.state': has [3] numbers a row, info.json says 2" in refused(dataset)


def test_rows_of_another_episode_are_refused(dataset):
    path = dataset / 'meta/episodes/chunk-000/file-001.parquet'
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, 'episode_index', pa.array([9])), path)
    assert 'are not those of' in refused(dataset)


@pytest.mark.parametrize('seed', range(4))
def test_any_damage_is_one_line_or_none(dataset, seed):
    """Bytes changed, zeroed or cut off anywhere: the libraries trip over nearly anything."""
    rng = np.random.default_rng(seed)
    files = sorted(path for path in dataset.rglob('*') if path.is_file())
    for _ in range(12):
        path = files[rng.integers(len(files))]
        whole = path.read_bytes()
        damaged, at = bytearray(whole), int(rng.integers(len(whole)))
        kind = rng.integers(3)
        damaged[at : at + 64] = (b'', bytes([rng.integers(256)]) + whole[at + 1 : at + 64], bytes(64))[kind]
        path.write_bytes(damaged)
        try:
            bring(dataset).close()
            shutil.rmtree(dataset.with_name('store'))
        except UserError as error:
            assert '\n' not in str(error)
            assert not dataset.with_name('store').exists()
        path.write_bytes(whole)
