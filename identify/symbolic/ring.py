"""The equations in a polynomial ring of python-flint: (S) evaluated by the one definition that every view shares."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from flint import Ordering, fmpq, fmpq_mpoly_ctx
from sympy import Integer, Mul, Rational, Symbol

from identify.problem.activation import PiecewiseLinear, horner
from identify.problem.gradients import weighted_gradients
from identify.problem.signals import Nonlinearity, backward, forward, updates_from
from identify.symbolic.layered import LayeredSystem
from identify.symbolic.pieces import constraints, in_cell, split, through_indicators
from identify.symbolic.system import Part, SymbolicSystem
from identify.symbolic.two_layers import PolynomialSystem


def ring_of(system: SymbolicSystem) -> tuple[Any, dict[Symbol, Any]]:
    """A polynomial ring over the rationals in the variables of the system, and its generators by symbol."""
    context = fmpq_mpoly_ctx.get([symbol.name for symbol in system.variables], Ordering.degrevlex)
    return context, dict(zip(system.variables, context.gens(), strict=True))


def ring_values(system: PolynomialSystem, context, generators) -> tuple[np.ndarray, ...]:
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
    """Every equation as a python-flint polynomial, through :mod:`identify.problem.signals`; z, h and u are eliminated."""
    if isinstance(system, LayeredSystem):
        return _layer_by_layer(system, context, generators)
    assert isinstance(system, PolynomialSystem)
    W, A, offsets, X, c, tW, tb, ta = ring_values(system, context, generators)
    s, ds = ([_fmpq(v) for v in system.activation.derivative(order)] for order in (0, 1))
    parts = weighted_gradients(W, A, offsets, s, ds, X, c)
    out = []
    for part, target, is_observed in zip(parts, (tW, tb, ta), system.observed, strict=True):
        if is_observed:
            out += list((part - target).ravel())
    if system.has_margins or system.has_square_closure:
        out += _sides(system, context, generators, horner(s, X @ W.T + offsets) @ A.T)
    return out


def _layer_by_layer(system: LayeredSystem, context, generators) -> list:
    def convert(array):
        return None if array is None else np.frompyfunc(lambda value: to_ring(value, context, generators), 1, 1)(array)

    made = system.structured
    weights, biases = [convert(W) for W in made.weights], [convert(b) for b in made.biases]
    X, c = convert(system.names.x), np.frompyfunc(lambda factors: to_ring(Mul(*factors), context, generators), 1, 1)(made.signed)
    sigmas: list[Nonlinearity] = []
    slopes: list = []
    for k, sigma in enumerate(system.activations):
        if not isinstance(sigma, PiecewiseLinear):
            sigmas.append(partial(_polynomial, [[_fmpq(v) for v in sigma.derivative(order)] for order in (0, 1)]))
        elif system.pattern is not None:
            sigmas.append(in_cell(sigma.lines, system.pattern[k], _fmpq))
        else:
            indicators = split(convert(system.unknown_parts[Part("s", k)]), sigma.lines)
            sigmas.append(through_indicators(sigma.lines, indicators, _fmpq))
            slopes += list(np.stack(constraints(sigma.lines, indicators, _fmpq), axis=-1).ravel())
    entering, before = forward(weights, biases, sigmas, X)
    out: list = []
    for parts, targets in zip(updates_from(entering, backward(weights, sigmas, before, c)), made.targets, strict=True):
        for part, target in zip(parts, targets, strict=True):
            if target is not None:
                out += list((part - convert(target)).ravel())
    if system.has_margins or system.has_square_closure:
        out += _sides(system, context, generators, before[-1])
    zero = context.constant(fmpq(0))
    return [zero + polynomial for polynomial in (*out, *slopes)]


def _polynomial(derivatives: list, z, order: int):
    return horner(derivatives[order], z)


def _sides(system: SymbolicSystem, context, generators, f) -> list:
    """Margins or slackness, or the closure of the square loss, from the outputs f."""
    out = []
    for i in range(system.names.samples):
        factors = system.signed_multiplier(i)
        multiplier = to_ring(factors[0], context, generators)
        if system.has_square_closure:
            out.append(multiplier + fmpq(2, system.names.samples) * (f[i, 0] - generators[system.names.responses[i]]))
            continue
        excess = to_ring(factors[1], context, generators) * f[i, 0] - 1
        out.append(excess if system.labels is not None else multiplier * excess)
    return out


def _fmpq(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


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
