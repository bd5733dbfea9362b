"""Recording: a queue that is bounded, files that are split, log times that grow."""

from __future__ import annotations

import os

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from hybrid_rl_ros.data.exchange.bag_reader import open_bags
from hybrid_rl_ros.data.exchange.bag_recording import BagRecording
from hybrid_rl_ros.data.exchange.bag_types import TYPES, learn_type
from hybrid_rl_ros.data.exchange.bag_writer import BagTopic
from hybrid_rl_ros.errors import UserError

NOISE = BagTopic('/noise', 'std_msgs/msg/UInt8MultiArray')


def recorded(bag) -> list[bytes]:
    return [data for _, _, data in bag.messages(['/noise'])]


def test_what_the_queue_has_no_room_for_is_refused_and_everything_else_is_in_the_bag(tmp_path):
    recording = BagRecording(tmp_path / 'bag', {}, queue_bytes=200_000, split_bytes=0)
    taken, refused = [], 0
    # Made before, so that they come faster than any disk takes them.
    noise = os.urandom(20_000)
    for number in range(2000):
        data = number.to_bytes(4, 'little') + noise
        if recording.offer(NOISE, number, number, data):
            taken.append(data)
        else:
            refused += 1
    recording.close()
    assert refused > 0
    (bag,) = open_bags(tmp_path / 'bag')
    assert recorded(bag) == taken
    assert not recording.problem


def test_a_message_that_is_larger_than_the_queue_is_refused(tmp_path):
    recording = BagRecording(tmp_path / 'bag', {}, queue_bytes=1000, split_bytes=0)
    assert not recording.offer(NOISE, 0, 0, bytes(1001))
    recording.close()


def test_files_are_split_and_read_as_one_bag(tmp_path):
    recording = BagRecording(tmp_path / 'bag', {'specs.json': b'{}'}, queue_bytes=10**9, split_bytes=2_000_000)
    sent = [os.urandom(100_000) for _ in range(120)]
    for number, data in enumerate(sent):
        assert recording.offer(NOISE, number, number, data)
    recording.close()
    files = sorted(path.name for path in (tmp_path / 'bag').glob('*.mcap'))
    assert len(files) >= 4
    (bag,) = open_bags(tmp_path / 'bag')
    assert recorded(bag) == sent
    assert bag.attachments == {'specs.json': b'{}'}
    with Reader(tmp_path / 'bag') as reader:
        assert [bytes(data) for _, _, data in reader.messages()] == sent
        assert [file['message_count'] for file in reader.storage.files][:2] == [
            open_bags(tmp_path / 'bag' / name)[0].counts['/noise'] for name in files[:2]
        ]


def test_a_clock_that_is_set_back_does_not_turn_the_order_around(tmp_path):
    recording = BagRecording(tmp_path / 'bag', {}, queue_bytes=10**6, split_bytes=0)
    for log_ns, content in [(100, b'a'), (50, b'b'), (60, b'c'), (200, b'd')]:
        recording.offer(NOISE, log_ns, log_ns, content)
    recording.close()
    (bag,) = open_bags(tmp_path / 'bag')
    assert [(at, data) for _, at, data in bag.messages(['/noise'])] == [
        (100, b'a'),
        (101, b'b'),
        (102, b'c'),
        (200, b'd'),
    ]


def test_a_place_where_nothing_can_be_made_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=f'{tmp_path}/file/bag: no bag can be written here: Not a directory'):
        BagRecording(tmp_path / 'file' / 'bag', {}, queue_bytes=10, split_bytes=0)


def test_a_message_type_of_another_package_is_learnt_from_its_files(tmp_path, monkeypatch):
    folder = tmp_path / 'prefix' / 'share' / 'gripper_makers' / 'msg'
    folder.mkdir(parents=True)
    (folder / 'Fingers.msg').write_text('std_msgs/Header header\nFinger[] fingers\n')
    (folder / 'Finger.msg').write_text('float64 width\ngeometry_msgs/Point tip\n')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path / 'prefix'))
    name = 'gripper_makers/msg/Fingers'
    learn_type(name)
    finger = TYPES.types['gripper_makers/msg/Finger']
    tip = TYPES.types['geometry_msgs/msg/Point'](1.0, 2.0, 3.0)
    time = TYPES.types['builtin_interfaces/msg/Time'](1, 2)
    header = TYPES.types['std_msgs/msg/Header'](time, 'hand')
    message = TYPES.types[name](header, [finger(0.04, tip)])
    recording = BagRecording(tmp_path / 'bag', {}, queue_bytes=10**6, split_bytes=0)
    recording.offer(BagTopic('/fingers', name), 1, 1, bytes(TYPES.serialize_cdr(message, name)))
    recording.close()
    (bag,) = open_bags(tmp_path / 'bag')
    ((_, _, data),) = bag.messages(['/fingers'])
    found = bag.decode('/fingers', data)
    assert found.fingers[0].width == 0.04
    assert np.array_equal([found.fingers[0].tip.x, found.fingers[0].tip.y, found.fingers[0].tip.z], [1, 2, 3])
    with pytest.raises(UserError, match='no share/gripper_makers/msg/Thumb.msg'):
        learn_type('gripper_makers/msg/Thumb')
