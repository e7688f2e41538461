r"""Dependent gradients: other multipliers for the same samples, with the same target.

(S) is linear in the multipliers, so every k with :math:`\sum_i k_i \nabla_\theta f(\theta; x_i) = 0` gives the family
:math:`(X, c + s k)`. Such k exist for samples that look alike to the network: a zero sample if sigma has no constant term,
opposite samples and an odd sigma, parallel samples and a monomial, outputs with proportional weights. The dependences are
found modulo a prime, solved over the rationals, and multiplied out there against every equation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from flint import fmpq, fmpq_mat
from jaxtyping import Float, Int

from identify.base.limits import TooLargeError, refuse_late
from identify.conditions.setting import Setting
from identify.conditions.witnesses.equations import rational, rationals
from identify.conditions.witnesses.families import change_of_target
from identify.exact.elimination import to_flint, to_numpy
from identify.exact.instance import Residues
from identify.exact.modular import certified_rank, fraction_residues, multiply, pivots
from identify.problem.activation import horner
from identify.problem.gradients import flatten, weighted_gradients
from identify.problem.verdict import Witness

REFERENCE = "linearity of the equations in the multipliers (elementary); kernel vectors over the rationals"
LONGEST = 40
"""Gradients in a dependence that is solved over the rationals, at most."""
RATIONAL_SECONDS = 3e-6
"""Estimate for one operation on rational numbers in Python, with all that goes with it."""
MOST = 50
"""Dependences that are solved over the rationals, at most."""
SHOWN = 6
"""Multipliers that a description lists, at most."""


@dataclass(frozen=True, eq=False)
class Dependence:
    """Gradients that add up to zero: ``columns`` are positions in the flattened (n, C) multipliers, ``factors`` rationals."""

    columns: tuple[int, ...]
    factors: tuple[fmpq, ...]


def dependent_gradients(setting: Setting) -> Witness | None:
    """A linear family of multipliers for given data; None if the gradients are independent, or that is not settled.

    Only for given data and if (S) is all that constrains them. For s between -1 and 1, ``family(s)`` keeps every multiplier
    non-zero, and for one output its sign. The dimension counts the independent dependences that were proved, at most 50, less one
    for each zero sample whose scale is free anyway. Cost O(equations (n C)^2) modulo a prime, and exact rationals for gradients
    that depend on each other, at most 40 at a time.
    """
    if setting.scope.data != "this data" or not setting.equations_are_complete or setting.system is None or setting.data is None:
        return None
    instance = setting.instance
    needed = instance.n_samples * instance.n_outputs
    try:
        found = certified_rank(lambda q, rng: gradients(instance.at(q, rng)), needed, seed=setting.seed + 11)
        if found.is_full:
            return None
        proved = list(_dependences(setting, found.primes[0]))
    except TooLargeError:
        return None
    scales_of_zero = setting.scales_per_sample * int(np.count_nonzero(~setting.data[0].any(axis=1)))
    if len(proved) <= scales_of_zero:
        return None
    shown = next(each for each in proved if _leaves_the_orbit(setting, each))
    return _witness(setting, shown, len(proved) - scales_of_zero)


def gradients(point: Residues) -> Int[np.ndarray, "equations n*C"]:
    """The gradient of every output at every sample: one column for each multiplier, equations in the order of the target."""
    q, reduce, (n, C), m = point.q, point.reduce, point.c.shape, len(point.W)
    Z = reduce(multiply(point.X, point.W.T, q) + point.offsets)
    s0, s1 = (horner(point.derivatives[order], Z, reduce) for order in range(2))
    slopes = reduce(s1[:, None, :] * point.A)
    own = np.eye(C, dtype=np.int64)
    parts = (
        reduce(slopes[..., None] * point.X[:, None, None, :]).reshape(n * C, -1),
        slopes.reshape(n * C, m),
        (own[None, :, :, None] * s0[:, None, None, :]).reshape(n * C, C * m),
    )
    return np.ascontiguousarray(np.hstack([part for part, seen in zip(parts, point.observed, strict=True) if seen]).T)


def _dependences(setting: Setting, q: int) -> Iterator[Dependence]:
    """For gradients that depend modulo q on those chosen as a basis: their dependence, where it holds over the rationals.

    The shortest come first. They are independent, because each has a gradient of its own.
    """
    matrix = gradients(setting.instance.at(q, np.random.default_rng(setting.seed)))
    form, rank = to_flint(matrix, q).rref()
    echelon = to_numpy(form)[:rank]
    basis = (echelon != 0).argmax(axis=1)
    others = np.setdiff1d(np.arange(matrix.shape[1]), basis).tolist()
    found = sorted(([*basis[echelon[:, k] != 0].tolist(), k] for k in others), key=len)
    found = [columns for columns in found[:MOST] if len(columns) <= LONGEST]
    work = len({k for columns in found for k in columns}) * matrix.shape[0] * RATIONAL_SECONDS
    refuse_late(work + sum(len(columns) ** 3 for columns in found) * RATIONAL_SECONDS, "dependences of the gradients over the rationals")
    exact: dict[int, np.ndarray] = {}
    for columns in found:
        exact |= {k: _exact_gradient(setting, k) for k in columns if k not in exact}
        factors = _solved([exact[k] for k in columns], q)
        if factors is not None:
            yield Dependence(tuple(columns), factors)


def _exact_gradient(setting: Setting, column: int) -> np.ndarray:
    """One gradient over the rationals."""
    system, instance = setting.system, setting.instance
    assert system is not None and setting.data is not None
    sample, output = divmod(column, instance.n_outputs)
    net = system.network
    s, ds = ([rational(value) for value in net.activation.derivative(order)] for order in range(2))
    one = np.array([[fmpq(int(o == output)) for o in range(instance.n_outputs)]], dtype=object)
    x = rationals(setting.data[0][sample : sample + 1])
    return flatten(weighted_gradients(rationals(net.W), rationals(net.A), rationals(net.offsets), s, ds, x, one), system.observed)


def _solved(vectors: list[np.ndarray], q: int) -> tuple[fmpq, ...] | None:
    """Factors with which the vectors add up to zero, the last one 1, checked in every entry; None if there are none."""
    *others, last = vectors
    if not others:
        return (fmpq(1),) if not last.any() else None
    table = np.array(others, dtype=object)
    rows, _ = pivots(np.ascontiguousarray(fraction_residues([vector.tolist() for vector in others], q).T), q)
    if len(rows) < len(others):
        return None
    left = fmpq_mat(len(rows), len(others), [v for row in rows for v in table[:, row].tolist()])
    right = fmpq_mat(len(rows), 1, [-last[row] for row in rows])
    factors = [left.solve(right)[k, 0] for k in range(len(others))]
    total = sum((factor * vector for factor, vector in zip(factors, others, strict=True)), last)
    return None if any(v != 0 for v in total) else (*factors, fmpq(1))


def _leaves_the_orbit(setting: Setting, each: Dependence) -> bool:
    """Whether it changes more than the scale of a zero sample, which is free for one visible degree."""
    assert setting.data is not None
    X, c = setting.data
    sample = each.columns[0] // c.shape[1]
    if not setting.scales_per_sample or len(each.columns) > 1 or X[sample].any():
        return True
    return np.flatnonzero(c[sample]).tolist() != [each.columns[0] % c.shape[1]]


def _witness(setting: Setting, each: Dependence, dimension: int) -> Witness:
    assert setting.data is not None and setting.system is not None
    (X, c), system = setting.data, setting.system
    k = _scaled(each, c)

    def family(s: float) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
        return X, c + s * k

    example = family(0.3)
    residual = change_of_target(system, example, (X, c))
    return Witness("multipliers", dimension, _described(each, c.shape[1]), family, (X, c), example, residual)


def _scaled(each: Dependence, c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "n C"]:
    """The dependence in doubles, scaled so that no entry changes by more than the largest of its sample, which so stays non-zero."""
    n, C = c.shape
    exact = np.full(n * C, fmpq(0), dtype=object)
    exact[list(each.columns)] = each.factors
    sizes = rationals(np.abs(c).max(axis=1))
    largest = max(abs(value) / sizes[position // C] for position, value in enumerate(exact))
    values = [value / largest for value in exact]
    return np.array([int(v.p) / int(v.q) for v in values]).reshape(n, C)


def _described(each: Dependence, outputs: int) -> str:
    names = [f"{column // outputs + 1}" + (f",{column % outputs + 1}" if outputs > 1 else "") for column in each.columns]
    listed = ", ".join(f"k_{name} = {_short(value)}" for name, value in zip(names[:SHOWN], each.factors, strict=False))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"the gradients of the samples are dependent: Σ k_i ∇f(x_i) = 0 exactly, with {listed}{more}, the others 0; so the same samples "
        "have the multipliers c + s·k for every s, here with k scaled so that no multiplier vanishes for |s| < 1"
    )


def _short(value: fmpq) -> str:
    text = str(value)
    return text if len(text) <= 12 else f"{int(value.p) / int(value.q):.6g}"
