"""What a run says of itself while it is under way."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from graph_runs import REACH

from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.display import Rates, progress

WHOLE = SimpleNamespace(learner_lost=False, bag_lost=False)


@pytest.mark.parametrize(
    ('learner', 'told'),
    [
        ({'env_steps': 19}, False),
        ({'env_steps': 20}, True),
        ({'env_steps': 20, 'updates': 4}, False),
        ({}, False),
    ],
)
def test_while_the_first_updates_are_compiled_a_run_that_stands_still_says_why(tmp_path, learner, told):
    (tmp_path / 'status').mkdir()
    (tmp_path / 'status' / 'learner_node.json').write_text(json.dumps(learner))
    facts = progress(tmp_path, load_config(REACH, ['train.warm_up_steps=20']), 'train', Rates(), WHOLE)
    assert ('compiled' in facts.get('learner', '')) is told
