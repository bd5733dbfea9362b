"""The `source` of a camera in the configuration, and which nodes come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid_rl_ros.bringup import nodes_of_run
from hybrid_rl_ros.camera_config import SourceConfig
from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.config_file import save_config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.sim.factory import make_simulation

CONFIG = Path(__file__).parents[2] / 'config' / 'sim_lift.yaml'


def with_source(source: str, *more: str) -> Config:
    return load_config(CONFIG, ['clock=realtime', f'observation.cameras.front.source={source}', *more])


@pytest.mark.parametrize(
    ('uri', 'kind'),
    [
        ('0', 'device'),
        ('/dev/v4l/by-id/usb-cam', 'device'),
        ('rtsp://host/live', 'stream'),
        ('http://host:8080/video', 'stream'),
        ('clips/lift.mp4', 'path'),
    ],
)
def test_the_uri_tells_a_device_a_stream_and_a_path_apart(uri, kind):
    source = with_source(f'{{uri: {uri}}}').observation.cameras['front'].source
    assert source is not None
    assert (source.uri, source.kind) == (uri, kind)


@pytest.mark.parametrize(
    ('source', 'complaint'),
    [
        ('{uri: 0, fpz: 30}', "unknown key 'observation.cameras.front.source.fpz'"),
        ('{fps: 30}', 'observation.cameras.front.source.uri: required and not given'),
        (
            '{uri: "ftp://host/a"}',
            'source.uri: expected a device such as /dev/video0, a file, a folder, or one of rtsp:',
        ),
        ('{uri: 0, width: 640}', 'width and height are asked together'),
        ('{uri: clip.mp4, gain: 3}', 'gain can only be asked of a device; for a path use crop and resize'),
        ('{uri: "rtsp://host/a", loop: true}', 'loop is for files and folders'),
        ('{uri: "rtsp://host/a", fps: 5}', 'fps of a stream is what its server sends'),
        ('{uri: 0, crop: [0, 0, 0, 5]}', 'source.crop.2: Input should be greater than or equal to 1'),
        ('{uri: 0, intrinsics: {}}', 'source.intrinsics: give either file or camera_matrix'),
        (
            '{uri: 0, intrinsics: {camera_matrix: [1, 2]}}',
            'source.intrinsics.camera_matrix: List should have at least 9',
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_key(source, complaint):
    with pytest.raises(UserError) as error:
        with_source(source)
    assert complaint in str(error.value)
    assert '\n' not in str(error.value)


def test_a_source_needs_real_time():
    with pytest.raises(UserError, match='cameras.front.source: a camera does not wait; it needs clock: realtime'):
        with_source('{uri: 0}', 'clock=lockstep')


def test_a_source_survives_the_file_of_its_run(tmp_path):
    config = with_source('{uri: 0, crop: [0, 8, 320, 240], resize: [64, 64], intrinsics: {file: front.yaml}}')
    save_config(config, tmp_path / 'config.yaml')
    assert load_config(tmp_path / 'config.yaml') == config


def test_a_password_is_not_shown():
    assert SourceConfig(uri='rtsp://me:secret@host:554/a').shown_uri == 'rtsp://me:***@host:554/a'
    assert SourceConfig(uri='rtsp://host:554/a@b').shown_uri == 'rtsp://host:554/a@b'


def test_each_camera_with_a_source_is_a_process_of_its_own_name():
    config = with_source('{uri: 0}', 'observation.cameras.wrist.source={uri: 2}')
    nodes = {node.name: node for node in nodes_of_run(config, 'train')}
    arguments = nodes['camera_node_wrist'].arguments(Path('/run'), 'train', list(nodes), 'arm1')
    assert nodes['camera_node_wrist'].executable == 'camera_node'
    assert '__node:=camera_node_wrist' in arguments and 'camera:=wrist' in arguments
    assert 'camera_node_front' in nodes
    assert not any(name.startswith('camera_node') for name in (n.name for n in nodes_of_run(Config(), 'train')))


def test_the_simulation_does_not_stand_in_for_a_camera_with_a_source():
    config = with_source('{uri: 0}', 'observation.cameras.table={source: {uri: 1}}')
    simulation = make_simulation(config, load_robot(config.robot), seed=1)
    assert list(simulation.cameras) == ['wrist']
    simulation.close()
