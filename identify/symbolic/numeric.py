"""Compiled residuals: the equations as functions of arrays, for NumPy and for JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from identify.base.errors import InputError
from identify.base.options import choice
from identify.problem.activation import PiecewiseLinear
from identify.problem.arrays import finite_array
from identify.problem.signals import Nonlinearity, backward, forward, updates_from
from identify.symbolic.pieces import constraints, in_cell, indicator_values, split, through_indicators
from identify.symbolic.system import Part, SymbolicSystem


def lambdify(system: SymbolicSystem, backend: str = "numpy") -> Callable:
    """A function ``f(unknowns, parameters)`` of two vectors, in the order of the system's symbols, that gives all equations.

    ``f`` returns one vector with the value of each equation of :attr:`SymbolicSystem.equations`, in their order: zeros at a solution.
    :func:`point` makes the vector of unknowns from data. Vectors of other lengths raise :class:`InputError`.

    ``backend``: ``"numpy"`` or ``"jax"``; the JAX function can be compiled, differentiated and mapped over batches. It
    evaluates the structured form through :mod:`identify.problem.signals`, at the cost of one gradient of the network for each sample.
    """
    choice("backend", backend, ("numpy", "jax"))
    xp: Any = import_module("jax.numpy") if backend == "jax" else np

    def residual(unknowns, parameters=()):
        """The value of every equation, in order; zero at a solution. ``unknowns`` and ``parameters`` are vectors in the system's order."""
        unknowns, parameters = xp.asarray(unknowns), xp.asarray(parameters)
        if unknowns.shape != (len(system.unknowns),) or parameters.shape != (len(system.parameters),):
            raise InputError(
                f"unknowns, parameters: received shapes {unknowns.shape} and {parameters.shape}, expected ({len(system.unknowns)},) "
                f"and ({len(system.parameters)},), in the order of .unknowns and .parameters"
            )
        given = _split(unknowns, system.unknown_parts) | _split(parameters, system.parameter_parts)
        return xp.concatenate([xp.reshape(row, (-1,)) for row in _rows(system, given, xp)])

    return residual


def point(system: SymbolicSystem, X: ArrayLike, multipliers: ArrayLike, parameters: ArrayLike = ()) -> np.ndarray:
    """The vector of all unknowns at given data, in double precision: with z, h, u and the slopes that these data have.

    Parameters
    ----------
    X, multipliers
        (n, d), and (n,) or (n, C): the values of lambda_i, c_i or gamma_i_o, as the system has them.
    parameters
        In the order of ``system.parameters``, for a system that has some.

    Raises
    ------
    ShapeError
        For arrays of other shapes than these.
    """
    n = system.names
    X = finite_array("X", X, (n.samples, n.inputs), "samples, one per row")
    shape = n.multipliers.shape
    flat = n.outputs == 1 and np.ndim(multipliers) == 1
    values = finite_array("multipliers", multipliers, shape[: 1 + (not flat)], "one row per sample").reshape(shape)
    vector = X[0, :0] if not system.parameters else finite_array("parameters", parameters, (len(system.parameters),), "one for each symbol")
    given = {Part("x"): X, Part("c"): values} | _split(vector, system.parameter_parts)
    weights, biases, _ = Known.of(system, given, np)
    sigmas: list[Nonlinearity] = [
        in_cell(sigma.lines, system.pattern[k], float) if isinstance(sigma, PiecewiseLinear) and system.pattern is not None else sigma
        for k, sigma in enumerate(system.activations)
    ]
    entering, before = forward(weights, biases, sigmas, X)
    y = np.ones(n.samples)
    if n.y is not None:
        y = given[Part("y")] if system.labels is None else system.labels
    signals = backward(weights, sigmas, before, values * y[:, None])
    for k, sigma in enumerate(system.activations):
        given |= {Part("z", k): before[k], Part("h", k): entering[k + 1], Part("u", k): signals[k]}
        if isinstance(sigma, PiecewiseLinear):
            indicators = indicator_values(sigma.lines, before[k])
            given[Part("s", k)] = indicators[0] if len(indicators) == 1 else np.stack(indicators, axis=-1)
    return np.concatenate([np.reshape(given[part], -1) for part in system.unknown_parts])


