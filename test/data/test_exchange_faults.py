"""An import or export that cannot be finished leaves nothing behind under the name that was asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from exchange_data import assert_same_numbers, fill, ignore_progress, make_specs

from hybrid_rl_ros.cli import run
from hybrid_rl_ros.data.exchange.dataset import export_dataset, import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError

FORMATS = ['lerobot', 'robomimic']


@pytest.fixture
def store(tmp_path):
    with ReplayStore.create(tmp_path / 'store', make_specs(('front',)), 40) as store:
        fill(store)
        yield store


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a MB."""
    folder = tmp_path / 'small'
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip('mounting a file system is not permitted here')
    yield folder
    subprocess.run(['umount', '--lazy', str(folder)], check=True)


@contextmanager
def nobody():
    """Without root's rights, which no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def open_to_all(folder: Path) -> None:
    """With what it lies in, as far as that is pytest's own."""
    for above in folder.parents:
        if above == Path(tempfile.gettempdir()) or above.stat().st_uid != os.geteuid():
            break
        above.chmod(0o755)
    folder.chmod(0o777)


def noisy_store(folder: Path) -> ReplayStore:
    """Four episodes of 10 noisy images, which no codec makes small: 1.5 MB."""
    rng = np.random.default_rng(0)
    store = ReplayStore.create(folder, make_specs(('front',), 112, 112), 40)
    for row in range(40):
        image = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
        observation = Observation(np.array([0.4, 0.0], np.float32), {'front': image})
        store.append(Step(row + 1, row // 10, observation, np.zeros(2, np.float32), truncated=row % 10 == 9))
    return store


@pytest.mark.parametrize('format_name', FORMATS)
def test_an_export_to_a_full_disk_leaves_nothing(tmp_path, small_disk, format_name):
    with noisy_store(tmp_path / 'noisy') as store, pytest.raises(UserError) as error:
        export_dataset(store.folder, small_disk / 'out', format_name, ignore_progress)
    assert str(error.value) == f'{small_disk / "out"}: cannot be written: No space left on device'
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize('format_name', FORMATS)
def test_an_import_to_a_full_disk_leaves_nothing(tmp_path, small_disk, format_name):
    with noisy_store(tmp_path / 'noisy') as store:
        export_dataset(store.folder, tmp_path / 'foreign', format_name, ignore_progress)
    with pytest.raises(UserError) as error:
        import_dataset(tmp_path / 'foreign', small_disk / 'out', format_name, None, Mapping(), ignore_progress)
    assert str(error.value) == f'{small_disk / "out"}: a step could not be written: No space left on device'
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize('format_name', FORMATS)
def test_an_import_killed_in_the_middle_leaves_no_target_and_can_be_repeated(store, tmp_path, format_name):
    foreign, out = tmp_path / 'foreign', tmp_path / 'out'
    export_dataset(store.folder, foreign, format_name, ignore_progress)
    program = (
        'import signal, sys\n'
        'from pathlib import Path\n'
        'from hybrid_rl_ros.data.exchange.dataset import import_dataset\n'
        'from hybrid_rl_ros.data.exchange.mapping import Mapping\n'
        'def stop(done, total):\n'
        '    if done == 10:\n'
        '        print(done, total, flush=True)\n'
        '        signal.pause()\n'
        'import_dataset(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], None, Mapping(), stop)\n'
    )
    command = [sys.executable, '-c', program, str(foreign), str(out), format_name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == '10 16\n'
        process.send_signal(signal.SIGKILL)
    assert not out.exists()
    assert_same_numbers(import_dataset(foreign, out, format_name, None, Mapping(), ignore_progress), store)
    assert not list(tmp_path.glob('.*unfinished'))


@pytest.mark.parametrize('format_name', FORMATS)
def test_a_source_that_may_not_be_read_is_named(store, tmp_path, format_name):
    foreign = tmp_path / 'foreign'
    export_dataset(store.folder, foreign, format_name, ignore_progress)
    hidden = foreign / 'meta/info.json' if foreign.is_dir() else foreign
    hidden.chmod(0)
    open_to_all(tmp_path)
    with nobody(), pytest.raises(UserError) as error:
        import_dataset(foreign, tmp_path / 'out', format_name, None, Mapping(), ignore_progress)
    assert str(error.value) == f'{hidden}: cannot be read: Permission denied'
    assert not (tmp_path / 'out').exists()


def test_a_target_that_may_not_be_written_is_named(store, tmp_path):
    foreign, closed = tmp_path / 'foreign', tmp_path / 'closed'
    export_dataset(store.folder, foreign, 'robomimic', ignore_progress)
    foreign.chmod(0o644)
    open_to_all(tmp_path)
    closed.mkdir(mode=0o555)
    with nobody(), pytest.raises(UserError, match='Permission denied'):
        import_dataset(foreign, closed / 'out', 'robomimic', None, Mapping(), ignore_progress)
    assert not list(closed.iterdir())


def test_an_existing_target_is_left_alone(store, tmp_path):
    (tmp_path / 'out').write_text('mine')
    with pytest.raises(UserError, match='exists already'):
        export_dataset(store.folder, tmp_path / 'out', 'robomimic', ignore_progress)
    assert (tmp_path / 'out').read_text() == 'mine'


def test_the_command_line_goes_there_and_back_and_a_mistake_is_one_line(store, tmp_path, capsys):
    foreign, back = str(tmp_path / 'file.hdf5'), str(tmp_path / 'back')
    assert run(['data', 'export', str(store.folder), '--format', 'robomimic', '--out', foreign]) == 0
    (tmp_path / 'mapping.yaml').write_text('unit: {ee.x: mm->m}\n')
    arguments = ['data', 'import', foreign, '--format', 'robomimic', '--out', back]
    assert run([*arguments, '--mapping', str(tmp_path / 'mapping.yaml')]) == 2
    message = capsys.readouterr().err.strip()
    assert message.count('\n') == 0 and "unknown key 'unit'; the nearest valid key is 'units'" in message
    assert run(arguments) == 0
    with ReplayStore.open(back, read_only=True) as found:
        assert_same_numbers(found, store)


@pytest.mark.parametrize('conversion', ['mm', 'mm->rad', 'inch->m', 'mm->'])
def test_a_unit_that_is_not_known_is_refused(tmp_path, conversion):
    from hybrid_rl_ros.data.exchange.mapping import load_mapping

    (tmp_path / 'mapping.yaml').write_text(f'units: {{ee.x: {conversion}}}\n')
    with pytest.raises(UserError, match='expected a conversion such as deg->rad'):
        load_mapping(tmp_path / 'mapping.yaml')
