r"""Which samples were in which step, if training took them in batches.

The batches of one pass differ in what the network was when they came: an effect of second order in the learning rate, which the exact
changes of two networks show. *Relaxed*, the weight of each sample in each step is a number to fit, from equal weights; at the solution the
weights are 0 or one over the size of the batch. They are rounded to the nearest batches, pass by pass, as an assignment problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from identify.problem.steps import StepsSystem
from identify.recovery.separation.subspace import complement


def shares_of(batches: list[list[int]], n: int) -> Float[np.ndarray, "T n"]:
    """The weight of each sample in the mean over each batch."""
    out = np.zeros((len(batches), n))
    for t, batch in enumerate(batches):
        out[t, batch] = 1 / len(batch)
    return out


def equal(system: StepsSystem, n: int) -> Float[np.ndarray, "T n"]:
    """Weights of full batches; of others their mean over a pass, which is the same whatever the sizes of the batches."""
    return np.full((system.n_steps(n), n), 1 / n)


def _sizes(system: StepsSystem, n: int) -> list[int]:
    """Of the batches of one pass; the last one may be smaller."""
    assert system.batch_size is not None
    size = system.batch_size
    return [min(size, n - begin) for begin in range(0, n, size)]


def relaxation(system: StepsSystem, n: int) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, "T K"]]:
    """The sizes of all batches; and how unknowns, one row for each, move memberships: those of a sample in one pass add up to 1."""
    T, per = system.n_steps(n), system.batches_in_epoch(n)
    if system.order is not None:
        return np.array([float(len(batch)) for batch in system.order]), np.eye(T)
    sizes, within = np.array(_sizes(system, n), float), complement(np.full((1, per), per**-0.5)).T
    passes = -(-T // per)
    if system.shuffled:
        spread = np.kron(np.eye(passes), within)
    else:
        spread = np.tile(within, (passes, 1))
    return np.tile(sizes, passes)[:T], spread[:T]


def rounded(system: StepsSystem, memberships: Float[np.ndarray, "T n"]) -> list[list[int]]:
    """The batches nearest to these memberships: each sample once in every pass, or as the order says."""
    T, n = memberships.shape
    if system.order is not None:
        return _numbered(system.order, memberships)
    sizes = _sizes(system, n)
    per = len(sizes)
    slots = np.repeat(np.arange(per), sizes)
    batches: list[list[int]] = []
    for begin in range(0, T, per):
        known = np.zeros((per, n))
        own = memberships[begin : begin + per]
        known[: len(own)] = own
        if len(own) < per:  # those that are not seen have the rest
            known[len(own) :] = (1 - own.sum(axis=0)) / (per - len(own))
        samples, places = linear_sum_assignment(-known[slots].T)
        taken = slots[places]
        batches += [sorted(samples[taken == t].tolist()) for t in range(len(own))]
    return batches


def swapped(system: StepsSystem, batches: list[list[int]], n: int) -> Iterator[list[list[int]]]:
    """Batches in which two samples have changed places, or two batches of one size: in one pass, or in every pass if these are alike or
    the order is known. Also two passes that have changed places."""
    T, per = len(batches), system.batches_in_epoch(n)
    together = system.order is not None or not system.shuffled
    whole = [batches[begin : begin + per] for begin in range(0, T, per)]
    for s, t in combinations(range(0 if together else T // per), 2):
        order = [t if k == s else s if k == t else k for k in range(len(whole))]
        yield [batch for k in order for batch in whole[k]]
    for begin in range(0, 1 if together else T, per):
        own = range(T) if together else range(begin, min(begin + per, T))
        for i, j in combinations(range(n), 2):
            other = {i: j, j: i}
            changed = [sorted(other.get(k, k) for k in batch) if t in own else batch for t, batch in enumerate(batches)]
            if changed != batches:
                yield changed
        for s, t in combinations(range(min(per, T - begin)), 2) if system.order is None else ():
            changed = list(batches)
            for first in range(begin, T, per) if together else [begin]:
                if first + t < T and len(batches[first + s]) == len(batches[first + t]):
                    changed[first + s], changed[first + t] = batches[first + t], batches[first + s]
            if changed != batches:
                yield changed


def _numbered(order: tuple[tuple[int, ...], ...], memberships: Float[np.ndarray, "T n"]) -> list[list[int]]:
    """The batches of a known order, with its numbers replaced by those of the samples found: the nearest assignment."""
    n = memberships.shape[1]
    member = np.zeros((len(order), n))
    for t, batch in enumerate(order):
        member[t, list(batch)] = 1.0
    found, numbers = linear_sum_assignment(((memberships[:, :, None] - member[:, None, :]) ** 2).sum(axis=0))
    own = dict(zip(numbers.tolist(), found.tolist(), strict=True))
    return [sorted(own[j] for j in batch) for batch in order]
