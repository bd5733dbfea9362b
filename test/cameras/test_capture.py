"""The capture thread: newest frame, stamps, repeats, loss and return."""

from __future__ import annotations

import time

import numpy as np
from footage import KEY, Watched, WebCamera, picture, write_folder, write_video
from waiting import wait_for

from hybrid_rl_ros.camera_config import SourceConfig
from hybrid_rl_ros.cameras.capture import CameraCapture, CaptureReport
from hybrid_rl_ros.cameras.freeze_detector import FreezeDetector


def test_every_frame_of_a_video_comes_once_in_order_and_then_the_capture_has_ended(tmp_path):
    video = write_video(tmp_path / 'clip.avi', list(range(20)), fps=100.0)
    before = time.time_ns()
    with Watched(SourceConfig(uri=str(video))) as watched:
        wait_for(lambda: watched.state == 'ended')
    assert watched.numbers == list(range(20))
    assert np.array_equal(watched.frames[7].image, picture(7))
    stamps = [frame.stamp_ns for frame in watched.frames]
    assert stamps == sorted(set(stamps))
    assert before < stamps[0] and stamps[-1] < time.time_ns()
    report = watched.capture.report()
    assert (report.frames, report.dropped, report.repeated, report.reconnects) == (20, 0, 0, 0)


def test_a_file_is_not_played_faster_than_its_rate(tmp_path):
    folder = write_folder(tmp_path / 'images', [1, 2, 3, 4, 5])
    began = time.monotonic()
    with Watched(SourceConfig(uri=str(folder), fps=50.0)) as watched:
        wait_for(lambda: watched.state == 'ended')
    assert time.monotonic() - began >= 5 / 50.0


def test_only_the_newest_frame_is_kept_and_the_others_are_counted(tmp_path):
    folder = write_folder(tmp_path / 'images', [1, 2, 3, 4, 5])
    source = SourceConfig(uri=str(folder), fps=100.0)
    capture = CameraCapture(source, KEY, on_change=lambda: None, say=print)
    capture.start()
    wait_for(lambda: capture.report().state == 'ended')
    frame = capture.take()
    assert frame is not None and frame.image[0, 0, 2] == 25
    assert capture.take() is None
    assert capture.report().dropped == 4
    capture.stop()


def test_crop_and_resize_are_applied_and_the_captured_size_is_kept(tmp_path):
    folder = write_folder(tmp_path / 'images', [6])
    with Watched(SourceConfig(uri=str(folder), crop=(8, 16, 32, 16), resize=(16, 8))) as watched:
        wait_for(lambda: watched.state == 'ended')
    frame = watched.frames[0]
    assert frame.captured == (64, 48)
    assert frame.image.shape == (8, 16, 3)
    assert np.abs(frame.image[0, 0].astype(int) - (8, 16, 30)).max() <= 1


def test_an_unreadable_image_is_counted_and_passed_over(tmp_path):
    folder = write_folder(tmp_path / 'images', [1, 2, 3])
    (folder / '001.png').write_bytes(b'broken')
    with Watched(SourceConfig(uri=str(folder), fps=100.0)) as watched:
        wait_for(lambda: watched.state == 'ended')
    assert watched.numbers == [1, 3]
    assert watched.capture.report().dropped == 1


def test_a_missing_source_ends_the_capture_with_its_line(tmp_path):
    with Watched(SourceConfig(uri=str(tmp_path / 'nothing.avi'))) as watched:
        wait_for(lambda: bool(watched.errors))
    assert 'nothing.avi' in str(watched.errors[0])


def test_the_same_picture_is_repeated_first_and_frozen_when_it_lasts():
    detector = FreezeDetector(repeated_after=3, frozen_after_s=1.0)
    still = picture(1)
    seen = [detector.see(still.copy(), at_s) for at_s in (0.0, 0.1, 0.2, 0.9, 1.0, 1.1)]
    assert seen == ['live', 'live', 'repeated', 'repeated', 'frozen', 'frozen']
    assert detector.repeated == 5
    still[40, 50, 0] ^= 1
    assert detector.see(still, 1.2) == 'live'
    # Slow frames: two equal ones are no proof, however far apart.
    assert detector.see(still, 9.0) == 'live'
    assert detector.see(still, 17.0) == 'frozen'


def test_a_frozen_camera_is_told_once_and_its_frames_still_come(tmp_path):
    folder = write_folder(tmp_path / 'images', [4])
    source = SourceConfig(uri=str(folder), fps=100.0, loop=True, frozen_after_s=0.2)
    with Watched(source) as watched:
        wait_for(lambda: watched.state == 'frozen')
        taken = len(watched.frames)
        wait_for(lambda: len(watched.frames) > taken + 10)
        report = watched.capture.report()
    assert report.warning(time.monotonic()).startswith('frozen: ')
    assert report.repeated == report.frames - 1
    assert len(watched.lines) == 1 and 'is frozen' in watched.lines[0]


def test_a_stream_that_goes_away_is_opened_again_when_it_is_back():
    camera = WebCamera()
    with Watched(SourceConfig(uri=camera.uri)) as watched:
        wait_for(lambda: len(watched.frames) > 5)
        assert len(set(watched.numbers)) > 3
        camera.close()
        wait_for(lambda: 'no stream to be had' in watched.capture.report().detail)
        assert watched.state == 'reconnecting'
        assert watched.capture.report().warning(time.monotonic()).startswith('reconnecting: ')
        before = len(watched.frames)
        camera = WebCamera(camera.port)
        wait_for(lambda: len(watched.frames) > before + 5)
        report = watched.capture.report()
        assert (report.state, report.reconnects) == ('live', 1)
    camera.close()
    assert [line.rpartition(' is ')[2] for line in watched.lines] == ['lost; trying to open it again', 'back']
    stamps = [frame.stamp_ns for frame in watched.frames]
    assert stamps == sorted(set(stamps))


def test_attempts_to_open_a_lost_stream_get_rarer_and_never_rarer_than_the_limit():
    camera = WebCamera()
    with Watched(SourceConfig(uri=camera.uri), backoff_s=(0.05, 0.4)) as watched:
        wait_for(lambda: bool(watched.frames))
        camera.close()
        waits: list[float] = []

        def note() -> bool:
            if watched.capture.next_wait_s not in waits:
                waits.append(watched.capture.next_wait_s)
            return waits[-1] == 0.4

        wait_for(note)
    assert waits == sorted(waits)
    assert set(waits) <= {0.05, 0.1, 0.2, 0.4}


def test_a_lost_stream_does_not_keep_the_capture_from_stopping():
    camera = WebCamera()
    watched = Watched(SourceConfig(uri=camera.uri), backoff_s=(3600.0, 3600.0))
    with watched:
        wait_for(lambda: bool(watched.frames))
        camera.close()
        wait_for(lambda: watched.state == 'reconnecting')
    assert not watched.capture.running


def test_a_silent_camera_is_told_by_the_age_of_its_newest_frame():
    report = CaptureReport(state='live', frames=3, newest_at_s=100.0)
    assert report.warning(now_s=100.5) == ''
    assert report.warning(now_s=107.0) == 'no frame for 7 s'
