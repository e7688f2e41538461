"""How many samples there are, when the rank of the target does not tell: as many as the smallest exact solution has.

The first-layer target has rank min(n, d) for independent samples, so full rank says n >= d and no more. Searches with
d, d + 1, ... candidates then go on until one reaches residual zero, and from its solution samples are pruned, one by one, as
long as the residual stays zero. The residual that each number reached is the evidence: it drops to rounding at n. What
was found with n samples bounds their number from above; that fewer do not serve rests on the searches that failed. Numbers beyond
the rank are tried while the equations would do for one sample more: if they barely do, any target has a solution.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np

from identify.recovery.birth import birth
from identify.recovery.multistart import Proposal, Search
from identify.recovery.projection import Projected
from identify.recovery.solution import NotDeterminedError, RecoveryError
from identify.recovery.work import Work

STARTS = 32
"""Starts for each number of samples."""


def counted(work_for: Callable[[int], Work], lowest: int, search_for: Callable[[int], Search]) -> tuple[Work, Proposal]:
    """The smallest number of samples, from ``lowest`` on, with which a search finds an exact solution, and that solution.

    Raises
    ------
    RecoveryError
        When no number for which the target has enough equations does, or the budget is spent.
    """
    path: dict[int, float] = {}
    for n in count(lowest):
        work = work_for(n)
        work.evidence["residual_by_samples"] = path
        try:
            work.refuse_too_few_equations(spare_samples=min(len(path), 1))
        except NotDeterminedError:
            if not path:
                raise
            raise RecoveryError(
                f"recovery: none of {lowest} to {n - 1} samples solves the equations, the best leave a relative residual of "
                f"{min(path.values()):.2g}; the target belongs to another network, is too noisy, or (trained parameters) not stationary",
                **work.evidence,
            ) from None
        search = search_for(STARTS)
        for proposal in birth(work.reduced, n, search):
            *_, path[n] = work.polished(proposal)
            if path[n] <= work.allowed:
                return _pruned(work_for, work, proposal, search, path)
        path[n] = work.evidence["birth"]["smallest_residual"]
        if not search.go_on():
            raise RecoveryError(f"samples: {search.interrupted} before {lowest} to {n} samples solved the equations", **work.evidence)
    raise RecoveryError(f"samples: no number from {lowest} on was tried")  # not reached: the count of equations ends the loop


def _pruned(
    work_for: Callable[[int], Work], work: Work, proposal: Proposal, search: Search, path: dict[int, float]
) -> tuple[Work, Proposal]:
    problem = Projected.of(work.reduced)
    X, n = proposal.X[None], work.samples
    while n > 1:
        fewer, costs = problem.minimised(problem.thinned(X, 1), search)
        path[n - 1] = min(path.get(n - 1, np.inf), float(np.sqrt(costs[0])))
        if costs[0] > search.tolerance**2:
            break
        X, n = fewer, n - 1
    work.evidence["residual_by_samples"] = dict(sorted(path.items()))
    if n == work.samples:
        return work, proposal
    fewer_work = work_for(n)
    c = problem.multipliers(X)[0][0]
    return fewer_work, Proposal(fewer_work.reduced.project(work.reduced.lift(X[0], c)), c)
