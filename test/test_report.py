"""The page of a run: everything in one file, and videos that can be watched."""

from __future__ import annotations

import base64
import json
import re

import cv2
import numpy as np
import pytest

from hybrid_rl_ros.bringup import prepare_run, resolve_specs
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.report import write_report

STEPS = 12


@pytest.fixture
def run(tmp_path):
    """A run of one evaluated episode: the front camera brightens, the wrist camera is black."""
    config = load_config(share_folder('config') / 'sim_lift.yaml')
    specs = resolve_specs(config)
    prepare_run(tmp_path, config, specs)
    with ReplayStore.create(tmp_path / 'eval' / 'replay', specs, 100) as store:
        for step in range(STEPS + 1):
            images = {i.camera: np.zeros((i.height, i.width, 3), np.uint8) for i in specs.observation.images}
            images['front'][:] = 20 * step
            observation = Observation(np.zeros(len(specs.observation.state), np.float32), images)
            action = np.zeros(len(specs.action), np.float32)
            end = step == STEPS
            store.append(Step(step + 1, 0, observation, action, float(end), terminal=end, truncated=False))
    episode = {'episode': 0, 'steps': STEPS, 'return': 1.0, 'outcome': 'succeeded', 'env_steps': STEPS, 'wall_s': 1.0}
    (tmp_path / 'episodes.jsonl').write_text(json.dumps(episode) + '\n')
    return tmp_path


def test_the_videos_show_every_step_of_the_episode(run):
    page = write_report(run).read_text()
    videos = re.findall(r'src="data:video/webm;base64,([^"]+)"', page)
    assert len(videos) == 1
    path = run / 'episode.webm'
    path.write_bytes(base64.b64decode(videos[0]))
    capture = cv2.VideoCapture(str(path))
    brightness = []
    while (read := capture.read())[0]:
        height, width = read[1].shape[:2]
        assert width == 2 * height
        brightness.append((read[1][:, : width // 2 - 8].mean(), read[1][:, width // 2 + 8 :].mean()))
    front, wrist = np.array(brightness).T
    assert len(front) == STEPS + 1
    assert np.abs(front - 20.0 * np.arange(STEPS + 1)).max() < 8
    assert wrist.max() < 8


def test_the_page_needs_nothing_but_itself(run):
    page = write_report(run).read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert '<polyline' in page


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match='no run here'):
        write_report(tmp_path)


def test_what_happened_is_told_with_its_causes(run):
    events = [
        {'time': '2026-01-01T02:00:00+00:00', 'episode': 0, 'state': 'succeeded', 'cause': 'task'},
        {'time': '2026-01-01T03:00:00+00:00', 'episode': 1, 'state': 'resetting', 'cause': 'needs a person: <stuck>'},
        {'time': '2026-01-01T04:00:00+00:00', 'episode': 2, 'state': 'aborted', 'cause': 'estop: estop'},
    ]
    (run / 'events.jsonl').write_text(''.join(json.dumps(event) + '\n' for event in events * 2))
    page = write_report(run).read_text()
    assert '<td>succeeded</td><td>task</td><td>2</td>' in page
    row = '<td>2026-01-01T03:00:00+00:00</td><td>1</td><td>resetting</td><td>needs a person: &lt;stuck&gt;</td>'
    assert page.count(row) == 2
    assert '2026-01-01T02' not in page, 'what went well is counted only'
