"""A failed test's report says what its nodes said last."""

from __future__ import annotations

import json

from nodes_of_failures import nodes_said


def test_each_node_is_told_with_its_status_and_the_end_of_its_log(tmp_path):
    run = tmp_path / 'run'
    for folder in ('status', 'logs'):
        (run / folder).mkdir(parents=True)
    status = {'node': 'safety_node', 'faults': ['two_publishers'], 'timings': {'period': {}}}
    (run / 'status' / 'safety_node.json').write_text(json.dumps(status))
    (run / 'logs' / 'safety_node.log').write_text('\n'.join(f'line {i}' for i in range(9)))
    said = nodes_said(tmp_path)
    assert said.splitlines() == [
        "run/status/safety_node.json: {'node': 'safety_node', 'faults': ['two_publishers']}",
        *(f'    line {i}' for i in range(5, 9)),
    ]


def test_a_test_without_a_run_says_nothing(tmp_path):
    assert nodes_said(tmp_path) == ''
