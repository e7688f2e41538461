"""Formulas of polynomials: read with exact rational coefficients, written, multiplied, and evaluated in any ring."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import gcd, isfinite
from numbers import Rational

from identify.base.errors import InputError

MAX_DEGREE = 20
MAX_TEXT = 500
"""Characters of a formula."""
MAX_SIZE = 2**900
"""Numbers below it, and their products with 20!, are doubles: so are the coefficients of all derivatives."""
MAX_BITS = 4000
"""Most bits of a numerator or denominator on the way: powers of powers in a short text would take hours and all memory."""
MAX_EXPONENT = 1000
"""Largest exponent of ten in the text of a decimal."""
VARIABLE = "z"
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
NUMBER = r"(?<![\w.])((?>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))"
CONSTANTS = frozenset("eijEI")
"""Letters that mean a number to many readers, so that they are not taken for the variable."""
EXAMPLE = "a polynomial in z such as 'z + z^2/2 + z^3'"


class ActivationError(InputError):
    """An activation that this package cannot work with; the message says what to write instead."""


def horner(coefficients: Sequence, z, reduce: Callable = lambda value: value):
    """Evaluate a polynomial with + and * only, so that any ring (floats, fractions, residues, JAX arrays) will do.

    ``reduce`` is applied after every product: the remainder modulo a prime, for integers that stand for residues.
    """
    value = coefficients[-1] + 0 * z
    for s in reversed(coefficients[:-1]):
        value = reduce(value * z) + s
    return reduce(value)


def root_group(degrees: Sequence[int]) -> str:
    """The real solutions t of t^(k-l) = 1 for all k, l in ``degrees``: ``"scaling"``, ``"sign"`` or ``"none"``.

    ``scaling`` (every t != 0) for a single degree, ``sign`` (t = 1, -1) when all differences are even. Theory, section 3.
    """
    step = 0
    for k in degrees:
        step = gcd(step, abs(k - degrees[0]))
    return "scaling" if step == 0 else "sign" if step % 2 == 0 else "none"


def exact(value) -> Fraction:
    """The rational that a number is: a float is the dyadic rational that it stands for. Raises :class:`ActivationError`."""
    if isinstance(value, bool) or not isinstance(value, (Rational, float)) or (isinstance(value, float) and not isfinite(value)):
        raise ActivationError(f"activation coefficient {value!r}: expected a finite integer, fraction or float")
    number = Fraction(int(value.numerator), int(value.denominator)) if isinstance(value, Rational) else Fraction(value)
    if abs(number) >= MAX_SIZE:
        raise ActivationError("activation: a coefficient is too large; expected numbers below 2^900, whose products fit in a double")
    return number


def decimal(text: str) -> Fraction | None:
    """The exact value of a decimal or a fraction; None for other text, and for a power of ten that would take all memory."""
    _, _, exponent = text.lower().partition("e")
    try:
        return None if exponent and abs(int(exponent)) > MAX_EXPONENT else Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


def written(coefficients: Sequence[Fraction]) -> str:
    """The formula of a polynomial, which :func:`read_polynomial` reads back."""
    terms = []
    for k, s in enumerate(coefficients):
        if not s:
            continue
        size = abs(s)
        power = "" if k == 0 else VARIABLE if k == 1 else f"{VARIABLE}^{k}"
        if not power:
            body = str(size)
        elif size == 1:
            body = power
        else:
            body = (f"{size.numerator}*" if size.numerator != 1 else "") + power
            body += f"/{size.denominator}" if size.denominator != 1 else ""
        terms.append(("- " if s < 0 else "+ ") + body)
    text = " ".join(terms)
    return text[2:] if text.startswith("+ ") else "-" + text[2:]


def with_products(text: str) -> str:
    """A formula with ``^`` for superscripts and ``*`` for products that are written without a sign, as in ``2z³``."""
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: "^" + found[0].translate(SUPERSCRIPTS), text)
    text = text.replace("·", "*").replace("×", "*").replace("−", "-")
    text = re.sub(NUMBER + r"\s*(?=[A-IK-Za-ik-z](?!\w)|\()", r"\1*", text)
    return re.sub(r"(?<![\w])([A-Za-z])\s*(?=\()|(\))\s*(?=[A-Za-z(])", lambda found: f"{found[1] or found[2]}*", text)


def in_one_variable(tree: ast.Expression) -> ast.Expression:
    """The formula with its variable named ``z``, if it has one only, of one letter."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    letters = {node.id for node in names}
    if len(letters) == 1 and all(len(letter) == 1 and letter.isalpha() for letter in letters - CONSTANTS) and not letters & CONSTANTS:
        for node in names:
            node.id = VARIABLE
    return tree


