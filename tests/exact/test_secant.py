"""The variety of one sample's gradients: second derivatives against SymPy, scales against their groups."""

from dataclasses import replace
from functools import reduce as fold
from math import gcd

import numpy as np
import pytest
from sympy import Matrix, hessian, symbols

from identify.exact.instance import Instance
from identify.exact.modular import random_prime
from identify.exact.secant import _hessian, n_scales, second_fundamental_rank
from identify.problem.activation import Activation
from identify.problem.gradients import Observed

Q = 2**31 - 1


def point(activation: str, d: int, m: int, *, outputs=1, bias=False, layers="both", observed=None, q=Q, seed=0):
    instance = Instance(Activation.parse(activation), d, 1, m, outputs, bias, observed or Observed.of(layers, bias))
    return instance.at(q, np.random.default_rng(seed))


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layers", ["both", "first", "second"])
def test_hessian_is_the_second_derivative(outputs, bias, layers):
    p = point("1 - 2*z + z^2/2 + z^3", 2, 2, outputs=outputs, bias=bias, layers=layers)
    rows = len(p.jacobian())
    form = np.random.default_rng(1).integers(0, Q, rows)
    x, gamma = symbols("x:2"), symbols(f"g:{outputs}")
    s = [int(value) for value in p.derivatives[0]]
    z = [sum(int(w) * v for w, v in zip(row, x, strict=True)) + int(b) for row, b in zip(p.W, p.offsets, strict=True)]
    sigma = [sum(c * zj**k for k, c in enumerate(s)) for zj in z]
    slope = [sum(k * c * zj ** (k - 1) for k, c in enumerate(s) if k) for zj in z]
    g = [sum(int(p.A[o, j]) * gamma[o] for o in range(outputs)) for j in range(2)]
    values = []
    if p.observed.W:
        values += [g[j] * slope[j] * v for j in range(2) for v in x]
    if p.observed.bias:
        values += [g[j] * slope[j] for j in range(2)]
    if p.observed.a:
        values += [gamma[o] * sigma[j] for o in range(outputs) for j in range(2)]
    total = sum(int(f) * v for f, v in zip(form, values, strict=True))
    at = dict(zip((*x, *gamma), [int(v) for v in (*p.X[0], *p.c[0])], strict=True))
    exact = Matrix(hessian(total, (*x, *gamma))).subs(at)
    assert _hessian(p, form).tolist() == [[int(v.p * pow(int(v.q), -1, Q) % Q) for v in exact.row(k)] for k in range(2 + outputs)]


@pytest.mark.parametrize(
    ("activation", "d", "m", "options", "rank"),
    [
        ("z + z^2 + z^3", 2, 3, {}, 2),
        ("z + z^2 + z^3", 3, 4, {}, 3),
        ("z^3", 3, 4, {}, 2),  # a Veronese surface, projected
        ("z^2", 3, 4, {"outputs": 2}, 3),
        ("z + z^2", 3, 6, {"outputs": 2, "bias": True}, 4),
        ("z^2", 2, 2, {"layers": "second"}, 0),  # it fills its span: no normal space
        ("z + z^2 + z^3", 2, 1, {}, 0),
    ],
)
def test_second_fundamental_form(activation, d, m, options, rank):
    p = point(activation, d, m, **options)
    gauss, tangent = second_fundamental_rank(p, np.random.default_rng(0))
    assert gauss == rank
    assert tangent == d + options.get("outputs", 1) - (activation in ("z^2", "z^3"))


def test_degenerate_gauss_map():
    """A neuron that sees x_1 only, and enough of them: the image is a cone over a curve, whose tangent spaces do not move along it."""
    p = point("z + z^2 + z^3", 2, 6, layers="second")
    flat = replace(p, W=p.W * [1, 0])
    gauss, tangent = second_fundamental_rank(flat, np.random.default_rng(0))
    assert (gauss, tangent) == (1, 2)


@pytest.mark.parametrize("layers", ["both", "first"])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize(
    "activation", ["z^2", "z^3", "z + z^2", "z + z^3", "z^2 + z^4", "z + z^4", "z + z^2 + z^3", "1 + z^2", "1 + z^3", "1 + z + z^3"]
)
def test_scales_are_those_of_the_group(activation, outputs, layers):
    """t^(k - l) = 1 for all visible degrees, over the complex numbers; 0 stands for every t."""
    p = point(activation, 2, 6, outputs=outputs, layers=layers)
    assert n_scales(p) == fold(gcd, (k - p.degrees[0] for k in p.degrees))


def test_biases_fix_the_scale():
    assert n_scales(point("z + z^3", 2, 4, bias=True)) == 1
    hidden = Observed(W=True, bias=False, a=True)
    assert n_scales(point("z + z^3", 2, 4, bias=True, observed=hidden)) == 1


def test_few_neurons_do_not_fix_the_scale():
    """One neuron, both layers: t sigma'(t z) / sigma(t z) takes its value at t = 1 again."""
    assert n_scales(point("z + z^2 + z^3", 2, 1)) == 2
    assert n_scales(point("z + z^2 + z^3", 2, 1, layers="first")) == 0


def test_without_the_first_layer_nothing_is_said():
    assert n_scales(point("z + z^3", 2, 9, layers="second")) is None


def test_small_primes_only_add_scales():
    """Modulo a small prime polynomials may have more common roots, never fewer."""
    rng = np.random.default_rng(0)
    for seed in range(30):
        q = random_prime(rng, 64)
        try:
            found = n_scales(point("z + z^3", 2, 5, q=q, seed=seed))
        except (ZeroDivisionError, ValueError):
            continue
        assert found is None or found >= 2 or found == 0
