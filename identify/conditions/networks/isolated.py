r"""Theorem D: the derivative of (S) in the data and multipliers has full column rank at the data, so they are isolated.

Residues modulo a prime prove the rank if all activations are piecewise-linear, or all polynomials (off the kinks (S) is a polynomial map
near the data), intervals otherwise. If the data are generic, rank at one random point proves it for almost all networks and data: a minor
that is an analytic function and not zero somewhere is zero almost nowhere. If instead the derivative has the largest rank that it can have,
and more columns, the data lie in a manifold of data with the same update, and are not determined (constant rank theorem). That largest rank
is the number of equations, or on the pieces of piecewise-linear activations the rank at random points.

Two things keep the matrix small. Where the first layer's update has rank n, solutions near the data have samples in their span, so that
directions within it suffice. And the rows are tested with random functionals :math:`G_l \mapsto a^\top G_l b`: as many as columns, of
which the products with the derivative need no matrix of the size of the network.
"""

from __future__ import annotations

from math import log2, prod
from typing import Any

import numpy as np

from identify.base.limits import OPERATIONS_PER_SECOND, refuse_above
from identify.conditions.networks.question import ATTEMPTS, BALL_SECONDS, NetworkQuestion
from identify.exact.enclosures import Enclosure
from identify.exact.modular import ERROR_BOUND, MinorBound, rank, rank_seconds
from identify.exact.rings import Modular, Passes, Ring, concatenated, passes, shaped
from identify.problem.activation import PiecewiseLinear
from identify.problem.network import Network
from identify.problem.verdict import Arithmetic, Condition

REFERENCE = "Theorem D (docs, theory): inverse and implicit function theorem"
INTERVAL_SECONDS = 1.3e-9
"""Of a proof that a square matrix of intervals has full rank, for each cube of its size: two QR decompositions, an inverse, products."""
SPARE = 8
"""Functionals beyond the number of columns."""


def columns_of(question: NetworkQuestion) -> tuple[int, bool]:
    """Number of independent unknowns, and whether samples move in their own span only."""
    n, C = question.samples, question.outputs
    whole = question.known_sizes(0)[1] == question.inputs
    inside = question.data is not None and whole and question.rows_can_count and question.counted[0]
    each = n - question.affine[0] if inside else question.inputs
    return n * (each + C - question.scales), inside


def image_sizes(question: NetworkQuestion, inside: bool) -> list[tuple[int, int]]:
    """For each layer, in how many dimensions the updates of its weights and of its bias lie, as far as the structure of (S) says.

    Rows of the first layer's update lie in the span of the samples if these move within it: n dimensions, one of which is that of the
    bias if its update is known.
    """
    found = []
    for layer, (W, bias) in enumerate(question.observed):
        out, inner = question.known_sizes(layer)
        heard = int(np.sum(known_biases(question, layer)))
        if inside and not layer:
            inner = question.samples - question.affine[0]
        found.append((out * inner * W, heard * bias))
    return found


def known_biases(question: NetworkQuestion, layer: int) -> np.ndarray:
    """For each neuron of a layer, from 0, whether the update of its bias is known if that of the layer is."""
    bias = None if question.system is None else question.system.updates[layer].bias
    return np.ones(question.sizes[layer + 1], bool) if bias is None else ~np.isnan(bias)


def isolated_seconds(question: NetworkQuestion) -> float:
    """An estimate from sizes alone."""
    if question.data is None:
        return 0.0
    n, C = question.samples, question.outputs
    each = n - question.affine[0] if question.rows_can_count else question.inputs
    columns = n * (each + C)
    weights = sum(out * inside for inside, out in zip(question.sizes, question.sizes[1:], strict=False))
    functionals = columns * n * sum(question.sizes)
    work = 3 * (n * each * weights + functionals * (1 + each / max(question.inputs, 1))) / OPERATIONS_PER_SECOND
    if question.is_exact:
        return work + 4 * rank_seconds(columns, columns)
    return work + 3 * BALL_SECONDS * n * sum(question.sizes[1:-1]) + INTERVAL_SECONDS * columns**3


