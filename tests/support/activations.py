"""Activations of every kind for tests, and the definitions of analytic ones in arbitrary precision."""

import mpmath
from hypothesis import strategies as st

from identify.problem.activation import PiecewiseLinear
from identify.problem.functions import FORMULAS

PIECEWISE = ("relu", "leaky_relu", "leaky_relu(1/3)", "abs", "relu6", "hard_tanh", "hard_tanh(-2, 3)", "hard_sigmoid", "soft_shrink(1/4)")
ANALYTIC = tuple(FORMULAS)

rationals = st.fractions(min_value=-20, max_value=20, max_denominator=30)


@st.composite
def piecewise(draw):
    points = sorted(draw(st.sets(rationals, min_size=1, max_size=4)))
    slopes = draw(st.lists(rationals, min_size=len(points) + 1, max_size=len(points) + 1).filter(lambda s: len(set(s)) > 1))
    kinks = draw(st.none() | st.lists(rationals, min_size=len(points), max_size=len(points)))
    return PiecewiseLinear(points, slopes, draw(rationals), kinks=kinks)


REFERENCE = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "log_sigmoid": lambda z: -mpmath.log1p(mpmath.exp(-z)),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "mish": lambda z: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
    "gelu": lambda z: z * mpmath.ncdf(z),
    "gelu_tanh": lambda z: z / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3))),
    "erf": mpmath.erf,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "exp": mpmath.exp,
    "arctan": mpmath.atan,
    "tanh_shrink": lambda z: z - mpmath.tanh(z),
}
"""The definitions, in arbitrary precision."""


def reference(name: str, z: float, order: int) -> float:
    with mpmath.workdps(60):
        return float(mpmath.diff(REFERENCE[name], mpmath.mpf(z), order))
