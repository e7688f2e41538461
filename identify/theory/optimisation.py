r"""The theorem behind sample splitting, tested with exact power series.

A candidate at :math:`x_j \pm \varepsilon v` has polynomials in :math:`\varepsilon` as entries, and so has the objective.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import fmpq, fmpq_poly

from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.gradients import flatten, weighted_gradients
from identify.theory.cases import Case, draw, exactly
from identify.theory.theorem import Seen, Theorem

HALF = Fraction(1, 2)


@dataclass(frozen=True, eq=False)
class Split(Case):
    """An instance whose first candidate is split; ``share`` of its multiplier goes to x + ε v, the rest to x − ε v."""

    share: Fraction = HALF


def _split(share: Fraction):
    def split(config: Configuration, seed: int) -> Case:
        case = draw(config, seed)
        return Split(case.config, case.system, case.X, case.c, case.seed, case.is_exact, share)

    return split


def _expanded(case: Case) -> Seen:
    """The full expansion of the objective, against the splitting matrix."""
    assert isinstance(case, Split)
    rng = np.random.default_rng([case.seed, 0x5B])
    shape = case.X.shape
    candidates, v = exactly(rng.integers(-12, 13, shape) / 8), exactly(rng.integers(1, 9, shape[1]) / 8)
    c, target = _series(exactly(case.c)), _series(exactly(case.system.target))
    X, step = _series(candidates), _along(v)
    share, rest = (fmpq(part.numerator, part.denominator) for part in (case.share, 1 - case.share))
    before = target - _gradients(case, X, c)
    moved = np.vstack([X[:1] + step, X[:1] - step, X[1:]])
    after = target - _gradients(case, moved, np.vstack([c[:1] * share, c[:1] * rest, c[1:]]))
    change = (after * after).sum() - (before * before).sum()
    along = (before * _gradients(case, X[:1] + step, c[:1])).sum()
    curvature = -4 * along[2]
    first, second = change[1], change[2]
    agrees = change[0] == 0 and first == 0 and second == curvature / 2
    evidence = (
        f"shares {case.share} and {1 - case.share}: change of L in order 0, 1, 2 is {_brief(change[0])}, {_brief(first)}, "
        f"{_brief(second)}; vᵀS v / 2 = {_brief(curvature / 2)}; compared over the rationals"
    )
    return Seen(case.share == HALF, bool(agrees), evidence)


def _gradients(case: Case, X: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The right-hand side of (S) in power series."""
    net, sigma = case.system.network, case.system.network.activation
    W, A, offsets = (_series(exactly(part)) for part in (net.W, net.A, net.offsets))
    s, ds = ([fmpq(v.numerator, v.denominator) for v in values] for values in (sigma.coefficients, sigma.derivative()))
    return flatten(weighted_gradients(W, A, offsets, s, ds, X, c), case.system.observed)


def _series(values: np.ndarray) -> np.ndarray:
    out = np.empty(values.shape, dtype=object)
    for index, value in np.ndenumerate(values):  # not all at once: NumPy takes a polynomial for a sequence
        out[index] = fmpq_poly([fmpq(value.numerator, value.denominator)])
    return out


def _along(v: np.ndarray) -> np.ndarray:
    """ε v."""
    out = np.empty(v.shape, dtype=object)
    for k in range(len(v)):
        part: Fraction = v[k]
        out[k] = fmpq_poly([0, fmpq(part.numerator, part.denominator)])
    return out


def _brief(value: fmpq) -> str:
    return f"{int(value.p) / int(value.q):.4g}"


THEOREMS = (
    Theorem(
        name="splitting",
        title="Splitting a sample: second-order change",
        statement=r"Replace candidate $j$ by two with half its multiplier at $x_j \pm \varepsilon v$. This keeps an objective on "
        r"weighted candidates to first order and changes it by $\tfrac12 \varepsilon^2\, v^\top S_j v + O(\varepsilon^3)$ with the "
        r"splitting matrix $S_j$; for $L = \|t - \sum_j c_j \nabla_\theta f(\theta; x_j)\|^2$ with residual $r$ it is "
        r"$S_j = -2\, c_j \nabla_x^2 \langle r, \nabla_\theta f(\theta; x_j)\rangle$. So a negative eigenvalue of $S_j$ gives descent.",
        hypotheses=("both halves get half the multiplier, and move by opposite amounts",),
        conclusion="the change of L has no term of first order, and its second-order term is half of vᵀ S v",
        scope="any network, any candidates",
        reference="Shen, Wang, Qian & Lei 2026, arXiv:2602.08723; for neurons Liu, Wu & Wang 2019, arXiv:1910.02366",
        condition=None,
        configuration=Configuration(inputs=3, samples=2, width=4, activation=Activation.parse("z + z^2 + z^3")),
        examine=_expanded,
        draw=_split(HALF),
        nearest=(("unequal shares", _split(Fraction(1, 3))),),
    ),
)
