"""The newest text is in the file, and nobody waits for the disk."""

from __future__ import annotations

import os

from hybrid_rl_ros.ros.latest_file import LatestFile


def test_the_newest_text_is_there_and_folders_are_made(tmp_path):
    path = tmp_path / 'status' / 'node.json'
    file = LatestFile(path)
    for number in range(100):
        file.replace(str(number))
    assert file.flush(10.0)
    assert path.read_text() == '99' and file.failures == 0
    assert [entry.name for entry in path.parent.iterdir()] == ['node.json']


def test_a_disk_that_takes_nothing_holds_nobody_up_and_the_newest_comes_when_it_does(tmp_path):
    """A pipe that nobody reads stands for the disk: whoever opens it for writing waits."""
    path, stuck = tmp_path / 'node.json', tmp_path / 'node.tmp'
    os.mkfifo(stuck)
    file = LatestFile(path)
    for number in range(100):
        file.replace(f'{number}')
    assert not file.flush(0.2)
    # Whatever was the newest when it began to write, and then the newest of all.
    assert int(stuck.read_text()) in range(100)
    assert file.flush(10.0)
    file.replace('100')
    assert file.flush(10.0) and path.read_text() == '100'


def test_what_cannot_be_written_is_counted(tmp_path):
    (tmp_path / 'in_the_way').write_text('')
    file = LatestFile(tmp_path / 'in_the_way' / 'node.json')
    file.replace('1')
    assert file.flush(10.0) and file.failures == 1
