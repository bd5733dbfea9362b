"""camera_node as a process: its messages over DDS, its one line when there is no camera, and its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import wait_for

from hybrid_rl_ros.bringup import Bringup, node_status, nodes_of_run, prepare_run, resolve_specs, running
from hybrid_rl_ros.config import Config, load_config

sys.path.append(str(Path(__file__).parents[1] / 'cameras'))
from footage import write_folder, write_video  # noqa: E402

pytestmark = pytest.mark.real_time

REACH = Path(__file__).parents[2] / 'config' / 'sim_reach_state.yaml'
LISTENER = Path(__file__).with_name('camera_listener.py')


def prepare(run: Path, source: str, *settings: str) -> Config:
    config = load_config(REACH, ['clock=realtime', f'observation.cameras.front.source={source}', *settings])
    prepare_run(run, config, resolve_specs(config))
    return config


@contextmanager
def camera_node(run: Path, camera: str = 'front') -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, '-m', 'hybrid_rl_ros.nodes.camera_node', '--ros-args', '-r', f'__node:=camera_{camera}']
    command += ['-p', f'run_dir:={run}', '-p', f'camera:={camera}']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def listen(frames: int, state: str = '') -> list[dict[str, Any]]:
    """What a subscriber got until it had that many frames with their camera_info, and a diagnosis of that beginning."""
    command = [sys.executable, str(LISTENER), 'front', str(frames), state]
    heard = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    return [json.loads(line) for line in heard.stdout.splitlines()]


def complaint(run: Path, camera: str = 'front') -> str:
    """The only line on stderr of a node that ends with status 2."""
    with camera_node(run, camera) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    lines = errors.strip().splitlines()
    assert len(lines) == 1, errors
    return lines[0]


def test_a_videos_frames_come_with_rising_stamps_and_a_camera_info_each(tmp_path):
    video = write_video(tmp_path / 'clip.avi', list(range(20)), fps=30.0)
    matrix = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
    lens = f'{{camera_matrix: {matrix}, distortion: [0, 0, 0, 0, 0]}}'
    prepare(tmp_path / 'run', f'{{uri: {video}, loop: true, crop: [4, 8, 32, 32], intrinsics: {lens}}}')
    with camera_node(tmp_path / 'run'):
        heard = listen(40)
    images = [message for message in heard if 'image' in message]
    infos = {message['info']: message for message in heard if 'info' in message}
    stamps = [image['image'] for image in images]
    assert stamps == sorted(set(stamps))
    assert all(image['shape'] == [32, 32, 3] and image['frame'] == 'front_optical_frame' for image in images)
    shown = [image['pixel'][2] // 5 for image in images]
    assert all(image['pixel'][:2] == [4, 8] for image in images)
    # A frame may be lost on the way, but none comes twice, and most come in the order of the video.
    steps = np.diff(shown) % 20
    assert (steps > 0).all() and np.median(steps) == 1
    matched = [infos[stamp] for stamp in stamps if stamp in infos]
    assert len(matched) >= 40
    assert all(info['frame'] == 'front_optical_frame' and info['shape'] == [32, 32] for info in matched)
    assert matched[0]['k'] == [60.0, 0.0, 27.5, 0.0, 60.0, 15.5, 0.0, 0.0, 1.0]


def test_a_missing_file_is_one_line_with_its_key_and_what_was_expected(tmp_path):
    prepare(tmp_path, '{uri: nowhere.mp4}')
    line = complaint(tmp_path)
    assert line.startswith(
        "error: observation.cameras.front.source.uri: 'nowhere.mp4': no such file or folder; expected"
    )


def test_a_missing_device_and_a_camera_without_a_source_are_one_line_too(tmp_path):
    prepare(tmp_path, '{uri: /dev/video63}', 'observation.cameras.wrist={}')
    assert "source.uri: '/dev/video63': no such device; expected a V4L2 camera" in complaint(tmp_path)
    line = complaint(tmp_path, camera='wrist')
    assert line == "error: camera_node: parameter camera is 'wrist'; the cameras with a source are: front"


def test_a_picture_that_never_changes_is_a_warning_on_diagnostics(tmp_path):
    folder = write_folder(tmp_path / 'still', [8])
    prepare(tmp_path / 'run', f'{{uri: {folder}, fps: 30, loop: true, frozen_after_s: 0.5}}')
    with camera_node(tmp_path / 'run'):
        heard = listen(1, 'frozen')
        status = node_status(tmp_path / 'run', 'camera_front')
    diagnosis = [message for message in heard if message.get('message', '').startswith('frozen')][-1]
    assert diagnosis['node'].startswith('camera_front')
    assert diagnosis['level'] == 1
    assert int(diagnosis['values']['repeated']) > 0
    assert set(status['counters']) == {'frames', 'repeated', 'reconnects', 'dropped'}


def test_sigterm_ends_it_cleanly_and_so_does_the_end_of_a_file(tmp_path):
    folder = write_folder(tmp_path / 'images', [1, 2, 3])
    prepare(tmp_path / 'looping', f'{{uri: {folder}, loop: true}}')
    with camera_node(tmp_path / 'looping') as process:
        wait_for(lambda: frames(tmp_path / 'looping', 'camera_front') > 3)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, '')

    prepare(tmp_path / 'once', f'{{uri: {folder}}}')
    with camera_node(tmp_path / 'once') as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert 'was played to its end; observation.cameras.front.source.loop: true plays it again' in errors
    assert frames(tmp_path / 'once', 'camera_front') == 3


@pytest.mark.slow
def test_two_cameras_of_a_run_are_ready_under_their_own_names_and_reach_the_observation(tmp_path):
    """The first episode waits until every node is ready, and an observation for every camera: so the arm acts."""
    front, side = (write_folder(tmp_path / name, list(range(7))) for name in ('front', 'side'))
    cameras = f'observation.cameras.side={{source: {{uri: {side}, loop: true}}}}'
    run = tmp_path / 'run'
    config = prepare(run, f'{{uri: {front}, loop: true}}', cameras, 'sim.gl="off"')
    with running(Bringup(config, run, 'eval', nodes_of_run(config, 'eval', expert='reach'))) as bringup:

        def acting() -> bool:
            assert bringup.check() is False
            return node_status(run, 'safety_node').get('counters', {}).get('executed_policy', 0) > 5

        wait_for(acting, within_s=90.0)
        assert all(node_status(run, f'camera_node_{name}')['ready'] for name in ('front', 'side'))
        assert (run / 'logs' / 'camera_node_side.log').exists()


def frames(run: Path, node: str) -> int:
    return node_status(run, node).get('counters', {}).get('frames', 0)
