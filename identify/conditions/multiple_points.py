r"""Samples that solve the equations of a single sample more than once: how often, over the rationals.

The corank of these equations counts solutions with multiplicity. Let :math:`\mu_i` be the dimension of the local dual space of sample i,
and :math:`k_i - 1` its order. In degree :math:`D \ge \max(g, 1) \sum_i k_i + L` the functionals of all samples are independent on the
monomials, and so is that of another solution (see the theory page). So a corank of :math:`\sum_i \mu_i` leaves none.

The corank is taken modulo a prime, which can only make it larger. The :math:`\mu_i` must not be too large, so they are exact, over the
rationals, in coordinates in which independent samples are unit vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from flint import fmpq, fmpq_mat

from identify.conditions.setting import Setting
from identify.exact.germs import Germ, added, multiplicity, reduced, taylor, vanishing
from identify.exact.instance import Residues
from identify.exact.modular import multiply, rank
from identify.exact.updates import Rationals, rational, rationals
from identify.problem.formulas import horner

ENTRIES = 10**5
"""Of one matrix over the rationals, at most."""
MOST_COORDINATES = 8
Q = 2**61 - 1
"""A prime: dimensions modulo it are upper bounds, and are looked at first."""


@dataclass(frozen=True)
class Points:
    """For each sample its multiplicity, and the order beyond which its dual space does not grow, plus one."""

    multiplicities: tuple[int, ...]
    orders: tuple[int, ...]

    def least_degree(self, weight: int, lowest: int) -> int:
        """In which all functionals, and that of another solution, are independent."""
        return max(weight, 1) * sum(self.orders) + lowest


def multiple_points(setting: Setting, outputs: Sequence[int], first: bool, second: bool, weight: int, lowest: int) -> Points | None:
    """How often each sample solves the equations that the layers give; None if that is not known, or does not fit.

    For equations without multipliers (one output, or the second layer alone), a homogenising variable, and samples that are not zero if
    the monomials leave zero out or the weight is more than one.
    """
    instance = setting.instance
    if len(outputs) != 1 or not weight or not instance.data_are_given or instance.coordinates > MOST_COORDINATES:
        return None
    if (lowest or weight > 1) and not np.asarray(instance.X).any(axis=1).all():
        return None
    W, offsets, samples = _coordinates(setting)
    if comb(instance.coordinates + 1, 2) * instance.width * int(first + second) > ENTRIES:
        return None
    screened: list[tuple[list[Germ], tuple[int, int]]] = []
    layers = [(1, first)] * first + [(0, False)] * second
    assert instance.A is not None
    A = [rational(float(v)) for v in np.asarray(instance.A)[outputs[0]]]
    for x in samples:
        germs: list[Germ] = []
        for order, weighted in layers:
            own = _equations(setting, W, offsets, samples, x, order, A if weighted else None)
            if own is None:
                return None
            germs += own
        germs = [germ for germ in germs if germ]
        if len(germs) < len(x):  # the sample is on a curve of solutions
            return None
        residues = [each for germ in germs if (each := reduced(germ, Q)) is not None]
        above = multiplicity(residues, len(x), Q, ENTRIES) if len(residues) == len(germs) else None
        if above is None:
            return None
        screened.append((germs, above))
    if all(mu == 1 for _, (mu, _) in screened):  # no more than that over the rationals
        return None
    found = []
    for germs, above in screened:
        counted = above if above[0] == 1 else multiplicity(germs, len(samples[0]), None, ENTRIES)
        if counted is None:
            return None
        found.append(counted)
    return Points(tuple(mu for mu, _ in found), tuple(order + 1 for _, order in found))


def are_simple(point: Residues, output: int, first: bool, second: bool) -> bool:
    r"""Whether it is proved that no sample solves the equations of the layers more than once: False says nothing.

    Let T be the values of the neurons at all samples, and G their gradients at one sample. The equations are the combinations
    :math:`\kappa` of neurons with :math:`T\kappa = 0`, so their Jacobian there has rank
    :math:`\operatorname{rank}(T; G) - \operatorname{rank} T`. Full rank modulo a prime is full rank over the rationals.
    """
    q, (n, d) = point.q, point.X.shape
    z = (multiply(point.X, point.W.T, q) + point.offsets) % q
    for order, weights in [(1, point.A[output])] * first + [(0, np.ones(len(point.W), dtype=np.int64))] * second:
        values, slopes = (horner(point.derivatives[order + k], z, point.reduce) * weights % q for k in (0, 1))
        if all(rank(np.vstack([values, slope * point.W.T % q]), q) == n + d for slope in slopes):
            return True
    return False


def _coordinates(setting: Setting) -> tuple[Rationals, list[fmpq], Rationals]:
    """Weights, biases and samples in the coordinates of the setting."""
    instance = setting.instance
    W, X = rationals(np.asarray(instance.W)), rationals(np.asarray(instance.X))
    offsets = [rational(float(v)) for v in instance.offsets] if instance.has_bias and instance.offsets is not None else [fmpq(0)] * len(W)
    if instance.span == "full":
        return W, offsets, X
    n = len(X)
    if not instance.observed.bias:
        unit = [[fmpq(int(i == k)) for k in range(n)] for i in range(n)]
        return (fmpq_mat(W) * fmpq_mat(X).transpose()).tolist(), offsets, unit
    unit = [[fmpq(int(i == k)) for k in range(n - 1)] for i in range(n)]
    moved = [v + b for v, b in zip((fmpq_mat(W) * fmpq_mat([X[-1]]).transpose()).entries(), offsets, strict=True)]
    if n == 1:
        return [[] for _ in W], moved, unit
    directions = fmpq_mat([[u - v for u, v in zip(row, X[-1], strict=True)] for row in X[:-1]])
    return (fmpq_mat(W) * directions.transpose()).tolist(), moved, unit


def _equations(
    setting: Setting, W: Rationals, offsets: list[fmpq], samples: Rationals, x: list[fmpq], order: int, A: list[fmpq] | None
) -> list[Germ] | None:
    """Around x: for each neuron the combination with n others whose values at the samples are independent, that vanishes at all samples."""
    sigma = setting.instance.activation
    derivatives = [[rational(s) for s in sigma.derivative(k)] for k in range(order, sigma.degree + 1)]
    live = [j for j in range(len(W)) if A is None or A[j]]

    def value(j: int, at: list[fmpq]) -> fmpq:
        z = sum((u * v for u, v in zip(W[j], at, strict=True)), offsets[j])
        return horner(derivatives[0], z) * (fmpq(1) if A is None else A[j])

    table = fmpq_mat([[value(j, at) for j in live] for at in samples])
    form, rank = table.rref()
    if rank < len(samples):
        return None
    pivots = [next(k for k in range(len(live)) if form[r, k]) for r in range(rank)]
    germs = []
    for j in live:
        z = sum((u * v for u, v in zip(W[j], x, strict=True)), offsets[j])
        scale = fmpq(1) if A is None else A[j]
        germs.append({e: v * scale for e, v in taylor([horner(f, z) for f in derivatives], W[j]).items()})
    rest = [k for k in range(len(live)) if k not in pivots]
    combined = [added([germs[k], *({e: -form[r, k] * v for e, v in germs[p].items()} for r, p in enumerate(pivots))]) for k in rest]
    return [vanishing(germ) for germ in combined]
