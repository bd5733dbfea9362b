"""What a damaged, foreign or unreadable bag looks like: one line, and as much of it as is whole."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bag_data import (
    PERIOD_NS,
    as_database,
    assert_same,
    episode_steps,
    foreign_mcap,
    from_bag,
    in_small_chunks,
    joint_state,
    make_store,
    message,
    picture,
    to_bag,
)
from mcap.reader import SeekingReader
from test_replay_store import make_specs

from hybrid_rl_ros.data.exchange.bag_reader import open_bags
from hybrid_rl_ros.data.exchange.bag_recording import BagRecording
from hybrid_rl_ros.data.exchange.bag_writer import BagTopic
from hybrid_rl_ros.data.specs import Dimension, ImageSpec, Specs
from hybrid_rl_ros.errors import UserError

STEPS = [*episode_steps(0, 40, terminal=True), *episode_steps(1, 40, 50 * PERIOD_NS, truncated=True)]


@pytest.fixture
def bag(tmp_path) -> Path:
    return in_small_chunks(to_bag(make_store(tmp_path / 'store', STEPS), tmp_path / 'bag'))


def complaint(source: Path, tmp_path: Path, specs: Specs | None = None) -> str:
    """The line with which the import is refused; nothing of a store is left."""
    with pytest.raises(UserError) as caught:
        from_bag(source, tmp_path / 'refused', specs)
    assert '\n' not in str(caught.value)
    assert not list(tmp_path.glob('*refused*'))
    return str(caught.value)


def test_of_a_file_that_was_cut_off_every_whole_chunk_is_read_and_the_rest_counted(tmp_path, bag, caplog):
    file = bag / 'bag_0.mcap'
    with open(file, 'rb') as stream:
        chunks = SeekingReader(stream).get_summary().chunk_indexes
    cut = chunks[10].chunk_start_offset + 100
    os.truncate(file, cut)
    found = from_bag(bag, tmp_path / 'back')
    (whole,) = open_bags(tmp_path / 'bag.whole.mcap')
    total = whole.counts.total()
    assert 5 < len(found) < len(STEPS)
    assert_same(found, STEPS[: len(found)])
    (line,) = caplog.messages
    assert line.startswith(f'{file}: cut off or damaged at byte {chunks[10].chunk_start_offset} of {cut}; ')
    read = int(line.split('; ')[1].split()[0])
    assert f'{total - read} of {total} are lost' in line


def test_a_damaged_chunk_costs_its_own_steps_alone(tmp_path, bag, caplog):
    file = bag / 'bag_0.mcap'
    with open(file, 'r+b') as stream:
        chunk = SeekingReader(stream).get_summary().chunk_indexes[5]
        middle = chunk.chunk_start_offset + chunk.chunk_length // 2
        stream.seek(middle)
        byte = stream.read(1)
        stream.seek(middle)
        stream.write(bytes([byte[0] ^ 0xFF]))
    found = from_bag(bag, tmp_path / 'back')
    assert f'the chunk at byte {chunk.chunk_start_offset} is damaged' in caplog.messages[0]
    stamps = [each.stamp_ns for each in found]
    missing = [each.stamp_ns for each in STEPS if each.stamp_ns not in stamps]
    assert 0 < len(missing) < 30
    # What is left of the first episode is two segments, which no transition joins.
    assert {each.episode for each in found if each.stamp_ns < missing[0]} == {0}
    assert {each.episode for each in found if missing[-1] < each.stamp_ns <= 40 * PERIOD_NS} == {1}


def test_the_first_chunk_says_what_the_others_are_and_the_summary_repeats_it(tmp_path, bag):
    file = bag / 'bag_0.mcap'
    with open(file, 'r+b') as stream:
        chunk = SeekingReader(stream).get_summary().chunk_indexes[0]
        stream.seek(chunk.chunk_start_offset + 60)
        stream.write(bytes(20))
    found = from_bag(bag, tmp_path / 'back')
    assert_same(found[-30:], [*STEPS[-30:]])


def test_a_recorder_that_was_killed_leaves_whole_chunks(tmp_path, caplog):
    """The process is killed in the middle of writing: there is no index and no metadata.yaml."""
    script = f"""
