"""`hybrid-rl data inspect` and `curate` as a person or a script meets them."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from hybrid_rl_ros.cli import run
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data_text import sparkline

STEPS = 11


def make_specs(side: int) -> Specs:
    return Specs(
        observation=ObservationSpec(
            state=VectorSpec(dimensions=(Dimension(name='x', unit='m', low=-1, high=1),)),
            images=tuple(ImageSpec(camera=camera, height=side, width=side) for camera in ('front', 'wrist')),
        ),
        action=ActionSpec(dimensions=(Dimension(name='<dx>', unit='m', low=-1, high=1),)),
    )


def fill(folder, episodes: int, steps: int = STEPS, side: int = 16) -> None:
    """Episode n's frames have red 20 n and, step by step, green up to 200; the wrist camera of episode 1 hangs."""
    rng = np.random.default_rng(0)
    with ReplayStore.create(folder, make_specs(side), episodes * steps) as store:
        for number in range(episodes * steps):
            episode, step = divmod(number, steps)
            frame = np.full((side, side, 3), (20 * (episode % 10), 200 * step // steps, 50), np.uint8)
            wrist = np.full_like(frame, 120 if episode == 1 else 20 + step % 200)
            end = step == steps - 1
            observation = Observation(rng.uniform(-0.9, 0.9, 1), {'front': frame, 'wrist': wrist})
            action = np.array([0.0 if end else rng.uniform(-0.9, 0.9)])
            store.append(Step(step * 10**8 + 1, episode, observation, action, float(end), terminal=end))


@pytest.fixture
def store(tmp_path):
    fill(tmp_path / 'store', 3)
    return tmp_path / 'store'


def test_the_text_names_what_stands_out(store, capsys):
    assert run(['data', 'inspect', str(store)]) == 0
    text = capsys.readouterr().out
    assert 'episodes: 3 (3 success)' in text
    assert 'steps: 33, 30 transitions, 3.0 s at 10 Hz' in text
    assert text.strip().splitlines()[-1] == '  episode 1: 10 duplicated frames of camera wrist, 10 in a row'
    assert '\x1b' not in text
    assert re.search(r'wrist +33 +10 +30\.3% +10 +0 +0', text)


def test_json_is_one_object_and_nothing_else(store, capsys):
    assert run(['data', 'inspect', str(store), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['warnings'] == ['episode 1: 10 duplicated frames of camera wrist, 10 in a row']
    assert [episode['return'] for episode in found['episodes']] == [1.0, 1.0, 1.0]
    assert found['episodes'][1]['cameras']['wrist']['longest_duplicated_run'] == 10
    assert found['action'][0]['saturated'] == 0.0


def test_the_page_has_the_first_middle_and_last_frame_of_each_episode_and_camera(store, tmp_path):
    page = tmp_path / 'page.html'
    assert run(['data', 'inspect', str(store), '--html', str(page)]) == 0
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page.read_text())
    frames = [cv2.imdecode(np.frombuffer(base64.b64decode(image), np.uint8), cv2.IMREAD_COLOR) for image in images]
    assert len(frames) == 3 * 2 * 3
    fronts = np.array([frame.mean((0, 1)) for frame in frames]).reshape(3, 2, 3, 3)[:, 0]
    assert np.abs(fronts[:, :, 2] - 20 * np.arange(3)[:, None]).max() < 4
    assert np.abs(fronts[:, :, 1] - np.array([0, 200 * 5 // STEPS, 200 * 10 // STEPS])).max() < 4


def test_the_page_needs_nothing_but_itself_and_shows_names_as_they_are(store, tmp_path):
    page = tmp_path / 'page.html'
    run(['data', 'inspect', str(store), '--html', str(page)])
    text = page.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert '<polyline' in text
    assert '&lt;dx&gt;' in text
    assert '<dx>' not in text
    assert '<li>episode 1: 10 duplicated frames of camera wrist, 10 in a row</li>' in text


def test_the_page_of_many_episodes_shows_frames_of_24(tmp_path):
    fill(tmp_path / 'store', 40)
    page = tmp_path / 'page.html'
    run(['data', 'inspect', str(tmp_path / 'store'), '--html', str(page)])
    captions = re.findall(r'<figcaption>episode (\d+), success: front</figcaption>', page.read_text())
    assert len(captions) == 24
    assert (captions[0], captions[-1]) == ('0', '39')


def test_curating_says_what_it_dropped_and_why(store, tmp_path, capsys):
    assert run(['data', 'curate', str(store), '--out', str(tmp_path / 'new'), '--drop', '1', '--min-steps', '5']) == 0
    assert capsys.readouterr().out.splitlines() == [
        'dropped episode 1: named',
        f'2 episodes in {tmp_path / "new"}',
    ]
    with ReplayStore.open(tmp_path / 'new', read_only=True) as new:
        assert [episode.episode for episode in new.episodes()] == [0, 2]


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['inspect', 'nothing'], 'nothing: no replay store here (no specs.json)'),
        (['inspect', 'empty'], 'empty: holds no steps to inspect'),
        (['inspect', 'store', '--html', 'no/page.html'], 'no/page.html: cannot be written: No such file or directory'),
        (['curate', 'nothing', '--out', 'new'], 'nothing: no replay store here (no specs.json)'),
        (['curate', 'store', '--out', 'store'], 'store: exists already; name another, or remove it'),
        (['curate', 'store', '--out', 'new', '--drop', '3,9'], 'store: no episode 3,9 to drop; it has 0-2'),
        (
            ['curate', 'store', '--out', 'new', '--keep', 'failure'],
            'store: none of its 3 episodes would be left; expected at least one',
        ),
        (
            ['curate', 'store', '--out', 'new', '--split', 'train=0.5,val=0.6'],
            '--split: the fractions sum to 1.1, expected 1',
        ),
        (['curate', 'store', '--out', 'new', '--seed', 'x'], "--seed: 'x', expected a whole number from 0 up"),
        (['curate', 'store', '--out', 'new', '--split', ''], '--split: the fractions sum to 0, expected 1'),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(store, tmp_path, monkeypatch, capsys, arguments, line):
    ReplayStore.create(tmp_path / 'empty', make_specs(16), 2).close()
    monkeypatch.chdir(tmp_path)
    assert run(['data', *arguments]) == 2
    written = capsys.readouterr()
    assert written.err == f'hybrid-rl: error: {line}\n'
    assert written.out == ''
    assert not (tmp_path / 'new').exists()


def test_a_spark_has_a_bar_for_every_bin_that_is_not_empty():
    assert sparkline((0.0, 0.001, 0.5, 1.0)) == ' ▁▅█'


@pytest.mark.slow
def test_neither_inspecting_nor_curating_keeps_the_frames_in_memory(tmp_path):
    """400 MB of frames go through less than 100 MB beyond what the command takes for a store of one episode."""
    script = (
        'import resource, sys; from hybrid_rl_ros.cli import run; '
        'run(["data", "inspect", sys.argv[1], "--json"]); run(["data", "curate", sys.argv[1], "--out", sys.argv[2]]); '
        'sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))'
    )
    peaks_kib = []
    for name, episodes in (('small', 1), ('large', 40)):
        fill(tmp_path / name, episodes, steps=100, side=128)
        command = [sys.executable, '-c', script, str(tmp_path / name), str(tmp_path / f'{name}_new')]
        peaks_kib.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stderr))
    assert peaks_kib[1] - peaks_kib[0] < 100_000
