r"""The variety of gradients of one sample, :math:`V = \overline{\{[\sum_o \gamma_o \nabla_\theta f_o(\theta; x)]\}}`, modulo a prime.

Its points are what one sample contributes to the target of (S), so data sets of n samples are decompositions of the target
into n points of V. Two of its properties are computed here, each at one random point, where the generic value is attained if it is
attained at all: the rank of its second fundamental form, and the scales t for which x and t x give the same point of V.
"""

from __future__ import annotations

from itertools import pairwise
from math import factorial

import numpy as np
from flint import nmod_mat, nmod_poly
from jaxtyping import Int

from identify.base.limits import refuse_late, refuse_when_spent
from identify.exact.elimination import Elimination, centred
from identify.exact.instance import Residues
from identify.exact.modular import MULTIPLICATIONS, multiply, rank
from identify.problem.activation import horner

FORMS = 12
"""Linear forms on the normal space from which the second fundamental form is put together."""
NEURONS = 8
"""Neurons whose equations are tried first: for V to be seen in them their equations must outnumber its dimension."""
MINORS = 24
"""Minors whose common roots are the scales of a sample."""


def second_fundamental_rank(point: Residues, rng: np.random.Generator) -> tuple[int, int]:
    r"""Rank of :math:`u \mapsto \mathrm{II}(u, \cdot)` at the one sample of ``point``, and of its affine tangent space.

    For a form l that vanishes on the tangent space of the cone over V, :math:`\partial_u \partial_w (l \circ \varphi)` is one component
    of the second fundamental form. Some random forms are used, on the equations of some neurons, so the ranks are lower bounds: few
    neurons first, then more as long as the ranks grow, up to as many as there are parameters.
    Cost O(k (d + C)^3) for k neurons.
    """
    size = point.X.shape[1] + point.c.shape[1]
    neurons, best = NEURONS, (0, 0)
    while True:
        part = point.some_neurons(neurons * point.equations_per_neuron, rng)
        refuse_late(second_fundamental_seconds(size, len(part.W), point.equations_per_neuron), "the second fundamental form of one sample")
        found = _second_fundamental_rank(part, rng)
        if found <= best or found == (size - 1, size) or len(part.W) == len(point.W) or neurons >= size:
            return max(found, best)
        neurons, best = min(4 * neurons, size), found


def second_fundamental_seconds(size: int, neurons: int, equations: int) -> float:
    """An estimate of the CPU time of one of these ranks, for ``size`` = d + C parameters of a sample."""
    rows = neurons * equations
    return 3e-8 * rows * size + (rows * size**2 + FORMS * (3 * neurons + size) * size**2) / MULTIPLICATIONS


def _second_fundamental_rank(part: Residues, rng: np.random.Generator) -> tuple[int, int]:
    tangent = part.jacobian()
    eliminated = Elimination(centred(tangent, part.q), part.q)
    pivots = eliminated.run()
    dimension, rest = len(pivots), len(tangent) - len(pivots)
    if not rest:
        return 0, dimension
    forms = np.empty((FORMS, len(tangent)), dtype=np.int64)  # on the equations in the order of elimination: pivots first
    forms[:, dimension:] = rng.integers(0, part.q, (FORMS, rest))
    through = eliminated.work[dimension:, pivots].astype(np.int64) % part.q  # the other rows of the tangent space in the pivot rows
    forms[:, :dimension] = -multiply(forms[:, dimension:], through, part.q) % part.q  # now they vanish on the tangent space
    forms = forms[:, np.argsort(eliminated.order)]
    stacked = np.concatenate([_hessian(part, form) for form in forms])
    return rank(stacked, part.q), dimension


def _hessian(point: Residues, form: Int[np.ndarray, " equations"]) -> Int[np.ndarray, "D D"]:
    """Second derivatives of form · (sum_o gamma_o grad f_o(x)) in (x, gamma) at the one sample, D = d + C."""
    q, reduce, d, C = point.q, point.reduce, point.W.shape[1], len(point.A)
    x, gamma = point.X[0], point.c[0]
    on_W, on_b, on_a = _split(point, form)
    z = reduce(multiply(point.W, x[:, None], q)[:, 0] + point.offsets)
    _s0, s1, s2, s3 = (horner(point.derivatives[order], z, reduce) for order in range(4))
    along = reduce(multiply(on_W, x[:, None], q)[:, 0] + on_b)  # l_j . x + l_j^b
    g, h = multiply(gamma[None], point.A, q)[0], multiply(gamma[None], on_a, q)[0]
    weights = reduce(reduce(reduce(g * s3) * along) + reduce(h * s2))
    outer = multiply(reduce(weights[:, None] * point.W).T, point.W, q)
    mixed = multiply(reduce(reduce(g * s2)[:, None] * point.W).T, on_W, q)
    in_gamma = reduce(reduce(s2 * along)[:, None] * point.W + reduce(s1[:, None] * on_W))
    out = np.zeros((d + C, d + C), dtype=np.int64)
    out[:d, :d] = reduce(outer + mixed + mixed.T)
    out[:d, d:] = reduce(multiply(in_gamma.T, point.A.T, q) + multiply(reduce(s1[:, None] * point.W).T, on_a.T, q))
    out[d:, :d] = out[:d, d:].T
    return out


