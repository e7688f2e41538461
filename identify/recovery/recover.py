"""``recover``: the data from the target, by algebra where it is proved to work, and by search elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np

from identify.base.errors import InputError, WrongTypeError
from identify.base.limits import OutOfTimeError, is_affordable, limit_time, time_limit
from identify.base.options import METHODS, choice
from identify.problem.network import ShapeError
from identify.problem.refusals import require_polynomial
from identify.problem.system import KKTSystem, check_data
from identify.recovery.birth import BORN, CYCLES, STEPS, birth
from identify.recovery.count import counted
from identify.recovery.joint import STEPS as JOINT_STEPS
from identify.recovery.joint import joint
from identify.recovery.measure import measure, over_parameterised
from identify.recovery.multistart import Found, Search, Tally, unseen
from identify.recovery.projection import STEPS as PROJECTION_STEPS
from identify.recovery.projection import projection, projection_operations
from identify.recovery.reduce import Reduced, estimate_samples
from identify.recovery.separation.backward import separate, separate_operations
from identify.recovery.solution import BeyondAlgebraError, Recovery, RecoveryError
from identify.recovery.splitting import splitting
from identify.recovery.work import Work

SEARCHES: dict[str, Callable[[Reduced, int, Search], Iterator[Found]]] = {
    "separate": separate,
    "projection": projection,
    "birth": birth,
    "measure": measure,
    "splitting": splitting,
    "joint": joint,
}
"""Every search."""
AUTO = ("separate", "birth", "projection", "measure")
"""In this order, after the algebra; where degree 2 leaves a rotation, and there are side equations, ``joint`` alone."""
MOST_STARTS = {"separate": 2**15, "projection": 512, "birth": 64, "measure": 512, "splitting": 64, "joint": 64}
"""Starts at most, where the caller does not say."""
OPERATIONS = 2e11
"""For all starts of one method together, where the caller does not say: a minute or so on one core."""
FEWEST_STARTS = 16
"""A search that could afford fewer is left out, unless the caller says how many."""
SEARCHED_PER_SECOND = 2e10
"""Of these operations (measured: 2 to 5 of them)."""
CHUNK, BLOCK_SHARE = 16, 0.02
"""Starts at a time, and the part of a start that is done before a search looks at the clock, roughly."""
TOLERANCE = 1e-6


def recover(
    system: KKTSystem,
    *,
    samples: int | None = None,
    method: str = "auto",
    starts: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    tolerance: float = TOLERANCE,
    checkpoint: str | Path | None = None,
    data=None,
    progress: Callable[[str], None] = lambda step: None,
) -> Recovery:
    r"""Recover the training data behind a target, up to the ambiguity that the system leaves.

    Parameters
    ----------
    system
        The equations.
    samples
        n, at least 1; None estimates it: the number of labels, if there are any; else the numerical rank of the first-layer target
        (valid for independent samples); where that is full, the smallest number with which a search solves the equations exactly.
    method
        ``"algebraic"``: subspace reduction, moment solve, simultaneous diagonalisation, scale and sign; succeeds wherever
        conditions C1-C3 hold with at most D independent samples. ``"separate"``: one sample at a time, from the column
        space of the first-layer target; needs independent samples and about 2n neurons. ``"projection"``: multistart variable
        projection in all samples together. ``"birth"``: local minima are left through two samples more. ``"measure"``: 1.5 n
        candidates, then sparsified. ``"auto"``: these
        in this order, until one succeeds; ``evidence["tried"]`` says why the others did not. ``"splitting"``: sample splitting.
        ``"joint"``: (S) together with margins or closures; ``"auto"`` takes it for degree 2 with at most three samples.
    starts
        Random starts of a search, at least 1. All are run, so that ``evidence["uniqueness"]`` rests on all of them. None: as
        many as are needed, up to what a minute or so allows; a search that could afford few only is left out.
    seed
        Of all random numbers; the same seed gives the same result.
    budget
        Seconds of wall-clock time, above 0. Searches go on in rounds until they succeed or it is spent; then, or at a keyboard
        interrupt, the best result so far is returned, with ``evidence["interrupted"]``. Algebra, polish and error bars (NaN without)
        are left out where their estimated cost exceeds what is left: ``evidence["left_out"]``. Compiling comes on top.
    tolerance
        Relative residual, above 0, below which a search has reached a solution.
    checkpoint
        A folder: searches save every chunk of starts there, and go on from it to the same bits.
    data
        ``(X, c)``, if known: only used to put the errors into ``evidence["errors"]``.
    progress
        Called with the name of each step as it begins.

    Raises
    ------
    RecoveryError
        When no method succeeds: the target belongs to another network, too few samples, too much noise, or too hard a search.
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
    >>> bool(found.match(truth.X, truth.c).errors.max() < 1e-9)
    True
    """
    known = _checked(system, method, starts, budget, tolerance, data)
    with limit_time(budget):
        return _recover(system, samples, method, starts, seed, tolerance, checkpoint, known, progress, endless=budget is None)


def _recover(
    system: KKTSystem,
    samples: int | None,
    method: str,
    starts: int | None,
    seed: int,
    tolerance: float,
    checkpoint: str | Path | None,
    known: tuple[np.ndarray, np.ndarray] | None,
    progress: Callable[[str], None],
    *,
    endless: bool,
) -> Recovery:
    if system.target_W is not None and not system.target_W.any():
        raise RecoveryError("target: every number of the first-layer target is zero, so there is nothing to recover the samples from")
    evidence: dict = {}
    lowest, certain = _samples(system, samples, evidence, progress)
    work = Work(system, lowest, seed, evidence, progress)
    rotates = work.leaves_rotations(method)
    if method in ("auto", "algebraic") and not rotates:
        try:
            return work.finished(*work.algebraic(), "algebraic", known)
        except RecoveryError as error:
            beyond = isinstance(error, BeyondAlgebraError) or not certain
            if method == "algebraic" or not beyond:
                raise
            evidence["tried"] = {"algebraic": str(error)}
        except OutOfTimeError as error:
            work.leave_out("algebra")
            if method == "algebraic":
                raise RecoveryError(f"recovery: {error}; expected a larger budget", **evidence) from None
            evidence["tried"] = {"algebraic": str(error)}
    if not certain and not rotates and method in ("auto", "birth") and checkpoint is None:
        work, found = counted(
            lambda n: Work(system, n, seed, evidence, progress),
            lowest,
            lambda size: Search(seed, size, tolerance, deadline=time_limit(), one_is_enough=True, progress=progress, evidence=evidence),
        )
        evidence["samples_estimated"] = work.samples
        return work.finished(*work.polished(found)[:2], "birth", known)
    evidence.setdefault("tried", {})
    if rotates:
        names = ["joint"]
    else:
        work.refuse_too_few_equations()
        names = [method] if method in SEARCHES else [*AUTO]
    for name, search in _searches(work, names, starts, tolerance, checkpoint, endless=endless):
        best = _searched(work, name, search, stop_at_first=starts is None and name != "joint")
        if search.interrupted:
            evidence["interrupted"] = search.interrupted
        if best is not None:
            return work.finished(*best, name, known)
    listed = "; ".join(f"{name}: {reason}" for name, reason in evidence["tried"].items())
    raise RecoveryError(f"recovery: no method found a data set that solves the equations. {listed}", **evidence)


def _searches(
    work: Work, names: list[str], starts: int | None, tolerance: float, checkpoint: str | Path | None, *, endless: bool
) -> Iterator[tuple[str, Search]]:
    """What to try one after the other: every method once, or with a budget (and no number of starts) in rounds until it is spent."""
    for round in count() if not endless and starts is None else [0]:
        for name in list(names):
            affordable = _affordable(work, name)
            if starts is None and endless and affordable < FEWEST_STARTS:
                reason = f"too large: {affordable} starts would take a minute; pass starts=... or budget=... to search all the same"
                work.evidence["tried"][name] = reason
                continue
            size = starts or max(affordable, FEWEST_STARTS)
            if not is_affordable(min(size, CHUNK) * _operations(work, name) * BLOCK_SHARE / SEARCHED_PER_SECOND):
                work.evidence["tried"][name] = "too large for the time that was left"
                work.leave_out(name)
                names.remove(name)
                continue
            search = Search(
                work.seed,
                size,
                tolerance,
                round,
                one_is_enough=starts is None,
                deadline=time_limit(),
                progress=work.progress,
                evidence=work.evidence,
            )
            if checkpoint is not None:
                question = f"{work.fingerprint} starts={starts or 'as needed'} tolerance={tolerance}"
                search.open_checkpoint(Path(checkpoint), question)
            yield name, search
            if search.interrupted:
                return
            if isinstance(work.evidence.get(name), str):  # it does not apply
                names.remove(name)
        if not names:
            return


def _affordable(work: Work, name: str) -> int:
    """How many starts a search may take by itself; from sizes alone, so that the answer does not depend on the machine."""
    return min(MOST_STARTS[name], int(OPERATIONS / _operations(work, name)))


def _operations(work: Work, name: str) -> float:
    """Of one start, roughly."""
    net = work.reduced.network
    m, d, C, n = len(net.W), net.n_inputs, net.n_outputs, work.samples
    if name == "separate":
        return separate_operations(m, n, d, C)
    if name == "projection":
        return projection_operations(m, n, d, C)
    if name == "joint":
        return JOINT_STEPS * m * n**2 * (d + 1) ** 3
    if name == "measure":
        return projection_operations(m, over_parameterised(n), d, C)
    return 2 * CYCLES * STEPS / PROJECTION_STEPS * projection_operations(m, n + BORN, d, C)


def _searched(work: Work, name: str, search: Search, *, stop_at_first: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """The solution with the smallest residual that a search finds; what all starts say of uniqueness goes to the evidence."""
    tally = Tally(work.ambiguity, max(100 * search.tolerance, 1e-6))
    best, smallest = None, np.inf
    for proposal in SEARCHES[name](work.reduced, work.samples, search):
        X, c, residual = work.polished(proposal)
        if not residual <= search.tolerance:
            continue
        tally.add(X, c, residual)
        if residual < smallest:
            best, smallest = (X, c), residual
        if stop_at_first:
            break
    if best is None:
        found = work.evidence.get(name)
        done = search.starts_done + search.round * search.starts
        reason = found if isinstance(found, str) else f"no solution from {done} starts"
        work.evidence["tried"][name] = reason
    else:
        work.evidence["uniqueness"] = tally.evidence(search.starts_done)
        if search.pieces is not None:
            work.evidence["uniqueness"] |= unseen("candidates", search.pieces)
    return best


def _checked(system, method, starts, budget, tolerance, data) -> tuple[np.ndarray, np.ndarray] | None:
    choice("method", method, METHODS)
    if not isinstance(system, KKTSystem):
        raise WrongTypeError(f"recover: received {type(system).__name__}, expected a KKTSystem")
    require_polynomial("recover", system.network)
    if starts is not None and (isinstance(starts, bool) or not isinstance(starts, (int, np.integer)) or starts < 1):
        raise InputError(f"starts: received {starts!r}, expected an integer of at least 1, or None for as many as are needed")
    for name, value in (("budget", budget), ("tolerance", tolerance)):
        allowed = value is None and name == "budget"
        if not allowed and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < np.inf):
            raise InputError(f"{name}: received {value!r}, expected a positive number")
    if data is None:
        return None
    try:
        X, c = data
    except (TypeError, ValueError):
        raise ShapeError(f"data: received {type(data).__name__}, expected a pair (X, c) of samples and multipliers") from None
    return check_data(X, c, system.network.n_inputs, system.network.n_outputs)


def _samples(system: KKTSystem, samples: int | None, evidence: dict, progress: Callable[[str], None]) -> tuple[int, bool]:
    """The number of samples, and whether it is certain; a lower bound where it is not."""
    if samples is None and system.labels is not None:
        samples = len(system.labels)
    if samples is None:
        progress("estimating the number of samples")
        samples, gap, values = estimate_samples(system)
        evidence |= {"samples_estimated": samples, "rank_gap": gap, "singular_values": values[: samples + 2].tolist()}
        return samples, samples < len(values)
    if isinstance(samples, bool) or not isinstance(samples, (int, np.integer)) or samples < 1:
        raise InputError(f"samples: received {samples!r}, expected an integer of at least 1, or None to estimate it")
    if system.labels is not None and len(system.labels) != samples:
        raise InputError(f"samples: {samples}, but the system has {len(system.labels)} labels; expected one label for each sample")
    return int(samples), True
