"""A person is called by their own command, and a call that went wrong is told."""

from __future__ import annotations

import sys
import time

from hybrid_rl_ros.person_caller import PersonCaller


def test_a_command_calls_the_person_with_the_reason(tmp_path):
    told = tmp_path / 'told'
    script = f'import sys; open({str(told)!r}, "w").write(sys.argv[1])'
    caller = PersonCaller([sys.executable, '-c', script, 'arm 1: {why}'], 60.0)
    assert caller.complaint() == ''
    caller.call('the cube is out of reach')
    deadline = time.monotonic() + 30.0
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert told.read_text() == 'arm 1: the cube is out of reach'


def test_a_command_that_ends_badly_is_told_once():
    caller = PersonCaller([sys.executable, '-c', 'raise SystemExit(3)'], 60.0)
    caller.call('x')
    deadline = time.monotonic() + 30.0
    while not (complaint := caller.complaint()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert 'ended with status 3; nobody may have been called' in complaint
    assert caller.complaint() == ''


def test_a_command_that_is_not_there_is_told():
    caller = PersonCaller(['no-such-command'], 60.0)
    caller.call('x')
    assert caller.complaint() == 'reset.call: no-such-command: No such file or directory'
    assert caller.complaint() == ''


def test_two_calls_that_both_end_badly_are_two_complaints():
    caller = PersonCaller([sys.executable, '-c', 'import sys; sys.exit(int(sys.argv[1]))', '{why}'], 60.0)
    caller.call('4')
    caller.call('5')
    deadline, complaints = time.monotonic() + 30.0, []
    while len(complaints) < 2 and time.monotonic() < deadline:
        complaints += [complaint for complaint in [caller.complaint()] if complaint]
        time.sleep(0.05)
    assert {'status 4' in ' '.join(complaints), 'status 5' in ' '.join(complaints)} == {True}


def test_a_fault_that_stands_calls_once_and_a_new_one_again():
    caller = PersonCaller([sys.executable, '-c', ''], 60.0)
    said = [caller.watch(fault, now) for fault, now in [('a', 0), ('a', 59), ('a', 60), ('a', 500), ('', 501)]]
    assert said == [False, False, True, False, False]
    assert [caller.watch('b', now) for now in (600, 650, 661)] == [False, False, True]