def _split(point: Residues, form: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A form on the equations as its parts for W (m, d), biases (m,) and the second layer (C, m); zero if not observed."""
    (m, d), C = point.W.shape, len(point.A)
    parts = []
    for shape, seen in zip(((m, d), (m,), (C, m)), point.observed, strict=True):
        count = int(np.prod(shape)) if seen else 0
        parts.append(form[:count].reshape(shape) if seen else np.zeros(shape, dtype=np.int64))
        form = form[count:]
    return parts[0], parts[1], parts[2]


def n_scales(point: Residues) -> int | None:
    r"""For how many complex t != 0 does t x give the same point of V as a generic sample x? None if that is not settled.

    Needs the first-layer rows: then two samples with the same point of V are parallel, x' = t x, and
    :math:`\varphi(x)` lies in the span of the :math:`\nabla f_o(t x)`, so that all minors of a matrix of polynomials in t vanish. At a
    random point modulo q, their greatest common divisor has at least the degree of the generic one, if one of them has the degree and
    one the order in t that it has in general. The answer 0 stands for every t, as for one visible degree.
    """
    if not point.observed.W or not point.slopes().any():
        return None  # the first-layer rows show nothing
    if point.observed.bias:
        return 1  # the rows of W are those of the biases times x: x itself is seen
    rows = _rows(point)
    if not rows:
        return None  # no neuron looks at the sample
    common = nmod_poly([0], point.q)
    settled_top = settled_bottom = False
    for minor, top, bottom in _minors(rows, point):
        if minor == 0:
            continue
        order = next(k for k, value in enumerate(minor.coeffs()) if int(value))
        settled_top |= minor.degree() == top
        settled_bottom |= order == bottom
        common = common.gcd(minor)
    if common == 0:
        return 0
    if not (settled_top and settled_bottom):
        return None
    order = next(k for k, value in enumerate(common.coeffs()) if int(value))
    return common.degree() - order


def _rows(point: Residues) -> list[tuple[list[nmod_poly], int, int]]:
    """For each equation, the entries of grad f_o(t x) as polynomials in t, and that of the point at t = 1 as the last; then the degree
    and the order in t that the entries have in general."""
    q, p = point.q, len(point.derivatives[0]) - 1
    y = multiply(point.W, point.X[0][:, None], q)[:, 0]
    several, gamma = len(point.A) > 1 and not point.observed.a, point.c[0]
    A = point.A if several else multiply(gamma[None], point.A, q)  # second-layer rows show gamma up to scale: one output then
    weights = gamma if several else np.ones(1, dtype=np.int64)
    lowest = 0 if point.offsets.any() else next(k for k, s in enumerate(point.derivatives[0]) if s and k)
    out: list[tuple[list[nmod_poly], int, int]] = []
    for j in range(len(y)):
        if len(out) >= MINORS + len(A):  # more are not looked at
            break
        at_bias = [horner(point.derivatives[k], point.offsets[j : j + 1], point.reduce)[0] for k in range(p + 1)]
        taylor = [int(at_bias[k]) * pow(factorial(k), -1, q) * pow(int(y[j]), k, q) % q for k in range(p + 1)]
        slope = nmod_poly([k * taylor[k] * pow(int(y[j]), -1, q) % q for k in range(1, p + 1)], q) if y[j] else None
        if slope is None:
            continue
        entries = [int(a) * nmod_poly([0, 1], q) * slope for a in A[:, j]]
        out.append(([*entries, _at_one(entries, weights, q)], p, max(lowest, 1)))
        if point.observed.a:
            value = nmod_poly(taylor, q)
            constant = 0 if point.derivatives[0][0] or point.offsets.any() else lowest
            out.append(([value, _at_one([value], np.ones(1, dtype=np.int64), q)], p, constant))
    return out


def _at_one(entries: list[nmod_poly], weights: np.ndarray, q: int) -> nmod_poly:
    return nmod_poly([sum(int(entry(1)) * int(w) for entry, w in zip(entries, weights, strict=True)) % q], q)


def _minors(rows: list, point: Residues):
    """Minors of neighbouring rows, with the degree and the order that they have in general."""
    size = len(rows[0][0])
    if size == 2:
        for (left, top, low), (right, other, under) in pairwise(rows[:MINORS]):
            yield left[0] * right[1] - right[0] * left[1], max(top, other), min(low, under)
        return
    for start in range(min(MINORS, len(rows) - size + 1)):
        chosen = rows[start : start + size]
        yield _determinant([row for row, _, _ in chosen], point.q), (size - 1) * chosen[0][1], (size - 1) * chosen[0][2]


def _determinant(matrix: list[list[nmod_poly]], q: int) -> nmod_poly:
    """By its values at as many points as it has coefficients, and Lagrange's formula."""
    size = len(matrix)
    count = sum(max(max(entry.degree() for entry in row), 0) for row in matrix) + 1
    refuse_late(count * (1e-7 * size**2 + size**3 / 1e9), "the scales of one sample")
    whole = nmod_poly([1], q)
    for at in range(count):
        whole *= nmod_poly([-at % q, 1], q)
    total = nmod_poly([0], q)
    for at in range(count):
        refuse_when_spent("the scales of one sample")
        value = nmod_mat(size, size, [int(entry(at)) for row in matrix for entry in row], q).det()
        rest = whole // nmod_poly([-at % q, 1], q)
        total += rest * (int(value) * pow(int(rest(at)), -1, q) % q)
    return total