import time
from pathlib import Path
from hybrid_rl_ros.data.exchange.bag_recording import BagRecording
from hybrid_rl_ros.data.exchange.bag_writer import BagTopic
recording = BagRecording(Path({str(tmp_path / 'bag')!r}), {{'specs.json': b'{{}}'}}, 10**6, 0)
number = 0
while True:
    recording.offer(BagTopic('/numbers', 'std_msgs/msg/UInt64'), number, number, number.to_bytes(12, 'little'))
    number += 1
    time.sleep(1e-4)
"""
    process = subprocess.Popen([sys.executable, '-c', script])
    file = tmp_path / 'bag' / 'bag_0.mcap'
    deadline = time.monotonic() + 30
    while not file.exists() or file.stat().st_size < 20_000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / 'bag' / 'metadata.yaml').exists()
    (bag,) = open_bags(tmp_path / 'bag')
    numbers = [int.from_bytes(data, 'little') for _, _, data in bag.messages(['/numbers'])]
    assert len(numbers) > 500
    # One after the other from the beginning: what the kill cost is the end, and whole numbers are left.
    assert numbers == list(range(len(numbers)))
    assert 'an unknown number are lost' in caplog.messages[0]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'', 'not an MCAP file'),
        (b'PK\x03\x04 something else', 'not an MCAP file: it does not begin with the bytes of one'),
        (b'\x89MCAP0\r\n', 'cut off or damaged at byte 8 of 8; 0 messages of whole chunks are read'),
    ],
    ids=['empty', 'foreign', 'magic only'],
)
def test_a_file_that_is_no_mcap_is_refused(tmp_path, content, words):
    (tmp_path / 'a.mcap').write_bytes(content)
    line = complaint(tmp_path / 'a.mcap', tmp_path)
    assert line.startswith(f'{tmp_path}/a.mcap: ') and words in line


def test_what_is_no_bag_is_refused(tmp_path):
    assert complaint(tmp_path / 'nothing', tmp_path) == f'{tmp_path}/nothing: no such file or folder'
    (tmp_path / 'notes.txt').write_text('hello')
    assert 'notes.txt: not a bag; expected a rosbag2 folder, *.mcap or *.db3' in complaint(
        tmp_path / 'notes.txt', tmp_path
    )
    (tmp_path / 'empty').mkdir()
    assert 'empty: no bag here' in complaint(tmp_path / 'empty', tmp_path)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('rosbag2_bagfile_information: [', 'not the description of a bag'),
        ('something: else', 'not the description of a bag'),
        (
            'rosbag2_bagfile_information: {relative_file_paths: [gone.mcap], message_count: 3}',
            'names gone.mcap, which is not there',
        ),
        ('rosbag2_bagfile_information: {relative_file_paths: [], message_count: 0}', 'names no file'),
    ],
)
def test_a_description_that_does_not_fit_is_named(tmp_path, bag, text, words):
    (bag / 'metadata.yaml').write_text(text)
    assert f'{bag}/metadata.yaml: {words}' in complaint(bag, tmp_path)


def test_names_shapes_and_types_that_do_not_fit_are_named(tmp_path, bag):
    wanted = make_specs().model_dump()
    wanted['observation']['state']['dimensions'] += (Dimension(name='y', unit='m', low=-1, high=1).model_dump(),)
    assert "/observation/state: no 'y' in a message; the nearest is x" in complaint(
        bag, tmp_path, Specs.model_validate(wanted)
    )
    assert '/observation/image/front: an image of shape (8, 8, 3), expected (16, 16, 3)' in complaint(
        bag, tmp_path, make_specs(16)
    )
    other = make_specs().model_copy(deep=True)
    wanted = other.model_dump()
    wanted['observation']['images'] = (ImageSpec(camera='wrist', height=8, width=8).model_dump(),)
    line = complaint(bag, tmp_path, Specs.model_validate(wanted))
    assert 'no topic /observation/image/wrist; the nearest is /observation/image/front' in line


def test_a_topic_of_another_type_is_named(tmp_path):
    with foreign_mcap(tmp_path / 'a.mcap') as write:
        write('/observation/state', 'sensor_msgs/msg/JointState', joint_state(['x'], [1]), 1)
        write('/action/executed', 'sensor_msgs/msg/JointState', joint_state(['dx'], [1]), 1)
        write('/observation/image/front', 'sensor_msgs/msg/Image', picture(1), 1)
        write('/reward', 'std_msgs/msg/Float64', message('std_msgs/msg/Float64', 1.0), 1)
    line = complaint(tmp_path / 'a.mcap', tmp_path, make_specs())
    assert '/reward is a std_msgs/msg/Float64, expected a sensor_msgs/msg/JointState' in line


@pytest.fixture
def database(tmp_path) -> Path:
    return as_database(to_bag(make_store(tmp_path / 'source', STEPS), tmp_path / 'source_bag'), tmp_path / 'sqlite')


def test_a_database_that_was_cut_off_is_refused(tmp_path, database):
    size = database.stat().st_size
    os.truncate(database, size // 2)
    assert complaint(database, tmp_path) == f'{database}: cut off at byte {size // 2}, expected {size}'


def test_a_database_that_is_none_is_refused(tmp_path, database):
    database.write_bytes(b'not a database')
    assert f'{database}: not a SQLite database' in complaint(database, tmp_path)


def test_a_database_that_is_locked_or_still_written_is_refused(tmp_path, database):
    with sqlite3.connect(database, isolation_level=None) as connection:
        connection.execute('BEGIN EXCLUSIVE')
        assert complaint(database, tmp_path) == f'{database}: cannot be read: database is locked'
        connection.execute("UPDATE topics SET name = '/other' WHERE id = 1")
        connection.execute('PRAGMA cache_spill')
        assert (database.with_name('sqlite.db3-journal')).exists()
        assert 'still being written, or its recorder was killed: sqlite.db3-journal is beside it' in complaint(
            database, tmp_path
        )
        connection.execute('ROLLBACK')
    connection.close()
    assert_same(from_bag(database, tmp_path / 'back', make_specs()), STEPS)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything; nobody may not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_without_permission_the_file_is_named(tmp_path, bag):
    file = bag / 'bag_0.mcap'
    file.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path('/'):
            folder.chmod(folder.stat().st_mode | 0o777)
    with unprivileged():
        assert f'{file}: cannot be read: Permission denied' in complaint(bag, tmp_path)


def test_a_disk_that_is_full_while_importing_is_one_line_and_leaves_nothing(tmp_path, bag):
    """A file-size limit makes writing fail as a full disk does."""
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from bag_data import from_bag, Path
from hybrid_rl_ros.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    from_bag(Path({str(bag)!r}), Path({str(tmp_path / 'full')!r}))
except UserError as error:
    print(error)
"""
    output = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True).stdout
    assert output.count('\n') == 1 and 'File too large' in output
    assert not list(tmp_path.glob('*full*'))


def test_a_disk_that_is_full_while_recording_stops_it_with_one_line_and_keeps_what_is_whole(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    topic = BagTopic('/noise', 'std_msgs/msg/UInt8MultiArray')
    recording = BagRecording(tmp_path / 'bag', {}, queue_bytes=10**9, split_bytes=0)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, limits[1]))
        kept = 0
        while recording.offer(topic, kept, kept, os.urandom(100_000)):
            kept += 1
            assert kept < 100_000
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert recording.problem.startswith(f'{tmp_path}/bag: File too large; the recording stopped after ')
    recording.close()
    (bag,) = open_bags(tmp_path / 'bag' / 'bag_0.mcap')
    assert 20 < bag.counts['/noise'] <= 40
