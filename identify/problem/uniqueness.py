"""The uniqueness of recovered data: a status, the typed reason behind it, and the sentence made from both.

A verdict of :func:`identify.check` about recovered data speaks of the target that these data give *exactly*. The given target
differs from it by the residual, at rounding size or by noise. So the scope "this network, this data" is about the recovered numbers, and
the sentence says by how much the two targets differ. Before a proof counts, its ranks are compared with the error bars of the data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from identify.problem.verdict import Scope, Witness, jsonable


class UniquenessStatus(StrEnum):
    """How far recovered data are known to be the only ones."""

    PROVED = "PROVED"
    """No other data of at most as many samples have their target, up to the ambiguity: a proof, for the scope beside it."""
    EVIDENCE = "EVIDENCE"
    """Enough random starts ended at these data, and none elsewhere: no proof."""
    NOT_UNIQUE = "NOT_UNIQUE"
    """Other data have the same target: a proof, with a witness."""
    UNKNOWN = "UNKNOWN"
    """Other data may solve the equations as well, so these need not be the ones."""


class UniquenessReason(StrEnum):
    """Why a status is what it is; the values are the sentences, with the numbers still open."""

    DECIDED = "no other data set of at most {samples} samples gives exactly the target that these data give"
    WITNESS = "other data give exactly the target that these data give: {witness}"
    ONE_SOLUTION = "all {converged} of {starts} random starts that converged ended at these data"
    SEVERAL_SOLUTIONS = "random starts ended at {solutions} different data sets that solve the equations; these are one of them"
    SEPARATED = (
        "each of the {samples} samples that the rank of the updates counts was found by itself and taken out; {converged} of {starts} "
        "descents ended at one of them"
    )
    CLOSED = (
        "each of the {samples} samples that the rank of the first layer counts was found by itself, with the multipliers of the {loss} "
        "loss, in {equations} equations for {unknowns} unknowns; {converged} of {starts} descents converged, to no other point that "
        "solves them"
    )
    AMONG_POINTS = (
        "{points} points were found that solve the {equations} equations of one sample, in {unknowns} unknowns, with the multipliers of "
        "the {loss} loss, and the {samples} samples are those of them that make the weights together; points that were not found may "
        "make them as well"
    )
    ALIKE = (
        "{alike} of {samples} samples have slopes so much like those of others, or are seen by so few neurons, that the observed layers "
        "may admit combinations in their place"
    )
    CLOSE = (
        "{close} of {samples} samples are closer to another one than their error bars reach: so near each other their signals are hardly "
        "told apart, and the bars, which are of first order, may be too small"
    )
    TRAINED = (
        "training from these {samples} samples for {steps} steps ends at the final network to {residual:.1e} relative ({allowed:.1e} "
        "allowed), and to first order no other data nearby do; the rank of the first layer's change is {rank}"
    )
    TRAINED_NEARLY = (
        "training from these {samples} samples for {steps} steps ends at the final network to {residual:.1e} relative, as rounding "
        "explains, but to first order other data nearby do as well"
    )
    KERNEL = (
        "the quadrics of all columns, with {unknowns} unknowns, have a kernel of dimension {samples}, the number of samples: singular "
        "values of at most {last:.1e} there, and at least {following:.1e} beyond, in floating point"
    )
    INTERVALS = (
        "the {samples} samples are determined up to their scales, which these layers leave open within intervals, in which no slope changes"
    )
    FEW_NEURONS = (
        "the {samples} samples were found one by one, but with {neurons} neurons other points may solve the same equations; from {needed} "
        "neurons on almost no network has any"
    )
    OTHER_POINTS = (
        "{points} points or more solve the equations of one sample, but {samples} samples make the update: some of the points are other "
        "data with the same features, or with features that depend on those of the samples"
    )
    NOISE = (
        "{samples} samples explain the updates up to their noise, but the weakest of their signals is {clear:.1f} times the noise: there "
        "may be more samples, of weaker signals, and the number is not known; pass samples=n if it is"
    )
    REST = (
        "beside {samples} samples the updates hold more than rounding, and its singular values do not show that it is noise: there may be "
        "further samples, of weaker signals"
    )
    LEFT_OUT = (
        "the updates show {shown} samples, more than the {samples} that were asked for: the others were taken for noise, and any "
        "of these may be a combination of several"
    )
    PARTIAL = (
        "{found} of {samples} samples were found; the others were not told apart, or their signals are hidden by rounding or noise, and a "
        "combination of those may have been taken for a sample"
    )
    ONE_REGION = (
        "{found} of {samples} samples were found one by one; the other {together} have the same slopes as one another in every layer, so "
        "the updates determine no more of them than their span"
    )
    FEW_STARTS = "{converged} of {starts} random starts converged, too few to say anything"
    ISOLATED = "the data are proved to be isolated, but other data far away may give the same target"
    ROUNDED = (
        "a proof for the recovered numbers rests on digits beyond their error bars: samples that are dependent, or nearly so, within "
        "these bars may have other data beside them"
    )
    EXACT_ONLY = (
        "identify.check proves it for exactly the recovered numbers, by a condition ({condition}) that is not carried over to all data "
        "within their error bars"
    )
    FREE = "the equations do not fix the data to first order: their Jacobian is rank deficient to working precision"
    UNDECIDED = "no condition decides whether other data give the same target"
    RESIDUAL = (
        "these data miss the target by {residual:.1e} relative, more than its precision allows ({allowed:.1e}): they are not the data"
    )
    TIME = "deciding takes longer than the time allowed for it here; identify.check with these data decides"
    MEMORY = "deciding takes more memory than is allowed; identify.check with these data and a higher limit decides"
    INTERRUPTED = "interrupted before it was decided"
    NOT_ASKED = "not judged; identify.check with these data decides"


@dataclass(frozen=True)
class Uniqueness:
    """Whether recovered data are the only ones that solve the equations.

    Attributes
    ----------
    status
        PROVED, EVIDENCE, NOT_UNIQUE or UNKNOWN. A proof that the data are isolated is not a proof of uniqueness: UNKNOWN, or EVIDENCE.
    reason
        What the status rests on.
    scope
        Of a proof: for which network and which data it holds. None without one.
    witness
        For NOT_UNIQUE: other data with the same target.
    numbers
        What the sentence of the reason mentions: counts of samples and starts, residuals.
    """

    status: UniquenessStatus
    reason: UniquenessReason
    scope: Scope | None = None
    witness: Witness | None = None
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def is_proved(self) -> bool:
        """Whether it is proved that no other data of at most this many samples give the target of these."""
        return self.status is UniquenessStatus.PROVED

    @property
    def is_supported(self) -> bool:
        """Whether there is a proof or evidence that the data are determined, so that the ambiguity says up to what."""
        return self.status in (UniquenessStatus.PROVED, UniquenessStatus.EVIDENCE)

    def explain(self) -> str:
        """The status, its scope and its reason in one sentence."""
        words = {
            UniquenessStatus.PROVED: "proved",
            UniquenessStatus.EVIDENCE: "evidence, no proof",
            UniquenessStatus.NOT_UNIQUE: "not unique",
            UniquenessStatus.UNKNOWN: "not known",
        }[self.status]
        scope = "" if self.scope is None else f" ({self.scope})"
        return f"{words}{scope}: {self.because}"

    @property
    def because(self) -> str:
        """The reason in words, without the status."""
        shown = {"witness": None if self.witness is None else self.witness.description, **self.numbers}
        sentence = self.reason.value.format(**shown)
        if self.scope is not None and "residual" in self.numbers:
            sentence += f"; the given target differs from that by {self.numbers['residual']:.1e} relative"
        if self.is_lower_bound:
            sentence += "; the target has full rank, so it may be that of more samples"
        return sentence

    @property
    def is_lower_bound(self) -> bool:
        """Whether there may be more samples: their number was not given, and the target has full rank."""
        return "at_least" in self.numbers

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON values."""
        return {
            "status": self.status.value,
            "reason": self.reason.name,
            "statement": self.explain(),
            "scope": None if self.scope is None else {"network": self.scope.network, "data": self.scope.data},
            "witness": None if self.witness is None else self.witness.to_dict(),
            **jsonable(self.numbers),
        }

    def _repr_html_(self) -> str:
        from identify.report.notebook import of_uniqueness

        return of_uniqueness(self)

    def __str__(self) -> str:
        return self.explain()


NOT_JUDGED = Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.NOT_ASKED)
"""The value of a recovery that was not asked to judge its data."""
