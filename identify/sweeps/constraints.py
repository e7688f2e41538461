"""Constraints between the axes of a grid, as text: only comparisons of sums and products, so that no code is run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from identify.base.errors import InputError

LENGTH = 500
"""Largest length of a constraint, in characters."""
EXAMPLE = "expected a comparison such as 'samples <= inputs', 'width == 2*samples' or 'layers != \"second\"'"
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_WORDS = {"true": True, "false": False}


class GridError(InputError):
    """A grid that cannot be used: an unknown name, an empty list, a value of the wrong type, a constraint that cannot be read."""


@dataclass(frozen=True)
class Constraint:
    """A comparison between axes, such as ``samples <= 2*inputs``; chains are allowed."""

    text: str
    tree: ast.Compare
    names: frozenset[str]

    @classmethod
    def parse(cls, text: Any, names: tuple[str, ...]) -> Constraint:
        """Read a comparison of ``names``, numbers and quoted words with + - * /. Raises :class:`GridError`."""
        if not isinstance(text, str) or not text.strip() or len(text) > LENGTH:
            raise GridError(f"where: received {text!r}, {EXAMPLE}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise GridError(f"where: {text!r} cannot be read; {EXAMPLE}") from None
        if not isinstance(tree, ast.Compare) or not all(type(sign) in _COMPARISONS for sign in tree.ops):
            raise GridError(f"where: {text!r} is not a comparison; {EXAMPLE}")
        named = {name for side in (tree.left, *tree.comparators) for name in _names(side, text)} - set(_WORDS)
        unknown = sorted(named - set(names))
        if unknown:
            raise GridError(f"where: {text!r} names {', '.join(unknown)}, expected some of {', '.join(names)}")
        return cls(text, tree, frozenset(named))

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the comparison is true of these values. Raises :class:`GridError` if they cannot be compared."""
        try:
            sides = [_value(side, values) for side in (self.tree.left, *self.tree.comparators)]
            signs = [_COMPARISONS[type(sign)] for sign in self.tree.ops]
            return all(sign(left, right) for sign, left, right in zip(signs, sides[:-1], sides[1:], strict=True))
        except (TypeError, ArithmeticError) as error:
            shown = ", ".join(f"{name} = {values[name]!r}" for name in sorted(self.names))
            raise GridError(f"where: {self.text!r} has no answer for {shown} ({error}); {EXAMPLE}") from None


def _names(node: ast.expr, text: str) -> set[str]:
    """Names in a side of a comparison; refuses every other kind of expression."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
        return set()
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _names(node.left, text) | _names(node.right, text)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _names(node.operand, text)
    raise GridError(f"where: {ast.unparse(node)!r} in {text!r} is not a sum or product of names and numbers; {EXAMPLE}")


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return _WORDS[node.id] if node.id in _WORDS else values[node.id]
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, values)
    assert isinstance(node, ast.BinOp)
    sides = _value(node.left, values), _value(node.right, values)
    if any(isinstance(side, str) for side in sides):
        raise TypeError("words cannot be added or multiplied")
    return _ARITHMETIC[type(node.op)](*sides)
