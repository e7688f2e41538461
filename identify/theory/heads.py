r"""The theorem about one dense layer behind a softmax loss: so many classes determine what enters it, and the labels.

Conclusions are observed by another solver: descents with numerical derivatives to features whose signal lies in the column space.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from identify.conditions.heads import REFERENCE, classes_needed
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.heads import HeadSystem
from identify.theory.theorem import Seen, Theorem

STARTS, SPREAD = 6, 2.0
"""Descents for each class, and the standard deviation of the entries of their starts."""
SOLVED, APART, FAR = 1e-11, 1e-5, 50.0
"""Misfit of a solution, its least distance from a sample to be another point, and the size from which on a descent has left."""
FULL = 1e-9
"""Ratio of singular values above which a rank counts."""


@dataclass(frozen=True, eq=False)
class HeadCase:
    """An instance: features of as many entries as the configuration has neurons, and a random layer."""

    config: Configuration
    system: HeadSystem
    H: np.ndarray
    classes: np.ndarray
    seed: int


def drawn(config: Configuration, seed: int) -> HeadCase | None:
    """None for one output, which has no softmax."""
    if config.outputs < 2:
        return None
    rng, n, m, C = np.random.default_rng([seed, 0x50F]), config.samples, config.neurons, config.outputs
    A, b, H = rng.standard_normal((C, m)) / m**0.5, rng.standard_normal(C), rng.standard_normal((n, m))
    classes = rng.integers(0, C, n)
    z = H @ A.T + b
    c = (np.eye(C)[classes] - scipy.special.softmax(z, axis=1)) / n
    return HeadCase(config, HeadSystem(A, b, c.T @ H, c.sum(axis=0) if config.bias else None), H, classes, seed)


def _square(config: Configuration, seed: int) -> HeadCase | None:
    """As many equations for one sample as it has unknowns, or one more: other points solve some of them for some class."""
    return drawn(replace(config, outputs=2 * config.samples + 1 - config.bias), seed)


def _determined(case: HeadCase) -> Seen:
    system, H, n = case.system, case.H, len(case.H)
    present, C = len(set(case.classes.tolist())), system.n_outputs
    needed = classes_needed(n, present, system.is_lifted)
    U, values, _ = np.linalg.svd(system.update)
    counted = len(values) > n - 1 and bool(values[n - 1] > FULL * values[0])
    origin, moves = (H[0], H[1:] - H[0]) if system.is_lifted else (np.zeros(H.shape[1]), H)
    outside = U[:, n:].T

    def misfit(t: np.ndarray, y: int) -> np.ndarray:
        signal = np.eye(C)[y] - system.probabilities((origin + t @ moves)[None])[0]
        return outside @ signal / np.linalg.norm(signal)

    rng, converged, others = np.random.default_rng([case.seed, 0x50E]), 0, 0
    for y in range(C):
        for _ in range(STARTS if len(moves) else 0):
            start = SPREAD * rng.standard_normal(len(moves))
            ended = scipy.optimize.least_squares(misfit, start, args=(y,), xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=60)
            h = origin + ended.x @ moves
            if np.linalg.norm(ended.fun) <= SOLVED and np.linalg.norm(h) < FAR:
                converged += 1
                nearest = int(np.linalg.norm(H - h, axis=1).argmin())
                others += bool(np.linalg.norm(H[nearest] - h) > APART or case.classes[nearest] != y)
    evidence = f"{C} classes, {needed} are enough; {converged} descents converged, {others} of them to points that are no samples"
    return Seen(counted and needed <= C, not others if converged else None, evidence)


THEOREMS = (
    Theorem(
        name="softmax-head",
        title="The update of one layer behind a softmax loss determines its inputs, if there are enough classes",
        statement=r"Let $G = \sum_i \omega_i\,(e_{y_i} - p_i)\,(h_i, 1)^\top$ with $p_i = \mathrm{softmax}(A h_i + b)$ and any positive "
        r"weights $\omega_i$, for $n$ distinct $h_i$ with $\ell$ different classes. For almost every $(A, b)$: if $G$ has rank $n$ and "
        r"$C \ge 2n + \ell + 1$, features, classes and weights are the only ones of at most $n$ samples with this update. So $3n + 1$ "
        r"classes are enough for any labels. Without the update of $b$, one more.",
        hypotheses=(
            "two classes or more; the update has rank n, the number of samples",
            "the layer does not depend on the features",
            "as many classes as the count says",
        ),
        conclusion="no other point has features in the row space and a signal in the column space of the update",
        scope="generic network, all data of this rank",
        reference=REFERENCE,
        condition="separation",
        configuration=Configuration(inputs=2, samples=2, width=4, outputs=7, bias=True, activation=Activation.parse("tanh")),
        examine=_determined,
        draw=drawn,
        nearest=(("as many equations as unknowns", _square),),
    ),
)
