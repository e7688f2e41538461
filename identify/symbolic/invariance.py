r"""The ambiguity group as substitutions that leave the equations as they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from sympy import Expr, Integer, Symbol, expand

from identify.symbolic.two_layers import PolynomialSystem

SCALE = Symbol("t")


def generators(system: PolynomialSystem) -> tuple[dict[Symbol, Expr], ...]:
    """Generators: transpositions of samples, and the sign or the scale t of the first sample (of each label) if they are free.

    Samples with given labels are exchanged only if the labels agree. A sign change that flips the multiplier flips the
    label y_1 if that is a symbol, and lambda_1 otherwise.
    """
    n, group = system.names, system.group
    symbolic_labels = n.y is not None and system.labels is None
    out: list[dict[Symbol, Expr]] = []
    # samples with different given labels are not exchanged, so each class has a sign or scale of its own
    labels = np.ones(n.samples) if system.labels is None else system.labels
    classes = [members for members in (np.flatnonzero(labels == 1).tolist(), np.flatnonzero(labels == -1).tolist()) if members]
    for i, k in (pair for members in classes for pair in pairwise(members)):
        pairs = [*zip(n.x[i], n.x[k], strict=True), *zip(n.multipliers[i], n.multipliers[k], strict=True)]
        if n.y is not None and symbolic_labels:
            pairs.append((n.y[i], n.y[k]))
        out.append({**dict(pairs), **{v: u for u, v in pairs}})
    for i in sorted(members[0] for members in classes) if group.group != "none" else []:
        t = SCALE if group.group == "scaling" else Integer(-1)
        factor = t ** (-group.degree)
        change: dict[Symbol, Expr] = {x: t * x for x in n.x[i]}
        if n.y is not None and symbolic_labels and factor == -1:
            change[n.y[i]] = -n.y[i]
        else:
            change |= {value: factor * value for value in n.multipliers[i]}
        out.append(change)
    return tuple(out)


def is_invariant(system: PolynomialSystem, substitution: dict[Symbol, Expr]) -> bool:
    """Whether the substitution leaves every stationarity equation as it is, by expansion of the difference."""
    original = system.equations[: system.n_stationarity]
    return all(expand(equation.xreplace(substitution) - equation) == 0 for equation in original)
