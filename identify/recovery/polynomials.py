"""The data behind a network of two layers with a polynomial activation: algebra first, then one search after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from identify.base.limits import OutOfTimeError, is_affordable, time_limit
from identify.problem.arrays import ShapeError
from identify.problem.rank import Spectrum
from identify.problem.system import KKTSystem
from identify.recovery.birth import BORN, CYCLES, STEPS, birth
from identify.recovery.count import counted
from identify.recovery.joint import STEPS as JOINT_STEPS
from identify.recovery.joint import joint
from identify.recovery.multistart import Proposal, Search, Tally, unseen
from identify.recovery.projection import STEPS as PROJECTION_STEPS
from identify.recovery.projection import projection, projection_operations
from identify.recovery.reduce import Reduced
from identify.recovery.separation.cliques import separate, separate_operations
from identify.recovery.solution import Failure, InapplicableError, Obstacle, Recovery, RecoveryError, ResidualError
from identify.recovery.splitting import splitting
from identify.recovery.starts import TOLERANCE
from identify.recovery.work import Work

SEARCHES: dict[str, Callable[[Reduced, int, Search], Iterator[Proposal]]] = {
    "separate": separate,
    "projection": projection,
    "birth": birth,
    "splitting": splitting,
    "joint": joint,
}
"""Every search."""
AUTO = ("separate", "birth", "projection")
"""In this order, after the algebra; when (S) leaves a family that side equations cut down, ``joint`` alone."""
MOST_STARTS = {"separate": 2**15, "projection": 512, "birth": 64, "splitting": 64, "joint": 64}
"""Starts at most, when the caller does not say."""
OPERATIONS = 2e11
"""Operations of all starts of one method together, when the caller does not say: a minute or so on one core."""
FEWEST_STARTS = 16
"""A search that could afford fewer is left out, unless the caller says how many."""
SEARCHED_PER_SECOND = 2e10
"""Rate of these operations (measured: 2e10 to 5e10)."""
CHUNK, BLOCK_SHARE = 16, 0.02
"""Starts at a time, and the part of a start that is done before a search looks at the clock, roughly."""


@dataclass(frozen=True)
class Options:
    """The caller's options, checked."""

    samples: int | None
    method: str
    starts: int | None
    seed: int
    tolerance: float | None
    checkpoint: Path | None
    endless: bool
    """Whether there is no budget: then every search runs once, with as many starts as a minute or so allows."""
    progress: Callable[[str], None]

    def search(self, starts: int, round: int, evidence: dict[str, Any], *, one_is_enough: bool) -> Search:
        """A search with that many starts."""
        tolerance = TOLERANCE if self.tolerance is None else self.tolerance
        return Search(
            self.seed,
            starts,
            tolerance,
            round,
            one_is_enough=one_is_enough,
            deadline=time_limit(),
            progress=self.progress,
            evidence=evidence,
        )


def recovered(system: KKTSystem, options: Options, known: tuple[np.ndarray, np.ndarray] | None) -> tuple[Work, Recovery]:
    """The work that was done, and what came out. The arguments are those of :func:`identify.recover`, checked."""
    if system.target_W is not None and not system.target_W.any():
        raise RecoveryError("target: every number of the first-layer target is zero, so there is nothing to recover the samples from")
    evidence: dict[str, Any] = {}
    samples, spectrum = _samples(system, options.samples, evidence, options.progress)
    certain = samples is not None
    if samples is None:
        assert spectrum is not None
        samples = spectrum.rank

    def work_for(n: int) -> Work:
        return Work(system, n, options.seed, evidence, options.progress, spectrum, options.tolerance)

    work = work_for(samples)
    method, needs_side_equations = options.method, work.needs_side_equations(options.method)
    if method in ("auto", "algebraic") and not needs_side_equations:
        recovery = _by_algebra(work, method, known, certain=certain)
        if recovery is not None:
            return work, recovery
    if not certain and not needs_side_equations and method in ("auto", "birth") and options.checkpoint is None:
        first = _first_number(work)
        if first is not None:
            return _by_counting(work, work_for, first, options, known)
    if needs_side_equations:
        names = ["joint"]
    else:
        work.refuse_too_few_equations()
        names = [method] if method in SEARCHES else [*AUTO]
    for name, search in _searches(work, names, options):
        best = _searched(work, name, search, stop_at_first=options.starts is None and name != "joint")
        if search.interrupted:
            evidence["interrupted"] = search.interrupted
        if best is not None:
            return work, work.finished(*best, name, known)
    raise _nothing_found(work, certain=certain)


def _by_algebra(work: Work, method: str, known: tuple[Any, ...] | None, *, certain: bool) -> Recovery | None:
    """The result of the algebraic route; None when a search may do better, with the reason among ``work.tried``."""
    try:
        return work.finished(*work.algebraic(), "algebraic", known)
    except InapplicableError as error:
        if method == "algebraic":
            raise
        work.note("algebraic", error.obstacle)
    except ResidualError as error:
        if method == "algebraic" or work.algebra_decides(error.obstacle, certain=certain):
            raise
        work.note("algebraic", error.obstacle)
    except OutOfTimeError as error:
        work.leave_out("algebra")
        if method == "algebraic":
            raise RecoveryError(f"recovery: {error}; expected a larger budget", **work.evidence) from None
        work.note("algebraic", Obstacle(Failure.NO_TIME))
    return None


def _first_number(work: Work) -> int | None:
    """From which number of samples on to count, when it was estimated: None when the rank of the target is the best that is known.

    At full rank there may be more. When algebra ran and so many independent samples do not solve the equations, there are more, some
    of them dependent.
    """
    algebra = work.tried.get("algebraic")
    assert work.spectrum is not None
    if algebra is not None and algebra.kind is Failure.RESIDUAL:
        return work.samples + 1
    return work.samples if work.spectrum.is_full else None


