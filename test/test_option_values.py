"""What is written on the command line, as values or as one line about the mistake."""

from __future__ import annotations

import pytest

from hybrid_rl_ros.cli import run
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.option_values import fraction_in, numbers_in, parts_in, whole_in, words_in


def test_lists_are_read():
    assert numbers_in('--drop', '3,7-9, 12') == {3, 7, 8, 9, 12}
    assert numbers_in('--drop', '') == frozenset()
    assert words_in('--keep', 'a,b', ('a', 'b', 'c')) == {'a', 'b'}
    assert whole_in('--seed', '12') == 12
    assert fraction_in('--worst', '0.1') == 0.1
    assert parts_in('--split', 'train=0.9, val=0.1') == {'train': 0.9, 'val': 0.1}


@pytest.mark.parametrize(
    ('read', 'line'),
    [
        (lambda: numbers_in('--drop', '3,x'), "--drop: 'x' is no number nor range, expected a list like 3,7-9"),
        (lambda: numbers_in('--drop', '-3'), "--drop: '-3' is no number nor range, expected a list like 3,7-9"),
        (lambda: numbers_in('--drop', '9-7'), '--drop: the range 9-7 ends before it begins'),
        (lambda: numbers_in('--drop', '0-999999999999'), '--drop: the range 0-999999999999 is longer than 1000000'),
        (lambda: words_in('--keep', 'won', ('success', 'cut')), "--keep: 'won', expected one or more of success,cut"),
        (lambda: whole_in('--seed', '-1'), "--seed: '-1', expected a whole number from 0 up"),
        (lambda: fraction_in('--worst', '1'), "--worst: '1', expected a fraction from 0 to below 1"),
        (lambda: fraction_in('--worst', 'nan'), "--worst: 'nan', expected a fraction from 0 to below 1"),
        (lambda: parts_in('--split', 'train'), "--split: 'train', expected NAME=FRACTION, as in train=0.9,val=0.1"),
        (lambda: parts_in('--split', 'a=0'), "--split: 'a=0', expected NAME=FRACTION, as in train=0.9,val=0.1"),
        (lambda: parts_in('--split', '../a=1'), "--split: '../a=1', expected NAME=FRACTION, as in train=0.9,val=0.1"),
        (lambda: parts_in('--split', 'a=0.5,a=0.5'), "--split: 'a' is given twice"),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(read, line):
    with pytest.raises(UserError) as error:
        read()
    assert str(error.value) == line


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (
            ['record', '--episodes', '0'],
            'argument --episodes: expected a whole number above 0, got 0; see hybrid-rl record',
        ),
        (['record', '--episodes', 'ten'], 'argument --episodes: expected a whole number above 0, got ten'),
        (['trian'], "invalid choice: 'trian'"),
        (
            ['eval', '--run', 'x', '--episodes', '1', '--bset'],
            'unrecognized arguments: --bset; see hybrid-rl eval --help',
        ),
    ],
)
def test_a_mistake_in_a_command_is_one_line_without_every_option_there_is(capsys, arguments, line):
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert line in said and said.count('\n') == 1
