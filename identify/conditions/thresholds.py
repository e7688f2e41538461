"""``largest_identifiable``: up to how many samples does one network determine generic data?

Three thresholds from few eliminations: the Jacobian of many random samples is reduced once, and the pivots among its first columns
are the ranks for every smaller number of samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from identify.base.errors import InputError
from identify.conditions.count import count
from identify.conditions.decomposition import decomposition
from identify.conditions.generic_global import Secant, generic_global, one_sample_obstacle, without_scales
from identify.conditions.interpolation import interpolation
from identify.conditions.judgement import versions
from identify.conditions.local import local
from identify.conditions.question import setting_of
from identify.conditions.reduction import reduce
from identify.conditions.scale import scale
from identify.conditions.setting import Setting
from identify.exact.elimination import leading_columns
from identify.exact.modular import random_prime
from identify.planting.configuration import Configuration
from identify.problem.ambiguity import Ambiguity
from identify.problem.refusals import require_polynomial
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.verdict import Arithmetic, Scope


@dataclass(frozen=True)
class Thresholds:
    """Numbers of samples, for generic data, up to the ambiguity.

    Attributes
    ----------
    unique_by_moments
        The largest n proved unique by interpolation, decomposition and scale (C1, C2, C3); 0 if none is.
    unique_by_generic_global
        The largest n proved unique by generic global uniqueness (C5); 0 if none is.
    locally_unique
        The largest n for which generic data are proved isolated; 0 if none.
    not_identifiable
        The smallest n for which generic data are proved to lie in a family of positive dimension; None if that was not established.
    arithmetic
        How ``not_identifiable`` was established: a count (proof), or an exact Monte Carlo rank with ``error_bound``.
    """

    scope: Scope
    unique_by_moments: int
    unique_by_generic_global: int
    locally_unique: int
    not_identifiable: int | None
    arithmetic: Arithmetic
    error_bound: float
    ambiguity: Ambiguity
    seed: int
    versions: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def unique(self) -> int:
        """The largest n proved unique; every smaller n is, too."""
        return max(self.unique_by_moments, self.unique_by_generic_global)

    def explain(self) -> str:
        """The thresholds in sentences."""
        how = f" ({self.arithmetic}{f', error below {self.error_bound:.1e}' if self.error_bound else ''})"
        return "\n".join(
            [
                f"For {self.scope}, up to {'; '.join(self.ambiguity.describe())}:",
                f"  unique up to {self.unique} samples: {self.unique_by_generic_global} by generic global uniqueness, "
                f"{self.unique_by_moments} by the moments",
                f"  isolated up to {self.locally_unique} samples",
                "  not identifiable: "
                + ("not established" if self.not_identifiable is None else f"from {self.not_identifiable} samples on{how}"),
            ]
        )

    def to_dict(self) -> dict:
        """JSON values."""
        return {
            "scope": {"network": self.scope.network, "data": self.scope.data},
            "unique": self.unique,
            "unique_by_moments": self.unique_by_moments,
            "unique_by_generic_global": self.unique_by_generic_global,
            "locally_unique": self.locally_unique,
            "not_identifiable": self.not_identifiable,
            "arithmetic": self.arithmetic.value,
            "error_bound": self.error_bound,
            "ambiguity": list(self.ambiguity.describe()),
            "seed": self.seed,
            "versions": self.versions,
        }


def largest_identifiable(problem: Configuration | KKTSystem, *, seed: int = 0, progress: Callable[[str], None] | None = None) -> Thresholds:
    """The numbers of generic samples up to which a network determines them, and from which on it does not.

    Parameters
    ----------
    problem
        A :class:`Configuration` (a generic network; its ``samples`` are not used), or a :class:`KKTSystem` (this network), of
        regime ``gradient`` or ``lazy``.
    seed
        Of the random primes and points.
    progress
        Called with the name of each step.

    Returns
    -------
    Thresholds
        Between ``unique`` and ``locally_unique`` generic data are isolated, and whether they are unique is open; from
        ``not_identifiable`` on they are not even isolated.

    Raises
    ------
    ValueError
        For the self-trained regimes: there the network depends on its data, which are not generic for it.
    TooLargeError
        When a matrix would not fit in memory.

    Notes
    -----
    Cost: one elimination of a Jacobian with about as many columns as the target has independent numbers, and a few ranks of that size.

    References
    ----------
    Massarenti & Mella 2024, Theorem 1.5 (C5); the other conditions as in :func:`identify.check`.

    Examples
    --------
    >>> found = largest_identifiable(Configuration(inputs=4, samples=1, width=8, activation="z + z^2 + z^3"))
    >>> found.unique, found.locally_unique, found.not_identifiable
    (6, 6, 7)
    """
    require_polynomial("largest_identifiable", problem.network if isinstance(problem, KKTSystem) else problem)
    if problem.regime in SELF_TRAINED:
        raise InputError(
            f"regime: received {problem.regime}, expected gradient or lazy; a self-trained network depends on its own data, so nothing "
            "can be said of generic data: use check(system, data=(X, c))"
        )
    say = progress or (lambda name: None)
    question = _Question(setting_of(problem, 1, seed))
    say("ranks of the Jacobian for every number of samples")
    isolated = question.isolated()
    say("generic global uniqueness")
    by_secant = question.by_generic_global(isolated)
    say("moments")
    by_moments = question.by_moments(isolated)
    say("first number of samples that is not identifiable")
    excess, arithmetic, error = question.not_identifiable(isolated)
    setting = question.setting
    return Thresholds(setting.scope, by_moments, by_secant, isolated, excess, arithmetic, error, setting.ambiguity, seed, versions())


@dataclass(frozen=True)
class _Question:
    setting: Setting

    def at(self, samples: int) -> Setting:
        return replace(self.setting, instance=replace(self.setting.instance, n_samples=samples))

    def isolated(self) -> int:
        """The largest n with a Jacobian of full column rank: from one echelon form modulo one prime, in all coordinates."""
        secant = Secant.of(self.setting)
        most = secant.available // secant.tangent
        if not most:
            return 0
        columns = most * secant.tangent
        self.setting.instance.refuse_if_too_large(columns, "the Jacobian of all samples")
        rng = np.random.default_rng([self.setting.seed, most])
        q = random_prime(rng)
        whole = self.setting.instance.at(q, rng)
        independent = 0
        for network in (whole.some_neurons(columns, rng), whole):
            matrix = without_scales(self.setting, network.at_random_point(rng, most).jacobian(), most)
            independent = max(independent, _first_dependent_column(matrix, q))
            if independent == columns or len(network.W) == len(whole.W):
                break
        return independent // secant.tangent

    def by_generic_global(self, isolated: int) -> int:
        """C5: one sample fewer than are isolated in all coordinates, or more in coordinates on the span of the samples."""
        whole = self.at(max(isolated - 1, 1))
        found = isolated - 1 if isolated > 1 and one_sample_obstacle(whole, {}) is None else 0

        def holds(n: int) -> bool:
            setting = self.at(n)
            return generic_global(setting, reduce(setting)[1]).is_proved

        return _largest(holds, found, self._spanning(isolated))

    def by_moments(self, isolated: int) -> int:
        """C1, C2 and C3: first in coordinates on the span of the samples, then in all coordinates, where C1 is the same for every n."""

        def holds(n: int) -> bool:
            return self._terms(where := reduce(self.at(n))[1]) and interpolation(where).is_proved

        spanning = self._spanning(isolated)
        found = _largest(holds, 0, spanning)
        if found < spanning or not interpolation(self.setting).is_proved:
            return found
        return _largest(lambda n: self._terms(self.at(n)), found, isolated)

    def not_identifiable(self, isolated: int) -> tuple[int | None, Arithmetic, float]:
        """The first n with fewer independent derivatives than parameters; generic data then lie in a family (constant rank)."""
        setting = self.at(isolated + 1)
        counted = count(setting)
        if counted.holds is False:
            return isolated + 1, Arithmetic.PROOF, 0.0
        found = local(setting)
        if found.holds is False and found.arithmetic is Arithmetic.MONTE_CARLO:
            return isolated + 1, found.arithmetic, float(found.evidence["error_bound"])
        return None, Arithmetic.EVIDENCE, 1.0

    def _terms(self, where: Setting) -> bool:
        terms = decomposition(where)
        return terms.is_proved and scale(where, terms).is_proved

    def _spanning(self, isolated: int) -> int:
        """The largest n for which coordinates on the span of the samples may be smaller, and that can be unique at all."""
        instance = self.setting.instance
        return min(isolated, instance.width, instance.n_inputs + int(instance.observed.bias)) if instance.observed.W else 0


def _first_dependent_column(matrix: np.ndarray, q: int) -> int:
    """How many of the first columns are independent modulo q."""
    leading = leading_columns(matrix, q)
    in_place = leading == np.arange(len(leading))
    return len(leading) if in_place.all() else int(in_place.argmin())


def _largest(holds: Callable[[int], bool], known: int, most: int) -> int:
    """The largest n from ``known`` to ``most`` with ``holds(n)``, which is true up to some n and false from there on."""
    low, high = known, most
    if low < high and holds(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
