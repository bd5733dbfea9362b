"""The best policy is kept, and survives the learner."""

from __future__ import annotations

import json
from pathlib import Path

from hybrid_rl_ros.learning.best_policy import BestPolicy


def practise(best: BestPolicy, outcomes: str, name: bytes) -> None:
    for step, outcome in enumerate(outcomes):
        best.episode_ended(outcome == '+', name + str(step).encode(), step)


def kept(run: Path) -> bytes | None:
    path = run / 'best_policy.safetensors'
    return path.read_bytes() if path.exists() else None


def test_the_best_is_kept_and_a_worse_one_is_not(tmp_path):
    best = BestPolicy(tmp_path)
    practise(best, '+' * 19, b'early')
    assert kept(tmp_path) is None, 'fewer than 20 episodes say little'
    practise(best, '+++', b'good')
    assert kept(tmp_path) == b'good0'
    practise(best, '--', b'worse')
    assert kept(tmp_path) == b'good0'
    assert json.loads((tmp_path / 'best_policy.json').read_text()) == {'env_steps': 0, 'success': 1.0, 'episodes': 20}


def test_of_equally_good_ones_one_in_twenty_episodes_is_written(tmp_path):
    best = BestPolicy(tmp_path)
    practise(best, '+' * 39, b'good')
    assert kept(tmp_path) == b'good19'
    practise(best, '+', b'later')
    assert kept(tmp_path) == b'later0'


def test_nothing_is_kept_that_never_succeeded_or_was_not_published(tmp_path):
    best = BestPolicy(tmp_path)
    practise(best, '-' * 40, b'poor')
    assert kept(tmp_path) is None
    for _ in range(40):
        best.episode_ended(True, None, 0)
    assert kept(tmp_path) is None


def test_a_resumed_run_does_not_replace_a_better_one(tmp_path):
    practise(BestPolicy(tmp_path), '+' * 20, b'good')
    practise(BestPolicy(tmp_path), '+' * 10 + '-' * 30, b'later')
    assert kept(tmp_path) == b'good19'