def _by_counting(
    work: Work, work_for: Callable[[int], Work], first: int, options: Options, known: tuple[Any, ...] | None
) -> tuple[Work, Recovery]:
    """The data with the smallest number of samples that solve the equations, from ``first`` on."""

    def tolerated(n: int) -> Work:
        another = work_for(n)
        another.precision, another.tried = work.precision, work.tried
        return another

    def search_for(size: int) -> Search:
        return options.search(size, 0, work.evidence, one_is_enough=True)

    counted_work, proposal = counted(tolerated, first, search_for)
    work.evidence["samples_estimated"] = counted_work.samples
    return counted_work, counted_work.finished(*counted_work.polished(proposal)[:2], "birth", known)


def _nothing_found(work: Work, *, certain: bool) -> RecoveryError:
    listed = "; ".join(f"{name}: {obstacle}" for name, obstacle in work.tried.items())
    message = f"recovery: no method found a data set that solves the equations. {listed}"
    if not certain:
        message += f". The number of samples, {work.samples}, is the rank of the target, a lower bound: pass samples=n if it is known"
    if work.smallest_residual < np.inf:
        message += (
            f". The best data leave a relative residual of {work.smallest_residual:.2g}, expected below {work.allowed:.2g}: if the target "
            "is known no better than that, pass tolerance=..."
        )
    error = RecoveryError(message, **work.evidence)
    error.tried = dict(work.tried)
    return error


def _searches(work: Work, names: list[str], options: Options) -> Iterator[tuple[str, Search]]:
    """The searches in their order: every method once, or with a budget (and no number of starts) in rounds until it is spent."""
    starts = options.starts
    for round in count() if not options.endless and starts is None else [0]:
        for name in list(names):
            affordable = _affordable(work, name)
            if starts is None and options.endless and affordable < FEWEST_STARTS:
                work.note(name, Obstacle(Failure.TOO_LARGE, {"starts": affordable}))
                continue
            size = starts or max(affordable, FEWEST_STARTS)
            if not is_affordable(min(size, CHUNK) * _operations(work, name) * BLOCK_SHARE / SEARCHED_PER_SECOND):
                work.note(name, Obstacle(Failure.NO_TIME))
                work.leave_out(name)
                names.remove(name)
                continue
            search = options.search(size, round, work.evidence, one_is_enough=starts is None)
            if options.checkpoint is not None:
                question = f"{work.fingerprint} starts={starts or 'as needed'} tolerance={options.tolerance or TOLERANCE}"
                search.open_checkpoint(options.checkpoint, question)
            yield name, search
            if search.interrupted:
                return
            if name in work.inapplicable:
                names.remove(name)
        if not names:
            return


def _affordable(work: Work, name: str) -> int:
    """How many starts a search may take by itself; from sizes alone, so that the answer does not depend on the machine."""
    return min(MOST_STARTS[name], int(OPERATIONS / _operations(work, name)))


def _operations(work: Work, name: str) -> float:
    """Operations of one start, roughly."""
    net = work.reduced.network
    m, d, C, n = len(net.W), net.n_inputs, net.n_outputs, work.samples
    if name == "separate":
        return separate_operations(m, n, d, C)
    if name == "projection":
        return projection_operations(m, n, d, C)
    if name == "joint":
        return JOINT_STEPS * m * n**2 * (d + 1) ** 3
    return 2 * CYCLES * STEPS / PROJECTION_STEPS * projection_operations(m, n + BORN, d, C)


def _searched(work: Work, name: str, search: Search, *, stop_at_first: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """The solution with the smallest residual that a search finds; what all starts say of uniqueness goes to the evidence."""
    tally = Tally(work.ambiguity, max(100 * search.tolerance, 1e-6))
    best, smallest = None, np.inf
    try:
        for proposal in SEARCHES[name](work.reduced, work.samples, search):
            X, c, residual = work.polished(proposal)
            if not residual <= work.allowed:
                work.smallest_residual = min(work.smallest_residual, residual)
                continue
            tally.add(X, c, residual)
            if residual < smallest:
                best, smallest = (X, c), residual
            if stop_at_first:
                break
    except InapplicableError as error:
        work.note(name, error.obstacle)
        work.inapplicable.add(name)
        return None
    if best is None:
        work.note(name, Obstacle(Failure.NO_SOLUTION, {"starts": search.starts_done + search.round * search.starts}))
    else:
        work.evidence["uniqueness"] = tally.evidence(search.starts_done)
        if search.pieces is not None:
            work.evidence["uniqueness"] |= unseen("candidates", search.pieces)
    return best


def _samples(
    system: KKTSystem, samples: int | None, evidence: dict[str, Any], progress: Callable[[str], None]
) -> tuple[int | None, Spectrum | None]:
    """The number of samples, None if it is not known; and the spectrum of the first-layer target, if that was observed."""
    if system.labels is not None:
        if samples is not None and len(system.labels) != samples:
            raise ShapeError(f"samples: received {samples}, but the system has {len(system.labels)} labels; expected one for each sample")
        samples = len(system.labels)
    if samples is not None:
        return samples, None if system.target_W is None else Spectrum.of(system, directions=True)
    progress("estimating the number of samples")
    spectrum = Spectrum.of(system, directions=True)
    values = spectrum.values[: spectrum.rank + 2].tolist()
    evidence |= {"samples_estimated": spectrum.rank, "rank_gap": spectrum.gap, "singular_values": values}
    return None, spectrum
