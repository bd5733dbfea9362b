"""Files, folders and settings: what is read, and what is said when there is nothing to read."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from footage import HEIGHT, KEY, WIDTH, picture, write_folder, write_video

from hybrid_rl_ros.camera_config import SourceConfig
from hybrid_rl_ros.cameras.device_settings import apply_settings
from hybrid_rl_ros.cameras.frames import crop_image, resize_to_rgb
from hybrid_rl_ros.cameras.readers import Reader, open_reader
from hybrid_rl_ros.errors import UserError


def read(reader: Reader, frames: int) -> list[np.ndarray]:
    """Up to that many frames, RGB."""
    images = []
    while len(images) < frames and reader.grab():
        images.append(reader.retrieve()[:, :, ::-1])
    return images


def opened(**source: object) -> Reader:
    return open_reader(SourceConfig(**source), KEY, print)


def refused(**source: object) -> str:
    with pytest.raises(UserError) as error:
        opened(**source)
    assert str(error.value).startswith(f'{KEY}.uri: ')
    return str(error.value)


def test_a_video_is_read_pixel_by_pixel_and_ends(tmp_path):
    video = write_video(tmp_path / 'clip.avi', [3, 4, 5], fps=20.0)
    reader = opened(uri=str(video))
    images = read(reader, 10)
    assert reader.period_s == pytest.approx(1 / 20.0)
    assert len(images) == 3
    for number, image in zip([3, 4, 5], images):
        assert np.array_equal(image, picture(number))


def test_a_folder_is_read_in_the_order_of_names_and_passes_over_other_files(tmp_path):
    folder = write_folder(tmp_path / 'images', [7, 2, 9])
    (folder / '001.txt').write_text('not a picture')
    images = read(opened(uri=str(folder), fps=50.0), 10)
    assert [int(image[0, 0, 2]) // 5 for image in images] == [7, 2, 9]
    assert np.array_equal(images[0], picture(7))


@pytest.mark.parametrize('kind', ['video', 'folder'])
def test_looping_begins_again_with_the_first_frame(tmp_path, kind):
    numbers = [1, 2, 3]
    path = write_video(tmp_path / 'c.avi', numbers, 20.0) if kind == 'video' else write_folder(tmp_path / 'c', numbers)
    images = read(opened(uri=str(path), loop=True), 8)
    assert [int(image[0, 0, 2]) // 5 for image in images] == [1, 2, 3, 1, 2, 3, 1, 2]


def test_the_rate_in_the_configuration_is_kept_instead_of_the_files_own(tmp_path):
    video = write_video(tmp_path / 'clip.avi', [1], fps=20.0)
    assert opened(uri=str(video), fps=5.0).period_s == pytest.approx(0.2)


def test_a_crop_keeps_exactly_its_rectangle(tmp_path):
    source = SourceConfig(uri='x', crop=(10, 4, 20, 30))
    image = crop_image(picture(1)[:, :, ::-1], source, KEY)
    assert np.array_equal(resize_to_rgb(image, source), picture(1)[4:34, 10:30])


def test_a_resize_to_half_averages_two_by_two_pixels():
    source = SourceConfig(uri='x', resize=(WIDTH // 2, HEIGHT // 2))
    noise = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    half = resize_to_rgb(noise[:, :, ::-1], source)
    expected = noise.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(1, 3))
    assert half.shape == (HEIGHT // 2, WIDTH // 2, 3)
    assert np.abs(half - expected).max() <= 0.5


def test_a_crop_beyond_the_picture_names_the_key_and_both_sizes():
    with pytest.raises(UserError) as error:
        crop_image(picture(1), SourceConfig(uri='x', crop=(50, 0, 20, 20)), KEY)
    assert str(error.value) == f'{KEY}.crop: [50, 0, 20, 20] reaches beyond the picture, which is 64x48'


def test_each_missing_source_says_what_was_expected(tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'text.avi').write_text('not a video')
    assert 'no such file or folder; expected a video file, a folder of images' in refused(uri=str(tmp_path / 'no.avi'))
    assert 'no images in this folder; expected .png' in refused(uri=str(tmp_path / 'empty'))
    assert 'cannot be read; expected a video file' in refused(uri=str(tmp_path / 'text.avi'))
    assert "'/dev/video63': no such device; expected a V4L2 camera (present: " in refused(uri=63)
    assert "'/dev/null' cannot be opened; expected a V4L2 camera" in refused(uri='/dev/null')


def test_an_address_that_nobody_answers_is_named_without_its_password():
    line = refused(uri='rtsp://me:secret@127.0.0.1:1/live')
    assert "'rtsp://me:***@127.0.0.1:1/live': no stream to be had" in line
    assert 'secret' not in line


def test_every_setting_that_is_refused_gets_one_line(tmp_path):
    """A video file takes no setting at all, so each one that is asked must be named."""
    video = write_video(tmp_path / 'clip.avi', [1], fps=20.0)
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    asked = {'width': WIDTH, 'height': 1080, 'fps': 20, 'pixel_format': 'MJPG'}
    fixed = {'exposure_ms': 8.0, 'gain': 3, 'white_balance_k': 4600}
    lines = apply_settings(capture, SourceConfig(uri=0, **asked, **fixed))
    assert [line.partition(':')[0] for line in lines] == [
        *('height', 'exposure_ms', 'gain', 'white_balance_k', 'pixel_format')
    ]
    assert lines[0] == 'height: the device keeps 48, asked 1080'