class Known(NamedTuple):
    """Weights, biases and targets of each layer, as arrays; None for a bias or a target that does not exist."""

    weights: list[Any]
    biases: list[Any]
    targets: list[tuple[Any, Any]]

    @classmethod
    def of(cls, system: SymbolicSystem, given: Mapping[Part, Any], xp: Any) -> Known:
        layers = range(len(system.seen))
        if system.numbers is not None:
            net = system.numbers.network
            biases = [_array(b, xp) for b in net.biases]
            targets = [(_array(update.W, xp), _array(update.bias, xp)) for update in system.numbers.updates]
            return cls([xp.asarray(W) for W in net.weights], biases, targets)
        weights, biases = [given[Part("W", k)] for k in layers], [given.get(Part("b", k)) for k in layers]
        if system.has_targets:
            return cls(weights, biases, [(given.get(Part("tW", k)), given.get(Part("tb", k))) for k in layers])
        factor = given[Part("decay")][0] if system.regime == "weight-decay" else 1.0
        return cls(weights, biases, [(factor * W, None if b is None else factor * b) for W, b in zip(weights, biases, strict=True)])


def _split(vector: Any, parts: Mapping[Part, np.ndarray]) -> dict[Part, Any]:
    """The entries of a vector, in the shapes of the arrays of symbols."""
    out, start = {}, 0
    for part, symbols in parts.items():
        out[part] = vector[start : start + symbols.size].reshape(symbols.shape)
        start += symbols.size
    return out


def nonlinearities(system: SymbolicSystem, given: Mapping[Part, Any], xp: Any) -> list[Nonlinearity]:
    """The activation of each hidden layer; of a piecewise-linear one, through the slopes that are given."""
    out: list[Nonlinearity] = []
    for k, sigma in enumerate(system.activations):
        if isinstance(sigma, PiecewiseLinear):
            if system.pattern is not None:
                out.append(in_cell(sigma.lines, system.pattern[k], float))
            else:
                out.append(through_indicators(sigma.lines, split(given[Part("s", k)], sigma.lines), float))
        else:
            out.append(sigma if xp is np else sigma.jax)
    return out


def _rows(system: SymbolicSystem, given: Mapping[Part, Any], xp: Any) -> list[Any]:
    """The groups of equations, in the order of ``system.equations``."""
    n, depth = system.names, len(system.seen)
    X, multipliers = given[Part("x")], given[Part("c")]
    y = xp.ones(n.samples)
    if n.y is not None:
        y = given[Part("y")] if system.labels is None else xp.asarray(system.labels)
    weights, biases, targets = Known.of(system, given, xp)
    sigmas = nonlinearities(system, given, xp)
    c = multipliers * y[:, None]
    definitions: list[Any] = []
    if system.has_intermediates:
        hidden = range(depth - 1)
        z, h, u = ([given[Part(kind, k)] for k in hidden] for kind in "zhu")
        entering, signals = [X, *h], [*u, c]
        before = [_affine(W, b, at) for W, b, at in zip(weights, biases, entering, strict=True)]
        outputs = before[-1]
        for k in hidden:
            definitions += [z[k] - before[k], h[k] - sigmas[k](z[k], 0), u[k] - sigmas[k](z[k], 1) * (signals[k + 1] @ weights[k + 1])]
    else:
        entering, before = forward(weights, biases, sigmas, X)
        signals, outputs = backward(weights, sigmas, before, c), before[-1]
    rows = []
    for update, target, seen in zip(updates_from(entering, signals), targets, system.seen, strict=True):
        rows += [part - xp.reshape(t, part.shape) for part, t, is_seen in zip(update, target, seen, strict=True) if is_seen]
    f = outputs[:, 0]
    if system.has_margins:
        rows.append(y * f - 1 if system.labels is not None else multipliers[:, 0] * (y * f - 1))
    if system.has_square_closure:
        rows.append(multipliers[:, 0] + 2 / n.samples * (f - given[Part("responses")]))
    return [*rows, *definitions, *_constraints(system, given, xp)]


def _constraints(system: SymbolicSystem, given: Mapping[Part, Any], xp: Any) -> Sequence[Any]:
    """Those of the slopes, neuron by neuron of a layer."""
    out = []
    for k, sigma in enumerate(system.activations):
        if isinstance(sigma, PiecewiseLinear) and system.pattern is None:
            out.append(xp.stack(constraints(sigma.lines, split(given[Part("s", k)], sigma.lines), float), axis=-1))
    return out


def _array(part: Any, xp: Any) -> Any:
    return None if part is None else xp.asarray(part)


def _affine(W: Any, b: Any, X: Any) -> Any:
    return X @ W.T if b is None else X @ W.T + b
