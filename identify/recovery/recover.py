"""``recover``: the data from the target, by algebra if it is proved to work, and by search otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from identify.base.compiled import dropping
from identify.base.errors import WrongTypeError
from identify.base.limits import limit_time, seconds_left
from identify.base.norms import exponent, scaled
from identify.base.options import METHODS, choice, positive, valid_seed, whole
from identify.problem.data import check_pair
from identify.problem.features import FeatureSystem
from identify.problem.heads import HeadSystem
from identify.problem.open_multipliers import undetermined_multipliers, with_seen_outputs
from identify.problem.refusals import require_polynomial
from identify.problem.steps import StepsSystem
from identify.problem.system import KKTSystem
from identify.recovery.judging import doubted, judged, judged_batch
from identify.recovery.open_scales import without_open_scales
from identify.recovery.separation.batch import by_separation, is_beyond_polynomials
from identify.recovery.solution import Recovery
from identify.recovery.starts import TOLERANCE as TOLERANCE

FAR = 100
"""Powers of two between one and the largest number of a target, from which it is recovered in other units: squares fit then."""
ALONE = (FeatureSystem, HeadSystem, StepsSystem)
"""Systems that say all that is known of uniqueness themselves."""


@dropping()
def recover(
    system: KKTSystem | FeatureSystem | HeadSystem | StepsSystem,
    *,
    samples: int | None = None,
    method: str = "auto",
    starts: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    tolerance: float | None = None,
    checkpoint: str | Path | None = None,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    judge: bool = True,
    progress: Callable[[str], None] = lambda step: None,
) -> Recovery:
    r"""Recover the training data behind a target, up to the ambiguity that the system leaves.

    Parameters
    ----------
    system
        The equations; or a dense layer behind a known map, from :meth:`KKTSystem.features`; or several steps of training, from
        :meth:`KKTSystem.steps`; or one dense layer behind a softmax loss, from :meth:`KKTSystem.linear_head`: then X are features.
    samples
        n, at least 1; None estimates it: the number of labels, if there are any; else the numerical rank of the first-layer target, lifted
        by the bias target if that is observed. The rank is n for independent samples, and less otherwise: when so many samples
        do not solve the equations, the smallest number is taken with which a search does.
    method
        ``"algebraic"``: subspace reduction, moment solve, simultaneous diagonalisation (Jennrich's algorithm), scale and sign; succeeds
        wherever conditions C1-C3 hold with at most D independent samples. ``"separate"``: separation, a search for one sample at a
        time in the column space of the first-layer target; needs independent samples and about 2n neurons. ``"projection"``: multistart
        variable projection in all samples together. ``"birth"``: births and deaths, local minima are left through two samples more.
        ``"auto"``: these in this order, until one succeeds; ``evidence["tried"]`` says why the others did not.
        ``"splitting"``: sample splitting. ``"joint"``: (S) together with margins or closures; ``"auto"`` takes it when (S) alone leaves
        a family: for degree 2 with at most three samples, and when the moments are too few for the scales.
        Other networks (any depth and activation) have ``"separate"``, which ``"auto"`` takes: forward separation if the first two layers
        of weights were observed; for two layers with fewer outputs than samples, or of which the first alone was observed, backward
        separation, or for piecewise-linear activations quadrics; for other layers what :func:`identify.exposed` names. Weight decay and a
        smooth activation: first closed separation, with the multipliers of the softmax loss (one output: the logistic loss).
        ``evidence["chosen"]`` says why.
    starts
        Random starts of a search, at least 1. All are run, so that ``evidence["uniqueness"]`` rests on all of them. None: as
        many as are needed, up to what a minute or so allows; a search that could afford few only is left out. Other networks: None.
        Behind a known map: at most so many.
    seed
        Of all random numbers, from 0 to 2^53 - 1; the same seed gives the same result.
    budget
        Seconds of wall-clock time, above 0. Searches go on in rounds until they succeed or it is spent; then, or at a keyboard
        interrupt, the best result so far is returned, with ``evidence["interrupted"]``. Algebra, refinement and error bars (NaN without)
        are left out when their estimated cost exceeds what is left: ``evidence["left_out"]``. So is a search whose compiling would.
    tolerance
        Relative residual, above 0, below which data solve the equations. None: what the precision of the target allows, estimated from its
        number format and from the noise behind the numerical rank (:mod:`identify.problem.precision`); ``evidence["precision"]`` has it.
    checkpoint
        A folder: searches save every chunk of starts there, and go on from it to the same bits; separation saves the samples that it has
        found, and begins with them.
    data
        ``(X, c)``, if known: only used to put the errors into ``evidence["errors"]``.
    judge
        Whether :func:`identify.check` judges the recovered data, within about a second: ``found.uniqueness``.
    progress
        Called with the name of each step as it begins.

    Raises
    ------
    RecoveryError
        When no method succeeds: the target belongs to another network, too few samples, too much noise, or too hard a search.
        NotDeterminedError when the target does not determine the data whatever they are, ResidualError when the best data miss it.
    TooLargeError
        Before allocating matrices that would not fit in memory.

    Notes
    -----
    Cost: ``algebraic`` O(m n N^2) for N moments in n dimensions, memory 24 m n N bytes; searches as in their modules.

    References
    ----------
    Shen et al. 2026 (recovery through moments); Golub & Pereyra 1973 (variable projection); Good 1953 and Chao 1984 (estimates of
    what was not seen).

    Examples
    --------
    >>> from identify.planting.configuration import Configuration
    >>> system, truth = Configuration(inputs=4, samples=3, width=12, activation="z + z^3").plant(seed=1)
    >>> found = recover(system)
    >>> bool(found.match(truth.X, truth.c).errors.max() < 1e-9), found.uniqueness.status.value
    (True, 'PROVED')
    """
    seed = valid_seed(seed)
    if isinstance(system, KKTSystem) and (seen := with_seen_outputs(system)) is not system:
        behind = None if data is None else _behind_seen_outputs(system, seen, data)
        found = recover(
            seen,
            samples=samples,
            method=method,
            starts=starts,
            seed=seed,
            budget=budget,
            tolerance=tolerance,
            checkpoint=checkpoint,
            data=behind,
            judge=judge,
            progress=progress,
        )
        return replace(found, c=np.full((found.n_samples, system.network.n_outputs), np.nan))
    if isinstance(system, ALONE) or (isinstance(system, KKTSystem) and is_beyond_polynomials(system)):
        began = time.monotonic()
        usual, k = _in_usual_units(system)
        known = data
        if k and data is not None:
            X, c = check_pair("data", data, system.network if isinstance(system, (KKTSystem, StepsSystem)) else system)
            known = X, scaled(c, k)
        batch = by_separation(usual, samples, method, starts, seed, budget, tolerance, checkpoint, known, progress)
        if isinstance(usual, KKTSystem):
            batch = without_open_multipliers(usual, without_open_scales(usual, batch))
        batch = replace(batch, c=scaled(batch.c, -k)) if k else batch
        if not judge or isinstance(system, ALONE):
            return doubted(batch, is_counted=samples is not None)
        progress("judging the data exactly")
        left = None if budget is None else max(budget - (time.monotonic() - began), 0.0)
        return doubted(replace(batch, uniqueness=judged_batch(system, batch, left)), is_counted=samples is not None)
    from identify.recovery.polynomials import Options, recovered  # loads JAX, which no other network needs

    known = _checked(system, method, data)
    options = Options(
        None if samples is None else whole("samples", samples, advice=", or None to estimate it"),
        method,
        None if starts is None else whole("starts", starts, advice=", or None for as many as are needed"),
        seed,
        None if tolerance is None else positive("tolerance", tolerance, advice=", or None for what the precision of the target allows"),
        None if checkpoint is None else Path(checkpoint),
        budget is None,
        progress,
    )
    usual, k = _in_usual_units(system)
    if known is not None:
        known = known[0], scaled(known[1], k)
    with limit_time(None if budget is None else positive("budget", budget, unit="seconds")), np.errstate(all="ignore"):
        work, recovery = recovered(usual, options, known)
        recovery = replace(recovery, c=scaled(recovery.c, -k)) if k else recovery
        if not judge:
            return recovery
        progress("judging the data exactly")
        judgement = judged(system, recovery, work.precision, seconds_left())
        return doubted(replace(recovery, uniqueness=judgement), is_counted=samples is not None)


def _behind_seen_outputs(system: KKTSystem, seen: KKTSystem, data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Known data, with the multipliers of the outputs that are left."""
    X, c = check_pair("data", data, system.network)
    return X, np.linalg.lstsq(seen.network.weights[-1].T, system.network.weights[-1].T @ c.reshape(len(X), -1).T, rcond=None)[0].T


def without_open_multipliers(system: KKTSystem, recovery: Recovery) -> Recovery:
    """The same recovery with NaN for the multipliers that the observed layers leave open."""
    if not np.isfinite(recovery.X).all():
        return recovery
    is_open = undetermined_multipliers(system, recovery.X).reshape(recovery.c.shape)
    return replace(recovery, c=np.where(is_open, np.nan, recovery.c)) if is_open.any() else recovery


def _in_usual_units(system: Any) -> tuple[Any, int]:
    """The system with targets and multipliers times 2^k, so that their squares are doubles; k is 0 if they are as they stand.

    Closures hold in the given units only, and training has units of its own: such systems stay as they are.
    """
    if isinstance(system, StepsSystem) or (isinstance(system, KKTSystem) and system.loss is not None):
        return system, 0
    if isinstance(system, KKTSystem):
        k = -exponent(system.target) if system.is_partial else -exponent(*system.parts.values())
    else:
        k = -exponent(system.update)
    return (system.rescaled(k), k) if abs(k) > FAR else (system, 0)


def _checked(system: Any, method: str, data: Any) -> tuple[np.ndarray, np.ndarray] | None:
    choice("method", method, METHODS)
    if not isinstance(system, KKTSystem):
        raise WrongTypeError(f"recover: received {type(system).__name__}, expected a KKTSystem")
    require_polynomial("recover", system.network)
    return None if data is None else check_pair("data", data, system.network)
