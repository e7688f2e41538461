"""Error bars of one problem of a network of any depth: the noise of each part as it is, and the Fisher information with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import norm

from identify.conditions.diagnostics.error_bars import reference_sizes
from identify.defence.information import information
from identify.defence.levels import Problem

LEAST = 2.0**-53
"""Noise of a part relative to its root mean square, at least: rounding of doubles."""
EXCEEDED = 1e-3
"""Chance with which an error is larger than stated at most, for Gaussian noise."""
ALIKE = 6
"""Significant digits to which the proportions of noise are compared."""


def noise_of(problem: Problem) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The standard deviation of the noise in each part of the target, and the change itself."""
    system, seen = problem.system, problem.seen
    assert seen is not None and problem.data is not None
    if problem.deviation is not None:
        return dict.fromkeys(system.parts, problem.deviation), {}
    change = seen.with_target(seen.target - seen.right_hand_side(*problem.data)).parts if _differs(problem) else {}
    sizes = {}
    every = norm(system.target) / system.target.size**0.5
    for name, part in system.parts.items():
        size = norm(change[name].reshape(-1)) / part.size**0.5 if change else 0.0
        sizes[name] = max(float(size), LEAST * float(norm(part.reshape(-1)) / part.size**0.5 or every))
    return sizes, change or {name: np.zeros_like(part) for name, part in system.parts.items()}


def _differs(problem: Problem) -> bool:
    assert problem.seen is not None and problem.data is not None
    return bool(np.any(problem.seen.target != problem.seen.right_hand_side(*problem.data)))


def network_bars(problem: Problem, kept: dict[Any, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Largest, typical and informed errors of each sample, relative to its norm.

    The largest is one that Gaussian noise of this size exceeds with a chance of at most :data:`EXCEEDED`, as its norm is concentrated: by
    t times the largest standard deviation in any direction with a chance of at most exp(-t^2 / 2) (Borell, Tsirelson, Ibragimov & Sudakov).
    A change that follows from the data has no chance: there it is the shift itself. ``kept`` holds what was computed before: noise in the
    same proportions has the same information up to a factor.
    """
    assert problem.data is not None
    X, c = problem.data
    noise, change = noise_of(problem)
    size = max(noise.values())
    scale = reference_sizes(X)
    if problem.systematic and problem.system.updates[0].W is not None and problem.system.updates[1].W is not None:
        shift = separation_shift(problem)
        return shift / scale, shift / scale, np.full(len(X), np.nan)
    if problem.systematic:
        fisher = information(problem.system, X, c, noise, change)
        shift = np.full(len(X), np.nan) if fisher.shift is None else np.where(np.isfinite(fisher.typical), fisher.shift, np.inf)
        return shift / scale, shift / scale, np.full(len(X), np.nan)
    key = (id(problem.system), problem.samples, tuple(float(f"{value / size:.{ALIKE}g}") for value in noise.values()))
    if key not in kept:
        unit = {name: value / size for name, value in noise.items()}
        kept[key] = (problem.system, information(problem.system, X, c, unit))
    fisher = kept[key][1]
    largest = (fisher.typical + (-2 * np.log(EXCEEDED)) ** 0.5 * fisher.largest) * size
    informed = fisher.informed * size if problem.deviation is not None else np.full(len(X), np.nan)
    return largest / scale, fisher.typical * size / scale, informed / scale


def separation_shift(problem: Problem) -> Float[np.ndarray, " n"]:
    r"""How far forward separation is off, to first order, if the change of the second update is not noise, and the first is unchanged.

    A sample is searched within the span of the samples, as the point whose activations :math:`\tilde h(x)` are closest to the leading n
    right singular vectors of the second update: one Gauss-Newton step from the sample. Needs the updates of the first two layers.
    """
    system, seen = problem.system, problem.seen
    assert seen is not None and problem.data is not None
    X, _ = problem.data
    net, (first, second) = system.network, seen.updates[:2]
    assert second.W is not None
    lifted = second.bias is not None
    G = second.W if second.bias is None else np.hstack([second.W, second.bias[:, None]])
    rows = np.linalg.svd(G, full_matrices=False)[2][: len(X)]
    before, sigma = net.forward(X).before[0], net.activations[0]
    shift = np.zeros(len(X))
    for i, z in enumerate(before):
        D = X - X[i] if first.bias is not None else X
        h, J = np.append(sigma(z), np.ones(int(lifted))), sigma(z, order=1)[:, None] * (net.weights[0] @ D.T)
        J = np.vstack([J, np.zeros((int(lifted), len(X)))])
        off, moves = h - rows.T @ (rows @ h), J - rows.T @ (rows @ J)
        shift[i] = norm(D.T @ np.linalg.lstsq(moves, off, rcond=1e-12)[0])
    return shift