def isolated(question: NetworkQuestion) -> Condition:
    """Evaluate Theorem D at given data, or not at all."""
    if question.data is None:
        return _condition(None, "the data are needed: pass data=(X, c)", {}, Arithmetic.NONE)
    kinks = _kinks(question)
    if kinks:
        statement = f"(S) has no derivative here: {kinks} pre-activations lie exactly on a kink"
        return _condition(None, statement, {"kinks": kinks}, Arithmetic.PROOF)
    columns, inside = columns_of(question)
    equations = sum(of_W + of_bias for of_W, of_bias in image_sizes(question, inside))
    goal = min(columns, equations)
    evidence: dict = {"needed": columns, "unknowns": question.unknowns, "equations": question.equations, "in_span": inside}
    refuse_above(24 * (goal + SPARE) * columns, "the derivative of (S)")
    best = 0
    for attempt in range(ATTEMPTS if question.is_exact else 1):
        at = question.passes(attempt)
        matrix = derivative(question, at, goal, inside, attempt)
        if isinstance(at.ring, Modular):
            best = max(best, min(rank(matrix, at.ring.q), goal))
            evidence["primes"] = [*evidence.get("primes", []), at.ring.q]
        else:
            is_full = at.ring.is_full(matrix if goal == columns else matrix.T)
            best = goal if is_full else 0
        if best == goal:
            break
    if best == columns:
        evidence["rank"] = columns
        return _condition(True, f"rank {columns} of {columns}: the data are isolated", evidence, Arithmetic.PROOF)
    images = question.samples * (question.ambiguity.has_free_scale and not question.scales)  # columns that the ambiguity may account for
    if best == goal and columns - goal > images:
        evidence |= {"rank": goal, "dimension": columns - goal}
        whose = "the number of equations" + " for samples in this span" * inside
        statement = f"rank {goal}, {whose}, but {columns} unknowns: the data lie in a family of dimension {columns - goal}"
        return _condition(False, statement, evidence, Arithmetic.PROOF)
    if question.is_exact:
        evidence["rank"] = best
        flat = _is_flat(question, best, goal, inside) if question.equations_are_complete and columns - best > images else None
        if flat is not None:
            evidence |= {"dimension": columns - best, "error_bound": flat}
            statement = (
                f"rank {best} of {columns}, the largest that it has anywhere on these pieces: the data lie in a family of dimension "
                f"{columns - best}"
            )
            return _condition(False, statement, evidence, Arithmetic.MONTE_CARLO)
        statement = f"rank {best} of {columns} modulo primes: {columns - best} directions of change may be invisible to first order"
        return _condition(False, statement, evidence, Arithmetic.EVIDENCE)
    return _condition(None, "full rank of the derivative is not proved in intervals", evidence, Arithmetic.NONE)


def _kinks(question: NetworkQuestion) -> int:
    """Pre-activations exactly on a kink; not those of neurons without weights, which stay there whatever the sample."""
    if question.pieces is None:
        return 0
    assert question.system is not None
    return sum(int(on[:, W.any(axis=1)].sum()) for on, W in zip(question.pieces.on_kink, question.system.network.weights, strict=False))


def _is_flat(question: NetworkQuestion, rank_here: int, goal: int, inside: bool) -> float | None:
    """An error bound if the rank at the data is the largest on their pieces, as random points show; None if it is not, or not shown.

    With the slopes as they are, (S) is a polynomial map. By the constant rank theorem the data then lie in a manifold of solutions.
    """
    system, data = question.system, question.data
    assert system is not None and data is not None
    n, minors, bound, attempt = question.samples, _minors(question, min(goal, rank_here + 1)), 1.0, 0
    while bound > ERROR_BOUND:
        rng = np.random.default_rng([question.seed, 0xF1A7, attempt])
        attempt += 1
        X, c = (rng.integers(-(2**30), 2**30, (n, length)).astype(float) for length in (question.inputs, question.outputs))
        ring = question.ring(attempt + ATTEMPTS)
        at = passes(ring, system.network, X, c)
        assert isinstance(ring, Modular)
        if rank(derivative(question, at, goal, inside, attempt, (X, c), 2**30), ring.q) > rank_here or minors.per_trial() > 0.1:
            return None
        bound *= minors.per_trial()
    return bound


def _minors(question: NetworkQuestion, size: int) -> MinorBound:
    """Of the products of the derivative with random functionals, in a network of degree D on these pieces.

    An entry has degree 2 D + 4 at most in X, c and the functionals, and 2 D L in weights and biases (D telescopes over the layers).
    """
    assert question.system is not None
    exponents = np.concatenate([np.frexp(part[part != 0])[1] for part in question.system.network.parameters.values()] or [np.zeros(1)])
    given = max(int(exponents.max(initial=0)), 0) + max(53 - int(exponents.min(initial=53)), 0)
    inside = prod(sigma.degree if sigma.kind == "polynomial" else 1 for sigma in question.activations)
    numbers = [
        value
        for sigma in question.activations
        for value in ((*sigma.slopes, *sigma.intercepts, *sigma.kinks) if isinstance(sigma, PiecewiseLinear) else sigma.coefficients)
    ]
    own = sum(log2(abs(value.numerator) + 1) + log2(value.denominator) for value in numbers)
    return MinorBound(size * (2.0 * inside + 4), size * (2 * inside * question.depth * (given + own + 32) + 64))


