"""Expressions: what they mean, and what is none."""

from __future__ import annotations

import math

import pytest

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.expression import Expression


def test_a_name_with_dots_is_one_number():
    condition = Expression('task.cube.z > 0.1 and abs(wrench.fz) < 2 * pi')
    assert condition.names == {'task.cube.z', 'wrench.fz'}
    assert condition.holds({'task.cube.z': 0.2, 'wrench.fz': -6.0, 'more': 1.0})
    assert not condition.holds({'task.cube.z': 0.2, 'wrench.fz': -7.0})


def test_functions_have_their_values():
    assert Expression('hypot(a, b) == 5').holds({'a': 3.0, 'b': 4.0})
    assert Expression('0.1 < a < 0.3').holds({'a': 0.2})
    assert not Expression('0.1 < a < 0.3').holds({'a': 0.4})


@pytest.mark.parametrize('number', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('text', ['a > 0', 'a < 0', 'not a > 0', 'a != 0'])
def test_of_what_is_not_finite_nothing_is_true(text, number):
    """Else `not x > 0` would see success in a camera or sensor that says nothing."""
    assert not Expression(text).holds({'a': number})


def test_what_cannot_be_computed_is_not_true():
    assert not Expression('1 / a > 0').holds({'a': 0.0})
    assert not Expression('sqrt(a) < 1').holds({'a': -1.0})
    assert not Expression('a ** 0.5 < 1').holds({'a': -1.0})
    assert not Expression('2 ** (a * 100000) > 1').holds({'a': 3.0})


def test_what_only_some_numbers_make_impossible_is_an_expression():
    assert Expression('1 / (a - b) > 3').holds({'a': 1.2, 'b': 1.0})
    assert Expression('sqrt(0.25 - a) > 0.1').holds({'a': 0.0})


def test_a_number_that_is_not_there_is_no_silence():
    with pytest.raises(KeyError, match='ee.z'):
        Expression('ee.z > 0').holds({'ee.x': 1.0})


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('ee.z >', 'not an expression'),
        ('', 'not an expression'),
        ('ee.z > 0; ee.x > 0', 'not an expression'),
        ('f(ee.z) > 0', "Function 'f'"),
        ('ee.z > open("x")', 'no condition'),
        ('rand() > 0.5', "Function 'rand'"),
        ('(1).real > 0', 'not the name of a number'),
        ('().__class__', 'not the name of a number'),
        ('task.cube.z', 'no condition'),
        ('ee.z > 0 and gripper.opening', 'no condition'),
        ('not ee.z', 'no condition'),
        ('True', 'no condition'),
        ('abs', 'no condition'),
        ('"a"', 'no condition'),
        ('ee.z > "a"', 'no condition'),
        ('-' * 5000 + '1 > 0', 'not an expression'),
        ('[x for x in ee.z] == 1', 'it may use'),
    ],
)
def test_what_is_no_expression_is_one_line(text, says):
    with pytest.raises(UserError, match=says) as error:
        Expression(text)
    assert '\n' not in str(error.value)