def read_polynomial(text: str, advice: Callable[[str], str] = lambda name: "") -> list[Fraction]:
    """The coefficients of a formula in ``z``, or in another letter; decimals are read as exact fractions.

    Products may be written without a sign and powers as superscripts: ``2z³``.

    Raises
    ------
    ActivationError
        If the text is not a polynomial in one variable. The message names the part that is not; ``advice`` of the name of a function or
        variable in that part ends it.
    """
    source = with_products(text.strip()).replace("^", "**")
    try:
        tree = in_one_variable(ast.parse(source, mode="eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ActivationError(
            f"activation {text!r}: not a formula; expected {EXAMPLE} (products as 2*z or 2z, powers as z^3 or z**3){advice(text.strip())}"
        ) from None
    return _coefficients(tree.body, source, text, advice)


def _coefficients(node: ast.expr, source: str, text: str, advice: Callable[[str], str]) -> list[Fraction]:
    """Coefficients of a parsed formula, by recursion on its syntax tree."""

    def refuse(why: str, name: str = "") -> ActivationError:
        part = ast.get_source_segment(source, node) or source
        return ActivationError(f"activation {text!r}: {part!r} {why}; expected {EXAMPLE}{advice(name) if name else ''}")

    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        literal = ast.get_source_segment(source, node) or repr(node.value)
        if not isfinite(node.value) if isinstance(node.value, float) else node.value >= MAX_SIZE:
            raise refuse("is too large a number")
        number = decimal(literal.replace("_", ""))
        if number is None:
            raise refuse("is not a decimal number of usual size")
        return [number]
    if isinstance(node, ast.Name) and node.id == VARIABLE:
        return [Fraction(0), Fraction(1)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        sign = -1 if isinstance(node.op, ast.USub) else 1
        return [sign * s for s in _coefficients(node.operand, source, text, advice)]
    if isinstance(node, ast.BinOp):
        left = _coefficients(node.left, source, text, advice)
        right = _coefficients(node.right, source, text, advice)
        if isinstance(node.op, (ast.Add, ast.Sub)):
            sign = -1 if isinstance(node.op, ast.Sub) else 1
            size = max(len(left), len(right))
            left, right = left + [Fraction(0)] * (size - len(left)), right + [Fraction(0)] * (size - len(right))
            return [u + sign * v for u, v in zip(left, right, strict=True)]
        if isinstance(node.op, ast.Mult):
            return product(left, right)
        if isinstance(node.op, ast.Div):
            if len(right) > 1 or not right[0]:
                raise refuse("divides by something that is not a non-zero number")
            return [s / right[0] for s in left]
        if isinstance(node.op, ast.Pow):
            if len(right) > 1 or right[0].denominator != 1 or not 0 <= right[0] <= MAX_DEGREE:
                raise refuse(f"has an exponent that is not an integer from 0 to {MAX_DEGREE}")
            power = [Fraction(1)]
            for _ in range(int(right[0])):
                power = product(power, left)
            return power
    if isinstance(node, ast.Name) and len(node.id) == 1:
        raise refuse(f"is not the variable: a formula has one, such as {VARIABLE}")
    called = node.func if isinstance(node, ast.Call) else node
    raise refuse(
        "is not polynomial (Activation.approximate gives a polynomial close to a function, and Activation.deviation its error)",
        called.id if isinstance(called, ast.Name) else "",
    )


def product(left: Sequence[Fraction], right: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of two polynomials. Raises :class:`ActivationError` for degrees and numbers too large to expand."""
    if len(left) + len(right) > 4 * MAX_DEGREE:
        raise ActivationError(f"activation: a product of degree {len(left) + len(right) - 2} is too large to expand")
    if any(max(part.bit_length() for part in s.as_integer_ratio()) > MAX_BITS for s in (*left, *right)):
        raise ActivationError(f"activation: a product of numbers with more than {MAX_BITS} bits is too large to expand")
    out = [Fraction(0)] * (len(left) + len(right) - 1)
    for i, u in enumerate(left):
        for j, v in enumerate(right):
            out[i + j] += u * v
    return out
