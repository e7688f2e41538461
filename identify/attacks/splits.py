"""Checks for splits in the run of an attack: ours, one candidate after the other, and the published rule."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from identify.attacks.runs import Splitting
from identify.base.compiled import bounded
from identify.splitting.lanczos import lowest
from identify.splitting.matrices import EXACT_BELOW, Objective, inherit, products_of, smallest, traceable
from identify.splitting.minimise import NEGLIGIBLE, Split, best_step, split
from identify.splitting.published import LANCZOS, chosen, common_step

MOST_STEPS, ROUGH = 60, 1e-2
"""Steps of Lanczos for our rule, at most, and relative residual at which they end."""

SIZES = 4
"""Parts of the places of candidates, of which a check leaves out those that are free."""

Checked = tuple[Objective, np.ndarray, np.ndarray, list[Split]]


def checked(
    objective: Objective, point: dict[str, Any], used: int, splitting: Splitting, cap: int
) -> tuple[Objective, dict[str, Any], list[Split]]:
    """One check: candidates at strict saddles become two, as many as allowed, by the rule of ``splitting``.

    The first check makes room for ``cap`` candidates, with multipliers and shares of zero, so that nothing is compiled again later.
    """
    if cap <= used:
        return objective, point, []
    objective = traceable(objective)
    X, c = (np.asarray(point[name], float) for name in ("X", "c"))
    grown = objective
    if len(X) < cap:
        places = np.arange(cap)
        grown = inherit(objective, np.where(places < len(X), places, 0), (places < len(X)).astype(float))
        X, c = (np.pad(part, ((0, cap - len(part)), (0, 0))) for part in (X, c))
    made: list[Split]
    rule = _as_published if splitting.rule == "published" else _one_by_one
    grown, X, c, made = rule(grown, X, c, used, splitting)
    return (grown, {"X": jax.device_put(X), "c": jax.device_put(c)}, made) if made else (objective, point, made)


def _one_by_one(objective: Objective, X: np.ndarray, c: np.ndarray, used: int, splitting: Splitting) -> Checked:
    """Those with the most negative eigenvalues, each at the best step of a line search, if the objective is lower there."""
    cap = len(X)
    made: list[Split] = []
    if X.shape[1] <= EXACT_BELOW:
        values, vectors = smallest(objective, X, c)
    else:  # the objective decides about a split, so a direction of some digits will do, and a value below zero is one
        values, vectors = _lowest(objective, X, c, used, steps=MOST_STEPS, tolerance=ROUGH)
    for j in np.argsort(values[:used])[: min(splitting.most, cap - used)]:
        if not values[j] < -splitting.threshold:  # the last ones may be NaN
            break
        before = float(_value(objective, X, c))
        step, after = best_step(objective, X, c, int(j), vectors[j])
        if not after < before * (1 - NEGLIGIBLE):
            continue
        steps = np.zeros(cap)
        steps[j] = step
        objective, X, c = _apart(objective, X, c, vectors, steps, used + len(made))
        made.append(Split(int(j), float(values[j]), step, before, after, np.nan))
    return objective, X, c, made


def _as_published(objective: Objective, X: np.ndarray, c: np.ndarray, used: int, splitting: Splitting) -> Checked:
    """Those that the published thresholds choose, as many as there is room for, all at one step."""
    k = len(X)
    values, vectors = _lowest(objective, X, c, used, steps=LANCZOS)
    which = chosen(values[:used])[: k - used]
    if not len(which):
        return objective, X, c, []
    unit = np.zeros(k)
    unit[which] = 1.0
    grown, ends, halved = _apart(objective, X, c, vectors, unit, used)
    middle = X.copy()
    middle[used : used + len(which)] = X[np.sort(which)]
    moves, before = ends - middle, float(_value(objective, X, c))
    step, after = common_step(lambda step: float(_value(grown, middle + step * moves, halved)))
    made = [Split(int(j), float(values[j]), step, before, after, np.nan) for j in np.sort(which)]
    return grown, middle + step * moves, halved, made


def _lowest(objective: Objective, X: np.ndarray, c: np.ndarray, used: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Smallest eigenvalues and their vectors by Lanczos; without most of the free places, in four sizes, of which each is compiled."""
    cap, d = X.shape
    part = max(-(-cap // SIZES), 1)
    rows = min(-(-used // part) * part, cap)
    product = products_of(inherit(objective, np.arange(rows), np.ones(rows)), X[:rows], c[:rows])
    values, vectors = np.zeros(cap), np.zeros((cap, d))
    values[:rows], vectors[:rows], _ = lowest(product, rows, d, **options)
    return values, vectors


def _apart(
    objective: Objective, X: np.ndarray, c: np.ndarray, directions: np.ndarray, steps: np.ndarray, used: int
) -> tuple[Objective, np.ndarray, np.ndarray]:
    """The candidates with a step split; second children take the free places from ``used`` on, in the order of their parents."""
    cap = len(X)
    X, c, parents, shares = split(X, c, directions, steps)
    order = np.arange(cap)
    order[used : used + len(X) - cap] = np.arange(cap, len(X))
    return inherit(objective, parents[order], jax.device_put(shares[order])), X[order], c[order]


@bounded
@jax.jit
def _value(objective: Objective, X: Any, c: Any) -> Any:
    return objective(X, c)