def derivative(
    question: NetworkQuestion,
    at: Passes,
    goal: int,
    inside: bool,
    attempt: int,
    data: tuple[np.ndarray, np.ndarray] | None = None,
    spread: int = 64,
) -> Any:
    """Products of the derivative with random functionals of each observed part; columns by sample: directions of x, then γ.

    ``spread``: the largest number in a functional. Small ones do to show a rank, which is never larger than that of the derivative.
    """
    system, data = question.system, data or question.data
    assert system is not None and data is not None
    net, (X, c) = system.network, data
    rng = np.random.default_rng([question.seed, 0xD, attempt])
    moves = _directions(at.ring, X, question.affine[0], inside)
    in_h, in_u = _tangents(net, at, moves, len(X))
    rows = []
    for layer, sizes in enumerate(image_sizes(question, inside)):
        out, inner = net.weights[layer].shape
        for of_weights in (True, False):
            if size := sizes[not of_weights]:
                count = min(goal + SPARE, size)
                a, b = (rng.integers(-spread, spread + 1, (length, count)).astype(float) for length in (out, inner))
                if of_weights and layer + 1 in question.sent:
                    a[~question.sent[layer + 1].rows], b[~question.sent[layer + 1].columns] = 0.0, 0.0
                if not of_weights:
                    a[~known_biases(question, layer)] = 0.0
                rows.append(_functionals(at, layer, in_h[layer], in_u[layer], a, b if of_weights else None))
    whole = concatenated(rows, axis=0)
    if not question.scales:
        return whole
    each = len(in_u[0].mid if isinstance(in_u[0], Enclosure) else in_u[0])
    outputs = question.outputs  # of every sample one multiplier that is not zero is left out: the kernel moves it
    free = [i * each + each - outputs + int(np.abs(c[i]).argmax()) for i in range(len(X))]
    return shaped(whole, lambda values: np.delete(values, free, axis=1))


def _directions(ring: Ring, X: np.ndarray, affine: int, inside: bool) -> Any:
    """(directions, n, d): along the axes, or in the span of the samples: towards each other one if combinations are affine."""
    n, d = X.shape
    if not inside:
        return ring.read(np.broadcast_to(np.eye(d)[:, None, :], (d, n, d)).copy())
    others = np.stack([np.roll(X, -k, axis=0) for k in range(affine, n)]) if n > affine else np.zeros((0, n, d))
    return ring.plus(ring.read(others), ring.read(-np.broadcast_to(X, others.shape))) if affine else ring.read(others)


def _tangents(net: Network, at: Passes, moves: Any, n: int) -> tuple[list[Any], list[Any]]:
    """Derivatives of what enters each layer (directions, n, size), and of its signals, with the multipliers as further directions."""
    ring, C = at.ring, net.n_outputs
    in_h, in_z = [moves], []
    for layer, W in enumerate(net.weights[:-1]):
        in_z.append(ring.dot(in_h[-1], W.T))
        in_h.append(ring.times(at.slopes[layer], in_z[-1]))
    still = shaped(moves, lambda values: np.zeros((len(values), n, C), values.dtype))
    in_u = [concatenated([still, ring.read(np.broadcast_to(np.eye(C)[:, None, :], (C, n, C)).copy())], axis=0)]
    for layer in range(net.depth - 2, -1, -1):
        weighted = ring.dot(in_u[-1], net.weights[layer + 1])
        bent = ring.times(ring.times(ring.activation(layer, at.before[layer], 2), at.weighted[layer]), in_z[layer])
        none = shaped(bent, lambda values: np.zeros((C, *values.shape[1:]), values.dtype))
        in_u.append(ring.plus(ring.times(at.slopes[layer], weighted), concatenated([bent, none], axis=0)))
    return in_h, in_u[::-1]


def _functionals(at: Passes, layer: int, in_h: Any, in_u: Any, a: np.ndarray, b: np.ndarray | None) -> Any:
    """Derivatives of aᵀ G b for pairs of columns a, b; or of aᵀ Σ u for the bias."""
    ring = at.ring
    left = ring.dot(in_u, a)
    if b is not None:
        right = ring.dot(in_h, b)
        none = shaped(left, lambda values: values[len(in_h.mid if isinstance(in_h, Enclosure) else in_h) :] * 0)
        moved = ring.times(ring.dot(at.signals[layer], a), right)
        left = ring.plus(ring.times(left, ring.dot(at.entering[layer], b)), concatenated([moved, none], axis=0))
    return shaped(left, lambda values: values.transpose(2, 1, 0).reshape(values.shape[2], -1))


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("local", holds, statement, evidence, arithmetic, REFERENCE)
