r"""The batch behind a dense layer that reads a known map: how many samples, each of them, their signals, and how precise all that is.

The rank of the update counts the samples. :mod:`~identify.recovery.separation.features` finds them one after the other. With all of them
the signals follow from :math:`G = \sum_i u_i\,\tilde\varphi(x_i)^\top` by linear least squares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from identify.base.limits import Clock, Stopped, memory_allowed, refuse_above
from identify.base.norms import relative_size
from identify.problem.activation import MAX_DEGREE
from identify.problem.ambiguity import Ambiguity
from identify.problem.features import FeatureSystem
from identify.problem.precision import format_of
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.feature_map import FeatureMap
from identify.recovery.separation.features import STARTS, FeatureSearch
from identify.recovery.separation.precision import allowed_residual, left_behind, signal_rank
from identify.recovery.separation.subspace import Subspace
from identify.recovery.solution import Failure, InapplicableError, Obstacle, Recovery, ResidualError

METHOD = "feature separation"
PROBES = 16
"""Random samples at which the map must be finite at least once, and whose images show its symmetries."""
NEIGHBOURS, STRAIGHT = 5, 100.0
"""Samples beside each other that a map may take affinely, and units of its rounding up to which it does."""
SHARE = 4
"""Part of the memory allowed that descents take together: one over it."""


def separated_features(
    system: FeatureSystem,
    *,
    samples: int | None,
    seed: int,
    starts: int | None = None,
    tolerance: float | None = None,
    evidence: dict[str, Any] | None = None,
    clock: Clock | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Recovery:
    """Recover the batch behind a layer that reads a known map.

    Parameters
    ----------
    system
        The map, and the update of the layer.
    samples
        n; None reads it off the rank of the update.
    seed
        Of the random starts.
    starts
        Descents at most; None: until 64 of them have found nothing new.
    tolerance
        Relative residual at which a recovery of all samples is accepted; None: what the number format and the noise of the update allow.
    evidence
        Takes the numbers of each step.
    clock
        Asked between steps; the samples found so far are returned when it ends the search, or at a keyboard interrupt.

    Returns
    -------
    Recovery
        ``c`` holds the signals of the layer, one row per sample; NaN if samples are missing, because they are determined together.

    Raises
    ------
    WrongTypeError, ShapeError
        When JAX cannot trace the map, or its values do not fit the layer.
    InapplicableError
        When the rows or the features are too few, or the map is not finite.
    ResidualError
        When no sample was found, or all that were found do not reproduce the update.

    Notes
    -----
    Cost: of each step of each start d forward derivatives of the map, and features·d² multiplications. Memory: two Jacobians for each of
    at most four starts, and what the compiled map needs; stated before anything is allocated.
    """
    evidence, clock = {} if evidence is None else evidence, Clock() if clock is None else clock
    search = search_for(system, samples=samples, seed=seed, starts=starts, evidence=evidence, go_on=clock.go_on, progress=progress)
    try:
        search.run()
    except KeyboardInterrupt:
        clock.interrupted = Stopped.INTERRUPTED
    return _finished(search, tolerance, evidence, clock)


def search_for(
    system: FeatureSystem,
    *,
    samples: int | None = None,
    seed: int = 0,
    starts: int | None = None,
    evidence: dict[str, Any] | None = None,
    go_on: Callable[[], bool] = lambda: True,
    progress: Callable[[str], None] = lambda step: None,
) -> FeatureSearch:
    """The search of :func:`separated_features`, with nothing found yet: sizes are checked, the maps are compiled."""
    evidence = {} if evidence is None else evidence
    unit = format_of(system.W, *([] if system.bias is None else [system.bias]))
    progress("singular values of the update")
    factors = np.linalg.svd(system.update, full_matrices=False)
    ranks = [signal_rank(factors[1], unit, system.update.shape)]
    evidence["ranks"] = ranks
    n = ranks[0] if samples is None else samples
    evidence["behind"] = [left_behind(factors[1], n, unit, system.update)]
    rows, columns = system.update.shape
    equations = columns - n
    if n > rows:
        raise InapplicableError.of(Failure.FEW_ROWS, evidence, samples=n, rows=rows)
    if equations < system.n_inputs:
        numbers = {"samples": n, "columns": columns, "equations": equations, "unknowns": system.n_inputs}
        raise InapplicableError.of(Failure.FEW_FEATURES, evidence, **numbers)
    progress("compiling the map")
    smoothed, map = [FeatureMap.of(system, phi) for phi in system.smoothed], FeatureMap.of(system)
    one = 8 * (3 * system.n_features * system.n_inputs + 3 * system.n_inputs**2)
    refuse_above(
        one + max(each.bytes_needed for each in (*smoothed, map)),
        f"separation behind a map of {system.n_inputs} inputs and {system.n_features} features",
    )
    at_a_time = max(1, min(STARTS, memory_allowed() // SHARE // one))
    search = FeatureSearch(
        system,
        map,
        smoothed,
        Subspace.of(system.update, n, unit, factors),
        unit,
        Ambiguity("none", 1),
        seed,
        at_a_time,
        starts,
        go_on=go_on,
        progress=progress,
    )
    search.ambiguity = _ambiguity(search)
    return search


def _ambiguity(search: FeatureSearch) -> Ambiguity:
    """What leaves every equation as it is, as far as the values of the map at some random samples show."""
    points = search.starts(PROBES)
    values = search.map.values(points)
    finite = np.isfinite(values).all(axis=1) & (np.abs(values).sum(axis=1) > 0)
    if not np.isfinite(values).any():
        raise InapplicableError.of(Failure.NOT_FINITE, points=PROBES)
    points, values = points[finite], values[finite]
    if not len(points):
        return Ambiguity("none", 1)
    close = 100 * search.map.rounding
    lifted = search.system.bias is not None

    def is_image(t: float, factor: float) -> bool:
        return bool(np.allclose(search.map.values(t * points), factor * values, rtol=close, atol=close * np.abs(values).max()))

    for degree in () if lifted else range(1, MAX_DEGREE + 1):
        if is_image(2.0, 2.0**degree):
            return Ambiguity("positive scaling", degree)
    if is_image(-1.0, 1.0):
        return Ambiguity("sign", 2)
    return Ambiguity("sign" if not lifted and is_image(-1.0, -1.0) else "none", 1)


def _finished(search: FeatureSearch, tolerance: float | None, evidence: dict[str, Any], clock: Clock) -> Recovery:
    system, found, n = search.system, search.found, search.n_samples
    numbers = {name: getattr(found, name) for name in ("starts", "converged", "again", "others", "mixed", "hidden", "rejected")}
    evidence["separation"] = numbers | {"samples": n, "found": len(found.X)}
    if not len(found.X):
        obstacle = Obstacle(Failure.NO_SAMPLE, {"samples": n, **numbers})
        raise ResidualError.of(obstacle, _advice(search, clock), **evidence)
    complete = len(found.X) == n
    X, bars = found.X, np.array(found.bars)
    c, residual = np.full((len(X), system.n_outputs), np.nan), float("nan")
    unit = max(search.unit, search.map.rounding)
    noise = max(search.space.relative_noise, unit)
    sizes = np.zeros(0)
    if complete:
        c = np.linalg.lstsq(found.vectors.T, system.update.T, rcond=None)[0]
        residual = relative_size(system.update - c.T @ found.vectors, system.update)
        sizes = np.linalg.norm(c, axis=1) * np.linalg.norm(found.vectors, axis=1)
        order = np.argsort(-sizes, kind="stable")
        X, c, bars, sizes = X[order], c[order], bars[order], sizes[order]
        evidence["separation"]["smallest_signal"] = float(sizes[-1] / sizes[0])
    allowed = (
        allowed_residual(noise, unit, sizes, bars[: len(sizes)] / np.linalg.norm(X[: len(sizes)], axis=1))
        if tolerance is None
        else tolerance
    )
    evidence["precision"] = {"noise": noise, "allowed": allowed}
    if complete and not residual <= allowed:
        obstacle = Obstacle(Failure.RESIDUAL, {"samples": n, "residual": residual, "allowed": allowed})
        raise ResidualError.of(obstacle, "the update belongs to another map, or there are more samples", **evidence)
    if search.ambiguity.group != "none" and complete:
        X, c = search.ambiguity.canonical(X, c)
    bars = np.maximum(bars, np.linalg.norm(np.spacing(np.abs(X)), axis=1) / 2)
    if system.n_outputs == 1:
        c = c[:, 0]
    return Recovery(X, c, residual, bars, METHOD, search.ambiguity, search.seed, evidence, _uniqueness(search))


def _uniqueness(search: FeatureSearch) -> Uniqueness:
    found, n = search.found, search.n_samples
    distinct = found.converged - found.again - found.mixed
    numbers = {"found": len(found.X), "samples": n, "starts": found.starts, "converged": found.converged, "distinct": distinct}
    if len(found.X) < n:
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.PARTIAL, numbers=numbers)
    if np.isinf(found.bars).any():
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.FREE, numbers=numbers)
    if found.others:
        numbers["points"] = n + found.others
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.OTHER_POINTS, numbers=numbers)
    if search.space.right.shape[1] - n == search.system.n_inputs:
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.UNDECIDED, numbers=numbers)
    numbers["alike"] = _in_one_region(found.X, np.array(found.bars), search.map.values, search.map.rounding)
    if numbers["alike"]:
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.ALIKE, numbers=numbers)
    return Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.SEPARATED, numbers=numbers)


def _in_one_region(
    X: Float[np.ndarray, "n d"], bars: Float[np.ndarray, " n"], values: Callable[[np.ndarray], np.ndarray], rounding: float
) -> int:
    """How many samples have another beside them such that the map is affine from one to the other, as its values halfway show.

    Then other points of this line have features in the same span: the update does not tell which two of them were there. What is bent
    by less than error bars is straight as far as the update shows: a weak signal admits points a little beyond a kink.
    """
    if len(X) < 2:
        return 0
    relative = bars / np.maximum(np.linalg.norm(X, axis=1), np.finfo(float).tiny)
    near = np.argsort(cdist(X, X), axis=1)[:, 1 : 1 + NEIGHBOURS]
    pairs = np.unique(np.sort([(i, j) for i, row in enumerate(near) for j in row], axis=1), axis=0).reshape(-1, 2)
    own, halfway = values(X), values((X[pairs[:, 0]] + X[pairs[:, 1]]) / 2)
    ends = own[pairs]
    bent = np.linalg.norm(halfway - ends.mean(axis=1), axis=1)
    allowed = np.maximum(STRAIGHT * rounding, relative[pairs].max(axis=1))
    straight = bent <= allowed * np.linalg.norm(ends, axis=2).max(axis=1)
    return len(np.unique(pairs[straight]))


def _advice(search: FeatureSearch, clock: Clock) -> str:
    found = search.found
    if clock.interrupted:
        return "the search was ended before; allow more time"
    if found.mixed:
        return "the map does not tell the samples from mixtures of each other"
    if found.hidden:
        return "every signal that was found is below the noise of the update"
    return (
        "the map is not the one behind the update (other weights, a mode that mixes samples such as batch normalisation in training), "
        "there are more samples than rows of the update count, or the map is too hard to invert (max pooling); pass starts=... for more"
    )
