r"""Which samples were in which step, if training took them in batches.

The batches of one pass differ in what the network was when they came: an effect of second order in the learning rate, which the exact
changes of two networks show. From points near all samples, training in some order misses the final network by a vector r. To first
order, other samples nearby change r within a span; the part of r outside tells an order from others although the samples are not known
precisely. Exchanges of two samples, two batches or two passes lower it, from orders drawn at random, to that of the true order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Float

from identify.problem.steps import StepsSystem


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
    """The sizes of the batches of one pass; the last one may be smaller."""
    assert system.batch_size is not None
    size = system.batch_size
    return [min(size, n - begin) for begin in range(0, n, size)]


def drawn(system: StepsSystem, n: int, rng: np.random.Generator) -> list[list[int]]:
    """Batches that may have been these: the samples in an order drawn at random, in each pass another one if they were shuffled."""
    if system.order is not None:
        numbers = rng.permutation(n)
        return [sorted(int(numbers[j]) for j in batch) for batch in system.order]
    T, bounds = system.n_steps(n), np.cumsum(_sizes(system, n))[:-1]
    batches: list[list[int]] = []
    order = rng.permutation(n)
    while len(batches) < T:
        batches += [sorted(part.tolist()) for part in np.split(order, bounds)]
        order = rng.permutation(n) if system.shuffled else order
    return batches[:T]


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
