"""The equations in a polynomial ring of python-flint: (S) evaluated by the one definition that every view shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import Ordering, fmpq, fmpq_mpoly_ctx
from sympy import Integer, Rational, Symbol

from identify.problem.activation import horner
from identify.problem.gradients import weighted_gradients
from identify.symbolic.system import SymbolicSystem


def ring_of(system: SymbolicSystem) -> tuple[Any, dict[Symbol, Any]]:
    """A polynomial ring over the rationals in the variables of the system, and its generators by symbol."""
    context = fmpq_mpoly_ctx.get([symbol.name for symbol in system.variables], Ordering.degrevlex)
    return context, dict(zip(system.variables, context.gens(), strict=True))


def ring_values(system: SymbolicSystem, context, generators) -> tuple[np.ndarray, ...]:
    """W, A, offsets, X, signed multipliers, and targets (W, bias, a) as arrays of ring elements."""

    def convert(array: np.ndarray) -> np.ndarray:
        out = np.empty(array.shape, dtype=object)
        for index, value in np.ndenumerate(array):
            out[index] = to_ring(value, context, generators)
        return out

    c = np.empty(system.structured.signed.shape, dtype=object)
    for index, factors in np.ndenumerate(system.structured.signed):
        c[index] = to_ring(Integer(1), context, generators)
        for factor in factors:
            c[index] = c[index] * to_ring(factor, context, generators)
    return (*map(convert, system.structured.weights), convert(system.names.x), c, *map(convert, system.structured.targets))


def polynomials_in(system: SymbolicSystem, context, generators) -> list:
    """Every equation as a python-flint polynomial, through :func:`identify.problem.gradients.weighted_gradients`."""
    W, A, offsets, X, c, tW, tb, ta = ring_values(system, context, generators)
    s, ds = ([fmpq(v.numerator, v.denominator) for v in system.activation.derivative(order)] for order in (0, 1))
    parts = weighted_gradients(W, A, offsets, s, ds, X, c)
    out = []
    for part, target, is_observed in zip(parts, (tW, tb, ta), system.observed, strict=True):
        if is_observed:
            out += list((part - target).ravel())
    if system.has_margins or system.has_square_closure:
        f = horner(s, X @ W.T + offsets) @ A.T
        for i in range(system.names.samples):
            factors = system.structured.signed[i, 0]
            multiplier = to_ring(factors[0], context, generators)
            if system.has_square_closure:
                out.append(multiplier + fmpq(2, system.names.samples) * (f[i, 0] - generators[system.structured.responses[i]]))
                continue
            excess = to_ring(factors[1], context, generators) * f[i, 0] - 1
            out.append(excess if system.labels is not None else multiplier * excess)
    return out


def to_ring(value, context, generators):
    """A symbol, a rational, or a product of both, in the polynomial ring."""
    if isinstance(value, Symbol):
        return generators[value]
    if isinstance(value, Rational):
        return context.constant(fmpq(int(value.p), int(value.q)))
    out = context.constant(fmpq(1))
    for factor in value.args:
        out = out * to_ring(factor, context, generators)
    return out
