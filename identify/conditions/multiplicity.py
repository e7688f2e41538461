r"""Isolated data at which the Jacobian is deficient: their local dual space comes to rest.

A zero of multiplicity :math:`\mu > 1`, such as x = 0 for :math:`z^2 + z^3`, is invisible to the rank of the Jacobian. Written around the
data, (S) is a system of polynomials in their displacement. If the local dual spaces of two consecutive orders have the same dimension, the
data are an isolated solution, and that dimension is its multiplicity (:mod:`identify.exact.germs`). Free scales are fixed first: one
coordinate of each sample, one that is not zero, stays.

Where the equations of a single sample have no solutions but the samples, counted with multiplicity, ``macaulay`` proves the data unique.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
from flint import nmod

from identify.conditions.setting import Setting
from identify.exact.germs import ENTRIES, Germ, added, dual_dimensions, product, taylor, vanishing
from identify.exact.instance import Instance, Residues
from identify.exact.modular import random_prime
from identify.problem.activation import horner
from identify.problem.verdict import Arithmetic, Condition

REFERENCE = "Macaulay 1916 (inverse systems): the local dual space"
ENTRY_SECONDS = 3e-7
"""Of an entry of a matrix of multiples (measured)."""


def multiplicity_applies(setting: Setting) -> bool:
    """Whether data are given, and so few that the matrix of the second order is small."""
    instance = setting.instance
    return instance.data_are_given and not setting.data_are_unknown and _entries(setting, 2) <= ENTRIES


def multiplicity_seconds(setting: Setting) -> float:
    """Of the matrices up to the third order, if that is small enough."""
    return ENTRY_SECONDS * min(_entries(setting, 3), float(ENTRIES)) if multiplicity_applies(setting) else 0.0


def _entries(setting: Setting, order: int) -> float:
    instance = setting.instance
    variables = instance.n_unknowns - instance.n_samples * setting.scales_per_sample
    return float(instance.n_rows) * comb(variables + order - 1, order - 1) * comb(variables + order, order)


def multiplicity(setting: Setting) -> Condition:
    """Whether given data are isolated, of whatever multiplicity. Cost: cubic in the monomials of the order that it takes."""
    instance = setting.instance
    if not multiplicity_applies(setting):
        return _condition(None, "needs given data, few enough for the multiples of their equations", {}, Arithmetic.NONE)
    point = prime_point(instance, np.random.default_rng([setting.seed, 0xD0A1]))
    germs, variables = germs_of(point, bool(setting.scales_per_sample))
    evidence: dict[str, Any] = {"unknowns": variables, "equations": len(germs), "primes": [point.q], "dimensions": []}
    for dimension in dual_dimensions(germs, variables, point.q):
        evidence["dimensions"].append(dimension)
        if len(evidence["dimensions"]) > 1 and dimension == evidence["dimensions"][-2]:
            evidence |= {"multiplicity": dimension, "order": len(evidence["dimensions"]) - 2}
            statement = (
                f"the local dual space has dimension {dimension} from order {evidence['order']} on: the data are isolated, and this is "
                "their multiplicity at most"
            )
            return _condition(True, statement, evidence, Arithmetic.PROOF)
    shown = ", ".join(map(str, evidence["dimensions"]))
    return _condition(
        None, f"the local dual spaces of the first orders have dimensions {shown}: not at rest", evidence, Arithmetic.EVIDENCE
    )


def prime_point(instance: Instance, rng: np.random.Generator) -> Residues:
    """The instance modulo a random prime that divides no denominator of the activation."""
    while True:
        q = random_prime(rng)
        if all(s.denominator % q for s in instance.activation.coefficients):
            return instance.at(q, rng)


def germs_of(point: Residues, scale_is_free: bool) -> tuple[list[Germ], int]:
    """The observed equations around the data, and the number of unknowns that move."""
    q, (n, d), C = point.q, point.X.shape, point.c.shape[1]
    still = [int(np.flatnonzero(x)[0]) if scale_is_free and x.any() else -1 for x in point.X]
    moving = [[k for k in range(d) if k != fixed] for fixed in still]
    starts = np.cumsum([0, *(len(each) + C for each in moving)])
    variables = int(starts[-1])

    def number(value: Any) -> nmod:
        return nmod(int(value) % q, q)

    def moved(value: Any, variable: int | None) -> Germ:
        """A number plus one of the unknowns."""
        unit = {} if variable is None else {_unit(variables, variable): number(1)}
        return {(0,) * variables: number(value)} | unit if int(value) % q else unit

    def placed(germ: Germ, i: int) -> Germ:
        """A germ in the coordinates of sample i that move."""
        return {(0,) * int(starts[i]) + e + (0,) * (variables - int(starts[i]) - len(e)): v for e, v in germ.items()}

    Z = (point.X.astype(object) @ point.W.T.astype(object) + point.offsets.astype(object)) % q
    values = [[[number(horner(f, int(z), lambda v: v % q)) for f in point.derivatives] for z in row] for row in Z]
    gammas = [[moved(point.c[i, o], int(starts[i]) + len(moving[i]) + o) for o in range(C)] for i in range(n)]
    samples = [[moved(point.X[i, k], int(starts[i]) + moving[i].index(k) if k in moving[i] else None) for k in range(d)] for i in range(n)]
    germs: list[Germ] = []
    for j in range(len(point.W)):
        weights = [[number(point.W[j, k]) for k in each] for each in moving]
        firsts, seconds = [], []
        for i in range(n):
            heard = added({e: v * number(point.A[o, j]) for e, v in gammas[i][o].items()} for o in range(C))
            firsts.append(product(heard, placed(taylor(values[i][j][1:], weights[i]), i)))
            seconds.append(placed(taylor(values[i][j], weights[i]), i))
        if point.observed.W:
            germs += [added(product(firsts[i], samples[i][k]) for i in range(n)) for k in range(d)]
        if point.observed.bias:
            germs.append(added(firsts))
        if point.observed.a:
            germs += [added(product(gammas[i][o], seconds[i]) for i in range(n)) for o in range(C)]
    return [germ for germ in map(vanishing, germs) if germ], variables


def _unit(variables: int, at: int) -> tuple[int, ...]:
    return tuple(int(k == at) for k in range(variables))


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("multiplicity", holds, statement, evidence, arithmetic, REFERENCE)
