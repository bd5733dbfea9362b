"""A store survives another format: numbers to the bit, images to the bit or to what a video keeps."""

from __future__ import annotations

import numpy as np
import pytest
from exchange_data import all_rows, assert_same_numbers, fill, ignore_progress, make_specs, psnr_db

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.exchange import lerobot
from hybrid_rl_ros.data.exchange.dataset import export_dataset, import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.factory import make_simulation

ROBOT = load_robot('sim_arm')


@pytest.fixture
def store(tmp_path):
    with ReplayStore.create(tmp_path / 'pick_up_the_cube', make_specs(), 40) as store:
        fill(store)
        yield store


def there_and_back(store, tmp_path, format_name):
    export_dataset(store.folder, tmp_path / 'foreign', format_name, ignore_progress)
    return import_dataset(tmp_path / 'foreign', tmp_path / 'back', format_name, None, Mapping(), ignore_progress)


@pytest.mark.parametrize('format_name', ['lerobot', 'robomimic'])
def test_every_number_survives_to_the_bit(store, tmp_path, format_name):
    assert_same_numbers(there_and_back(store, tmp_path, format_name), store)


def test_images_survive_hdf5_to_the_bit(store, tmp_path):
    back = there_and_back(store, tmp_path, 'robomimic')
    expected = store.frames(all_rows(store))
    for camera, frames in back.frames(all_rows(back)).items():
        np.testing.assert_array_equal(frames, expected[camera])


def test_images_survive_mp4_with_35_db(store, tmp_path):
    back = there_and_back(store, tmp_path, 'lerobot')
    expected = store.frames(all_rows(store))
    for camera, frames in back.frames(all_rows(back)).items():
        assert psnr_db(frames, expected[camera]) >= 35.0


def test_frames_of_the_simulation_survive_mp4_with_35_db(tmp_path):
    """64x64, sharp edges and noise: the smallest images are the hardest."""
    cameras = ('front', 'wrist')
    sim = make_simulation(Config(task='lift', observation={'cameras': {'front': {}, 'wrist': {}}}), ROBOT, 1)
    with ReplayStore.create(tmp_path / 'store', make_specs(cameras, 64, 64), 20) as store:
        for row in range(20):
            sim.reset(row)
            images = {camera: sim.render(camera) for camera in cameras}
            observation = Observation(np.array([0.4, 0.0], np.float32), images)
            store.append(Step(row + 1, 0, observation, np.zeros(2, np.float32), truncated=row == 19))
        sim.close()
        back = there_and_back(store, tmp_path, 'lerobot')
        expected = store.frames(all_rows(store))
        for camera, frames in back.frames(all_rows(back)).items():
            assert psnr_db(frames, expected[camera]) >= 35.0


@pytest.mark.parametrize('format_name', ['lerobot', 'robomimic'])
def test_our_own_datasets_say_themselves_how_episodes_ended(store, tmp_path, format_name):
    export_dataset(store.folder, tmp_path / 'foreign', format_name, ignore_progress)
    with pytest.raises(UserError, match='says itself how each episode ended'):
        mapping = Mapping(success='all')
        import_dataset(tmp_path / 'foreign', tmp_path / 'back', format_name, None, mapping, ignore_progress)


@pytest.mark.parametrize('format_name', ['lerobot', 'robomimic'])
def test_a_unit_that_is_known_has_to_be_the_wanted_one(store, tmp_path, format_name):
    """Values in metres would fit bounds in millimetres, if they were not known to be metres."""
    export_dataset(store.folder, tmp_path / 'foreign', format_name, ignore_progress)
    wanted = Specs.model_validate_json(store.specs.model_dump_json().replace('"unit":"m"', '"unit":"mm"'))
    with pytest.raises(UserError, match=r"state 'ee.x' comes in m, expected mm.*units: \{ee.x: m->mm\}"):
        import_dataset(tmp_path / 'foreign', tmp_path / 'back', format_name, wanted, Mapping(), ignore_progress)


@pytest.mark.parametrize('format_name', ['lerobot', 'robomimic'])
def test_a_configuration_takes_a_part_of_our_own_dataset(store, tmp_path, format_name):
    export_dataset(store.folder, tmp_path / 'foreign', format_name, ignore_progress)
    state = VectorSpec(dimensions=store.specs.observation.state.dimensions[1:])
    part = Specs(observation=ObservationSpec(state=state), action=store.specs.action)
    back = import_dataset(tmp_path / 'foreign', tmp_path / 'back', format_name, part, Mapping(), ignore_progress)
    np.testing.assert_array_equal(back.states(all_rows(back)), store.states(all_rows(store))[:, 1:])


def test_many_files_hold_what_one_does(store, tmp_path):
    """A limit of nothing gives every episode files of its own."""
    lerobot.export(store, tmp_path / 'foreign', ignore_progress, data_file_mb=0, video_file_mb=0)
    assert len(list(tmp_path.glob('foreign/data/*/*.parquet'))) == 3
    assert len(list(tmp_path.glob('foreign/videos/observation.images.front/*/*.mp4'))) == 3
    back = import_dataset(tmp_path / 'foreign', tmp_path / 'back', 'lerobot', None, Mapping(), ignore_progress)
    assert_same_numbers(back, store)
    expected = store.frames(all_rows(store))
    assert psnr_db(back.frames(all_rows(back))['wrist'], expected['wrist']) >= 35.0


@pytest.mark.parametrize('format_name', ['lerobot', 'robomimic'])
def test_a_ring_whose_front_is_gone_is_exported_as_it_is_held(tmp_path, format_name):
    with ReplayStore.create(tmp_path / 'ring', make_specs(cameras=()), 14) as store:
        fill(store)
        assert_same_numbers(there_and_back(store, tmp_path, format_name), store)


@pytest.mark.parametrize('format_name', ['lerobot', 'robomimic'])
def test_no_transition_appears_across_lost_rows(store, tmp_path, format_name):
    rows = store.episode_rows(11)
    store._files.erase([int(rows[3])])
    store.refresh()
    transitions = store.transitions
    back = there_and_back(store, tmp_path, format_name)
    assert back.transitions == transitions
    assert [summary.episode for summary in back.episodes()] == [3, 7, 11, 12]


def test_an_image_of_odd_size_survives(tmp_path):
    with ReplayStore.create(tmp_path / 'odd', make_specs(('front',), height=33, width=47), 20) as store:
        fill(store)
        back = there_and_back(store, tmp_path, 'lerobot')
        assert psnr_db(back.frames(all_rows(back))['front'], store.frames(all_rows(store))['front']) >= 35.0


def test_hdf5_has_no_place_for_an_observation_alone(tmp_path):
    with ReplayStore.create(tmp_path / 'store', make_specs(cameras=()), 20) as store:
        fill(store, lengths=(4, 1, 3))
        assert [summary.steps for summary in there_and_back(store, tmp_path, 'robomimic').episodes()] == [4, 3]
