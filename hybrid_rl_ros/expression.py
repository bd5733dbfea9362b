"""Conditions over named numbers, as users write them: `gripper.opening < 0.8 and abs(wrench.fz) < 5`."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping

from simpleeval import InvalidExpression, NumberTooHigh, SimpleEval

from hybrid_rl_ros.errors import UserError

FUNCTIONS = {name: getattr(math, name) for name in ('sqrt', 'hypot', 'sin', 'cos', 'atan2')}
FUNCTIONS |= {'abs': abs, 'min': min, 'max': max}
CONSTANTS = {'pi': math.pi}


class Expression:
    """One condition. `names` are the numbers that it is about, dots and all; raises UserError for what is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            parsed = _WholeNames().visit(ast.parse(text.strip(), mode='eval').body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise UserError(f'{text!r} is not an expression: {getattr(error, "msg", error)}') from None
        if not _is_condition(parsed):
            raise UserError(f'{text!r} is no condition: compare it with something, such as `ee.z > 0.1`')
        called = {id(node.func) for node in ast.walk(parsed) if isinstance(node, ast.Call)}
        used = {n.id for n in ast.walk(parsed) if isinstance(n, ast.Name) and id(n) not in called}
        self.names = frozenset(used - CONSTANTS.keys())
        self._parsed = ast.Expr(parsed)
        self._try_once()

    def holds(self, numbers: Mapping[str, float]) -> bool:
        """Whether it is true of `numbers`; of what cannot be computed (x / 0) or is not finite, it is not.

        Raises KeyError for a name that `numbers` lacks.
        """
        values = {name: numbers[name] for name in self.names}
        if not all(math.isfinite(value) for value in values.values()):
            return False
        try:
            return bool(self._evaluate(values))
        except (ArithmeticError, ValueError, TypeError, InvalidExpression):
            return False

    def _try_once(self) -> None:
        """So that an unknown function is a mistake now and not when the arm moves."""
        try:
            self._evaluate(dict.fromkeys(self.names, 1.0))
        except (ArithmeticError, ValueError, NumberTooHigh):
            # It depends on the numbers.
            return
        except (InvalidExpression, TypeError) as error:
            raise UserError(f'{self.text!r}: {error}; it may use {", ".join([*FUNCTIONS, *CONSTANTS])}') from None

    def _evaluate(self, values: Mapping[str, float]) -> object:
        evaluator = SimpleEval(names={**CONSTANTS, **values}, functions=FUNCTIONS)
        return evaluator.eval(self.text, previously_parsed=self._parsed)


def _is_condition(node: ast.AST) -> bool:
    """A bare number would be true wherever it is not 0."""
    if isinstance(node, ast.BoolOp):
        return all(_is_condition(value) for value in node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _is_condition(node.operand)
    numbers = all(isinstance(n.value, (int, float)) for n in ast.walk(node) if isinstance(n, ast.Constant))
    return isinstance(node, ast.Compare) and numbers


class _WholeNames(ast.NodeTransformer):
    """`task.cube.z` is one name, not parts of a thing."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        inner = self.visit(node.value)
        if not isinstance(inner, ast.Name):
            raise ValueError(f'{ast.unparse(node)} is not the name of a number')
        return ast.copy_location(ast.Name(id=f'{inner.id}.{node.attr}', ctx=ast.Load()), node)


def checked_expression(text: str) -> str:
    """`text`, for a section's validator: raises ValueError for what is no expression."""
    try:
        return Expression(text).text
    except UserError as error:
        raise ValueError(str(error)) from None
