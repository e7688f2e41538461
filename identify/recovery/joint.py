r"""All equations together: (S) and the side equations of the regime, for degree 2, where (S) alone leaves a rotation.

For :math:`\sigma = s_0 + s_1 z + s_2 z^2` and one output (S) fixes :math:`\sum_i c_i x_i` and :math:`\sum_i c_i x_i x_i^\top`, which
leaves a family of dimension n(n-1)/2. Margins, or the closures of the logistic loss, are n equations more, so for n <= 3 the data can be
determined; for :math:`s_2 z^2` alone they go to the scales of the samples, and the family stays. What is found are isolated solutions,
possibly several: ``evidence["uniqueness"]`` counts them. Random starts, the best multipliers for them, and SciPy's trust-region
method with Jacobians in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.special import expit

from identify.problem.activation import horner
from identify.problem.system import KKTSystem
from identify.recovery.equations import Equations
from identify.recovery.multistart import Proposal, Search
from identify.recovery.projection import Projected
from identify.recovery.reduce import Reduced
from identify.recovery.solution import Failure, InapplicableError
from identify.recovery.starts import random_points

CHUNK = 16
STEPS = 500


def determines(system: KKTSystem, samples: int) -> bool:
    """Whether there are as many equations as unknowns, side equations counted, for degree 2 and one output."""
    one_of_both = system.network.activation.support == (1, 2) or system.network.has_bias
    return has_side_equations(system) and one_of_both and samples <= 3


def has_side_equations(system: KKTSystem) -> bool:
    """Whether margins or logistic closures are equations beside (S)."""
    return system.labels is not None or system.loss == "logistic"


def joint(reduced: Reduced, samples: int, search: Search) -> Iterator[Proposal]:
    """Data sets that solve (S) and its side equations. Cost O(m n^2 (d + 1)^3) for each step of each start."""
    system, net, n = reduced.system, reduced.network, samples
    if not has_side_equations(system):
        raise InapplicableError.of(Failure.NO_SIDE_EQUATIONS)
    equations = Equations.of(net, system.observed, reduced.target)
    size = float(np.linalg.norm(reduced.target))
    problem = Projected.of(reduced)
    width = net.n_inputs + 1

    def solved(X: np.ndarray, c: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, float]:
        def residual(v: np.ndarray) -> np.ndarray:
            x, c = _split(v, n)
            return np.concatenate([equations.residual(x, c) / size, side(x, c[:, 0])[0]])

        def jacobian(v: np.ndarray) -> np.ndarray:
            x, c = _split(v, n)
            _, by_x, by_c = side(x, c[:, 0])
            rows = np.zeros((n, n, width))
            rows[np.arange(n), np.arange(n)] = np.hstack([by_x, by_c[:, None]])
            return np.vstack([equations.jacobian(x, c) / size, rows.reshape(n, -1)])

        def side(x: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            value, slope = outputs_and_slopes(reduced, x)
            if system.labels is not None:
                return signs * value - 1, signs[:, None] * slope, np.zeros(n)
            p = expit(-signs * value)
            return n * c - signs * p, (p * (1 - p))[:, None] * slope, np.full(n, float(n))

        v = np.hstack([X, c]).ravel()
        end = least_squares(residual, v, jac=jacobian, x_scale="jac", max_nfev=STEPS, xtol=1e-15, ftol=1e-15, gtol=1e-15)
        return end.x, np.sqrt(2 * end.cost)

    def chunk(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        X = random_points(net, rng, size * n).reshape(size, n, -1)
        c, _ = problem.multipliers(X)
        patterns = np.tile(system.labels, (size, 1)) if system.labels is not None else rng.choice([-1.0, 1.0], (size, n))
        solutions = []
        for each in zip(X, c, patterns, strict=True):
            if not search.go_on():
                break
            v, residual = solved(*each)
            multipliers = _split(v, n)[1][:, 0]
            if residual <= search.tolerance and (multipliers * each[2] >= 0).all():
                solutions.append(v)
        both = np.array(solutions).reshape(len(solutions), n, width)
        return {"X": both[:, :, :-1], "c": both[:, :, -1:]}

    evidence: dict = {}
    search.evidence["joint"] = evidence
    for outcome in search.chunks("joint", chunk, CHUNK):
        evidence["starts"] = search.starts_done
        for X, c in zip(outcome["X"], outcome["c"], strict=True):
            yield Proposal(X, c)


def _split(v: np.ndarray, n: int) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, "n 1"]]:
    rows = v.reshape(n, -1)
    return rows[:, :-1], rows[:, -1:]


def outputs_and_slopes(reduced: Reduced, X: Float[np.ndarray, "n r"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n r"]]:
    """f and its gradient by the sample, one output, in reduced coordinates."""
    net = reduced.network
    Z = X @ net.W.T + net.offsets
    values, slopes = (horner(net.activation.floats(k), Z) for k in (0, 1))
    return values @ net.A[0], (slopes * net.A[0]) @ net.W
