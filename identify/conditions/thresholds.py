"""``largest_identifiable``: up to how many samples does one network determine generic data?

Three thresholds from few eliminations: the Jacobian of many random samples is reduced once, and the pivots among its first columns
are the ranks for every smaller number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.base.limits import about, check_limits, limit_memory, limit_time, seconds_left
from identify.base.options import valid_seed
from identify.base.steps import Outcome, Step, attempt
from identify.conditions.count import count
from identify.conditions.decomposition import decomposition
from identify.conditions.generic_global import Secant, generic_global, one_sample_obstacle, without_scales
from identify.conditions.interpolation import interpolation
from identify.conditions.judgement import versions
from identify.conditions.local import local
from identify.conditions.networks.judge import PATIENCE
from identify.conditions.networks.largest import NetworkThresholds, largest
from identify.conditions.plan import CHEAP
from identify.conditions.question import setting_of
from identify.conditions.reduction import reduce
from identify.conditions.scale import scale
from identify.conditions.setting import Setting
from identify.exact.elimination import leading_columns
from identify.exact.modular import certified_rank_seconds, random_prime
from identify.planting.configuration import Configuration
from identify.problem.ambiguity import Ambiguity
from identify.problem.open_multipliers import with_seen_outputs
from identify.problem.refusals import is_polynomial, refuse_recovery_only
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.updates import layer_numbers
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
    unique_by_separation
        The largest n for which almost every network has no other data for every data set whose updates have rank n (Theorem A: analytic
        activations); 0 if none is.
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
    unique_by_separation: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    """Steps for which time or memory did not suffice, and why; without them the numbers are still proved, but may be too cautious."""
    versions: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def unique(self) -> int:
        """The largest n proved unique; every smaller n is, too."""
        return max(self.unique_by_moments, self.unique_by_generic_global, self.unique_by_separation)

    def explain(self) -> str:
        """The thresholds in sentences."""
        if self.unique_by_separation:
            by = ", by separation: for almost every network, and every data set whose updates have that rank"
        else:
            by = f": {self.unique_by_generic_global} by generic global uniqueness, {self.unique_by_moments} by the moments"
        unique = f"up to {_samples(self.unique)}{by}" if self.unique else "not proved for any number; given data may still be proved unique"
        how = f" ({self.arithmetic}{f', error below {self.error_bound:.1e}' if self.error_bound else ''})"
        excess = "not established" if self.not_identifiable is None else f"from {_samples(self.not_identifiable)} on{how}"
        return "\n".join(
            [
                f"For {self.scope}, up to {'; '.join(self.ambiguity.describe())}:",
                f"  unique {unique}" if self.unique else f"  unique: {unique}",
                f"  isolated up to {_samples(self.locally_unique)}" if self.locally_unique else "  isolated: not proved",
                f"  not identifiable: {excess}",
                *(f"  left out: {name}: {why}" for name, why in self.left_out.items()),
            ]
        )

    def _repr_html_(self) -> str:
        from identify.report.notebook import of_thresholds

        return of_thresholds(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "scope": {"network": self.scope.network, "data": self.scope.data},
            "unique": self.unique,
            "unique_by_moments": self.unique_by_moments,
            "unique_by_generic_global": self.unique_by_generic_global,
            "unique_by_separation": self.unique_by_separation,
            "locally_unique": self.locally_unique,
            "not_identifiable": self.not_identifiable,
            "arithmetic": self.arithmetic.value,
            "error_bound": self.error_bound,
            "ambiguity": list(self.ambiguity.describe()),
            "seed": self.seed,
            "left_out": self.left_out,
            "versions": self.versions,
        }


def largest_identifiable(
    problem: Configuration | KKTSystem,
    *,
    seed: int = 0,
    budget: float | None = None,
    memory: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Thresholds:
    """The numbers of generic samples up to which a network determines them, and from which on it does not.

    Parameters
    ----------
    problem
        A :class:`Configuration` (a generic network; its ``samples`` are not used), or a :class:`KKTSystem` (this network), of
        regime ``gradient`` or ``lazy``.
    seed
        Of the random primes and points, from 0 to 2^53 - 1.
    budget
        Seconds of wall-clock time, above 0. Steps that would take longer are left out, and the answer says so. None: no limit, but 30 s for
        the ranks of networks with other activations than polynomials.
    memory
        Bytes that one matrix may take; by default IDENTIFY_MEMORY (in GiB), or half of the machine's memory.
    progress
        Called with the name of each step, and its estimated cost where that is more than half a second.

    Returns
    -------
    Thresholds
        Between ``unique`` and ``locally_unique`` generic data are isolated, and whether they are unique is open; from
        ``not_identifiable`` on they are not even isolated.

    Raises
    ------
    ValueError
        For the self-trained regimes: there the network depends on its data, which are not generic for it. For numbers out of range.

    Notes
    -----
    Cost: one elimination of a Jacobian with about as many columns as the target has independent numbers, and a few ranks of that size.
    A matrix that does not fit in memory is left out; the count of equations alone still gives the n from which on nothing is determined.

    References
    ----------
    Massarenti & Mella 2024, Theorem 1.5 (C5); the other conditions as in :func:`identify.check`.

    Examples
    --------
    >>> found = largest_identifiable(Configuration(inputs=4, samples=1, width=8, activation="z + z^2 + z^3"))
    >>> found.unique, found.locally_unique, found.not_identifiable
    (6, 6, 7)
    """
    refuse_recovery_only("largest_identifiable", problem)
    if problem.regime in SELF_TRAINED:
        raise InputError(
            f"regime: received {problem.regime}, expected gradient or lazy; a self-trained network depends on its own data, so nothing "
            "can be said of generic data: use check(system, data=(X, c))"
        )
    check_limits(budget, memory)
    seed = valid_seed(seed)
    problem = _with_seen_outputs(problem)
    left_out: dict[str, str] = {}

    def tell(name: str, seconds: float) -> None:
        if progress is not None:
            progress(name + (f" ({about(seconds)})" if seconds > CHEAP else ""))

    def run(steps: Sequence[Step[Any]], state: Any) -> None:
        with limit_memory(memory), limit_time(budget):
            for step in steps:
                ended = attempt(step, state, left=seconds_left(), tell=tell)
                if ended.outcome is not Outcome.DONE:
                    left_out[step.name] = ended.why

    if not is_polynomial(problem.network if isinstance(problem, KKTSystem) else problem):
        network = _Network(NetworkThresholds(problem, seed))
        run(NETWORK_STEPS, network)
        return network.thresholds(seed, network.left_out | left_out)
    question = _Question(setting_of(problem, 1, seed))
    run(STEPS, question)
    return Thresholds(
        question.setting.scope,
        question.by_moments,
        question.by_generic_global,
        question.isolated,
        question.excess,
        question.arithmetic,
        question.error_bound,
        question.setting.ambiguity,
        seed,
        left_out=left_out,
        versions=versions(),
    )


def _with_seen_outputs(problem: Configuration | KKTSystem) -> Configuration | KKTSystem:
    """The same question about the samples: multipliers that no observed layer shows do not count."""
    if isinstance(problem, KKTSystem):
        return with_seen_outputs(problem)
    depth = problem.depth
    seen = problem.outputs if depth in layer_numbers(problem.layers, depth) else min(problem.outputs, problem.widths[-1])
    return replace(problem, outputs=seen)


@dataclass(eq=False)
class _Question:
    """What is asked, and what the steps have proved so far."""

    setting: Setting
    most: int = field(init=False)
    """The largest n that counting allows."""
    isolated: int = 0
    ranks_are_known: bool = False
    """Whether ``isolated`` is the largest."""
    by_generic_global: int = 0
    by_moments: int = 0
    excess: int | None = None
    arithmetic: Arithmetic = Arithmetic.EVIDENCE
    error_bound: float = 1.0

    def __post_init__(self) -> None:
        secant = Secant.of(self.setting)
        self.most = secant.available // secant.tangent

    def at(self, samples: int) -> Setting:
        return replace(self.setting, instance=replace(self.setting.instance, n_samples=samples))

    def count(self) -> None:
        """More samples than the target has room for lie in families (dimension of generic fibres)."""
        if count(self.at(self.most + 1)).holds is False:
            self.excess, self.arithmetic, self.error_bound = self.most + 1, Arithmetic.PROOF, 0.0

    def ranks(self) -> None:
        """The largest n with a Jacobian of full column rank: from one echelon form modulo one prime, in all coordinates."""
        if not self.most:
            return
        columns = self.most * Secant.of(self.setting).tangent
        self.setting.instance.refuse_if_too_large(columns, "the Jacobian of all samples")
        rng = np.random.default_rng([self.setting.seed, self.most])
        q = random_prime(rng)
        whole = self.setting.instance.at(q, rng)
        independent = 0
        for network in (whole.some_neurons(columns, rng), whole):
            matrix = without_scales(self.setting, network.at_random_point(rng, self.most).jacobian(), self.most)
            independent = max(independent, _first_dependent_column(matrix, q))
            if independent == columns or len(network.W) == len(whole.W):
                break
        self.isolated, self.ranks_are_known = independent // Secant.of(self.setting).tangent, True

    def ranks_seconds(self) -> float:
        columns = self.most * Secant.of(self.setting).tangent
        return certified_rank_seconds(columns, columns)

    def generic_global(self) -> None:
        """C5: one sample fewer than are isolated in all coordinates, or more in coordinates on the span of the samples."""
        isolated = self.isolated
        whole = self.at(max(isolated - 1, 1))
        self.by_generic_global = isolated - 1 if isolated > 1 and one_sample_obstacle(whole, {}) is None else 0

        def holds(n: int) -> bool:
            setting = self.at(n)
            return generic_global(setting, reduce(setting)[1]).is_proved

        self.by_generic_global = largest(holds, self.by_generic_global, self._spanning)

    def moments(self) -> None:
        """C1, C2 and C3: first in coordinates on the span of the samples, then in all coordinates, where C1 is the same for every n."""

        def holds(n: int) -> bool:
            return self._terms(where := reduce(self.at(n))[1]) and interpolation(where).is_proved

        if not self.isolated:
            return
        spanning = self._spanning
        self.by_moments = largest(holds, 0, spanning)
        if self.by_moments == spanning and interpolation(self.setting).is_proved:
            self.by_moments = largest(lambda n: self._terms(self.at(n)), spanning, self.isolated)

    def not_identifiable(self) -> None:
        """The first n with fewer independent derivatives than parameters; generic data then lie in a family (constant rank)."""
        if self.isolated == self.most or not self.ranks_are_known:
            return  # counted already, or not known
        found = local(self.at(self.isolated + 1))
        if found.holds is False and found.arithmetic is Arithmetic.MONTE_CARLO:
            self.excess, self.arithmetic, self.error_bound = self.isolated + 1, found.arithmetic, float(found.evidence["error_bound"])

    def _terms(self, where: Setting) -> bool:
        terms = decomposition(where)
        return terms.is_proved and scale(where, terms).is_proved

    @property
    def _spanning(self) -> int:
        """The largest n for which coordinates on the span of the samples may be smaller, and that can be unique at all."""
        instance = self.setting.instance
        return min(self.isolated, instance.width, instance.n_inputs + int(instance.observed.bias)) if instance.observed.W else 0


@dataclass(eq=False)
class _Network:
    """What the steps have proved so far of a network of any activation and depth."""

    of: NetworkThresholds
    excess: int | None = None
    by_separation: int = 0
    isolated: int = 0

    def count(self) -> None:
        self.excess = self.of.excess()

    def separation(self) -> None:
        self.by_separation = self.isolated = self.of.by_separation()

    def ranks(self) -> None:
        with limit_time(PATIENCE if seconds_left() is None else None):
            self.isolated = self.of.by_rank(self.by_separation)

    @property
    def left_out(self) -> dict[str, str]:
        """The smallest number of samples whose ranks were left out: for larger ones there was no time, either."""
        if not self.of.left_out:
            return {}
        samples, why = min(self.of.left_out.items())
        return {NETWORK_STEPS[-1].name: f"from {samples} samples on: {why}"}

    def thresholds(self, seed: int, left_out: dict[str, str]) -> Thresholds:
        proved = (Arithmetic.PROOF, 0.0) if self.excess is not None else (Arithmetic.EVIDENCE, 1.0)
        scope = Scope(self.of.question.scope.network, "generic data")
        return Thresholds(
            scope, 0, 0, self.isolated, self.excess, *proved, self.of.question.ambiguity, seed, self.by_separation, left_out, versions()
        )


NETWORK_STEPS: tuple[Step[_Network], ...] = (
    Step("count", _Network.count),
    Step("separation", _Network.separation),
    Step("ranks of the derivative at random points", _Network.ranks),
)
STEPS: tuple[Step[_Question], ...] = (
    Step("count", _Question.count),
    Step("ranks of the Jacobian for every number of samples", _Question.ranks, _Question.ranks_seconds),
    Step("generic global uniqueness", _Question.generic_global),
    Step("moments", _Question.moments),
    Step("first number of samples that is not identifiable", _Question.not_identifiable),
)
"""In order; each uses what those before it proved."""


def _samples(n: int) -> str:
    return f"{n} sample{'s' * (n != 1)}"


def _first_dependent_column(matrix: np.ndarray, q: int) -> int:
    """How many of the first columns are independent modulo q."""
    leading = leading_columns(matrix, q)
    in_place = leading == np.arange(len(leading))
    return len(leading) if in_place.all() else int(in_place.argmin())
