"""The routine, the look afterwards, another try, and at last a person."""

from __future__ import annotations

import numpy as np
from test_judge import SPECS

from hybrid_rl_ros.control.reach import Reach
from hybrid_rl_ros.reset_config import ResetConfig
from hybrid_rl_ros.rewards.autonomous_reset import AutonomousReset
from hybrid_rl_ros.rewards.reset_source import make_reset_source
from hybrid_rl_ros.rewards.sights import make_sight
from hybrid_rl_ros.rewards.source import Seen

NAMES = ['ee.dx', 'ee.dy', 'ee.dz']
RATE_HZ = 10.0


def reset_of(changes: list[str], **settings) -> AutonomousReset:
    config = ResetConfig.model_validate({'routine': [{'wait_s': 0.3}], **settings})
    workspace = np.zeros(3), np.ones(3)
    reach = Reach(NAMES, 0.02, 0.1, workspace, [], np.zeros(0), (np.zeros(0), np.zeros(0)))
    source = make_reset_source(config, reach, RATE_HZ, np.random.default_rng(0))
    verify = make_sight(config.verify, SPECS) if config.verify else None
    return AutonomousReset(config, source, verify, RATE_HZ, changes.append)


def seen(clear: float) -> Seen:
    return Seen({'ee.x': 0.5, 'ee.y': 0.5, 'ee.z': 0.5, 'task.clear': clear})


def run(reset: AutonomousReset, clear: float, most_steps: int = 200) -> int:
    """Steps until it does not run any more."""
    for step in range(most_steps):
        if not reset.runs:
            return step
        reset.step(seen(clear))
    raise AssertionError('it does not end')


def test_without_a_look_it_is_done_with_the_routine():
    changes: list[str] = []
    reset = reset_of(changes)
    assert not reset.runs
    reset.begin()
    assert run(reset, 0.0) == 4 and reset.phase == 'done'
    assert changes == ['reset routine']


def test_it_is_done_once_it_is_seen_to_have_worked():
    changes: list[str] = []
    reset = reset_of(changes, verify={'when': 'task.clear > 0', 'steps': 2})
    reset.begin()
    run(reset, 1.0)
    assert reset.phase == 'done' and changes == ['reset routine']


def test_what_did_not_work_is_tried_again_and_then_a_person_is_called():
    changes: list[str] = []
    reset = reset_of(changes, verify={'when': 'task.clear > 0'}, retries=2)
    reset.begin()
    run(reset, 0.0)
    assert reset.phase == 'called'
    assert changes == [
        'reset routine',
        'reset.verify was not seen; try 2 of 3',
        'reset.verify was not seen; try 3 of 3',
        'reset.verify was not seen',
    ]
    assert reset.step(seen(1.0)) is None and reset.phase == 'called', 'only a person ends it'
    reset.take_as_done()
    assert reset.phase == 'done'


def test_a_second_try_that_works_is_enough_and_the_next_reset_has_all_its_tries():
    changes: list[str] = []
    reset = reset_of(changes, verify={'when': 'task.clear > 0', 'steps': 1}, retries=1)
    for _ in range(3):
        reset.begin()
        while len([c for c in changes if 'try 2' in c]) == 0:
            reset.step(seen(0.0))
        run(reset, 1.0)
        assert reset.phase == 'done'
        changes.clear()
