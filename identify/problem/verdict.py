"""The answers that a check may give, and the evidence that must stand beside them.

A :class:`Report` is a value: the verdict, its scope, the ambiguity up to which it holds, every condition with its
evidence, and a witness if the answer is no. It knows nothing of how the conditions were computed; the modules in
``conditions/`` fill it in and the other modules in ``report/`` show it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from identify.base.errors import UnknownNameError

if TYPE_CHECKING:
    from identify.certificates.certify import Certificate


class Verdict(StrEnum):
    """The four answers. ``UNIQUE`` and ``NOT_UNIQUE`` are proofs, ``LOCALLY_UNIQUE`` is a proof of isolation."""

    UNIQUE = "UNIQUE"
    LOCALLY_UNIQUE = "LOCALLY_UNIQUE"
    NOT_UNIQUE = "NOT_UNIQUE"
    UNDECIDED = "UNDECIDED"

    @property
    def meaning(self) -> str:
        """One sentence, to be read with the scope."""
        return {
            "UNIQUE": "the data are determined: no other data set of at most this many samples gives the same target",
            "LOCALLY_UNIQUE": "the data are isolated: no other data set near these gives the same target; others may exist far away",
            "NOT_UNIQUE": "the data are not determined: other data sets of the same size give exactly the same target",
            "UNDECIDED": "no condition that applies here proves or disproves that the data are determined",
        }[self.value]

    @property
    def beside_ambiguity(self) -> str:
        """The end of :attr:`meaning` above a list of the changes of the data that no equation sees."""
        return {
            "UNIQUE": ", up to the ambiguity below",
            "LOCALLY_UNIQUE": "; all this up to the ambiguity below",
            "NOT_UNIQUE": ", and differ by more than the ambiguity below",
            "UNDECIDED": "",
        }[self.value]

    @property
    def in_practice(self) -> str:
        """The consequence for someone who holds the update or the weights, in one sentence without mathematics."""
        return {
            "UNIQUE": "treat the observed numbers like the data themselves: with the network it identifies them, and nothing else fits",
            "LOCALLY_UNIQUE": "someone with a close guess can sharpen it to the exact data; without one, other data may fit as well",
            "NOT_UNIQUE": "from this alone nobody can tell which data were used; someone who knows what they look like may still guess",
            "UNDECIDED": "this does not mean that the data are safe: they may still be determined, and an attack may still find them",
        }[self.value]


class Arithmetic(StrEnum):
    """How far a number in the evidence may be trusted."""

    PROOF = "exact (proof)"
    MONTE_CARLO = "exact Monte Carlo (error bound printed)"
    EVIDENCE = "exact, modulo primes (evidence only)"
    FLOAT = "floating point (evidence only)"
    ASSUMED = "assumed"
    NONE = "not evaluated"

    @property
    def is_rigorous(self) -> bool:
        """Whether a verdict may rest on it."""
        return self in (Arithmetic.PROOF, Arithmetic.MONTE_CARLO)


@dataclass(frozen=True)
class Scope:
    """The networks and the data for which a statement holds."""

    network: str
    data: str

    def __str__(self) -> str:
        return f"{self.network}, {self.data}"


@dataclass(frozen=True)
class Condition:
    """One condition of the theory, evaluated.

    Attributes
    ----------
    name
        One of ``identify.base.options.CONDITIONS``, such as ``interpolation``; or a diagnostic:
        ``structure``, ``stationarity``, ``undetermined`` or ``conditioning``.
    holds
        True, False, or None when it was not evaluated or could not be settled. For a diagnostic: whether all is well.
    statement
        What was found, in one sentence.
    evidence
        The numbers behind it (JSON values only).
    arithmetic
        How ``holds`` was established.
    reference
        Paper and theorem.
    applies
        False if a hypothesis of the theorem does not hold here, so that it says nothing; ``holds`` is False, too.
    """

    name: str
    holds: bool | None
    statement: str
    evidence: dict[str, Any]
    arithmetic: Arithmetic
    reference: str
    applies: bool = True

    @property
    def is_proved(self) -> bool:
        """Whether it holds, established rigorously."""
        return self.holds is True and self.arithmetic.is_rigorous

    @property
    def word(self) -> str:
        """``holds``, ``fails`` or ``open``; ``does not apply``; and of the search for other data ``found`` or ``none``."""
        if not self.applies:
            return "does not apply"
        yes, no = ("found", "none") if self.name == "witness" else ("holds", "fails")
        return "open" if self.holds is None else yes if self.holds else no

    def _repr_html_(self) -> str:
        from identify.report.notebook import of_condition

        return of_condition(self)

    def to_dict(self) -> dict[str, Any]:
        """The condition as JSON values."""
        return {
            "name": self.name,
            "holds": self.holds,
            "applies": self.applies,
            "statement": self.statement,
            "arithmetic": self.arithmetic.value,
            "evidence": jsonable(self.evidence),
            "reference": self.reference,
        }


MULTIPLIERS_ALONE = (
    "the data with their multipliers are not determined, because the observed layers leave multipliers open: other ones give exactly "
    "the same target; whether the samples are determined is not said"
)
MULTIPLIERS_IN_PRACTICE = "this does not mean that the samples are safe: only their multipliers are known to be open"
SAME = 1e-9
"""Of the largest entry: a difference of samples up to which two data sets have the same ones."""


@dataclass(frozen=True, eq=False)
class Witness:
    """Why data are not determined: other data with the same target.

    Attributes
    ----------
    kind
        ``rotation``, ``scaling``, ``fibre``, ``multipliers``, ``multiple`` or ``second solution``; for piecewise-linear networks also
        ``region``, ``invisible``, ``unseen`` or ``lines``; for updates of some layers, ``kernel``.
    dimension
        Dimension of the family of data sets that share the target, modulo the ambiguity group; 0 for a second solution.
    description
        The family in words and formulas.
    family
        ``family(s)`` is a data set ``(X, c)`` with the same target; ``family(0)`` is the first one. None when only the
        dimension is known, and for a second solution.
    original, example
        ``family(0)`` and one other member, if there is a family; or the two solutions.
    residual
        Relative difference of the targets of ``original`` and ``example`` (dimensionless, double precision).
    """

    kind: str
    dimension: int
    description: str
    family: Callable[[float], tuple[np.ndarray, np.ndarray]] | None = None
    original: tuple[np.ndarray, np.ndarray] | None = None
    example: tuple[np.ndarray, np.ndarray] | None = None
    residual: float | None = None

    @property
    def may_leave_samples(self) -> bool:
        """Whether other members of the family may have the same samples, beside other multipliers, as far as the witness says."""
        return self.kind in ("fibre", "multipliers", "lines") and self.moves_samples is not True

    @property
    def moves_samples(self) -> bool | None:
        """Whether a sample of the example differs from the original, to nine digits, and not its multipliers alone; None without one."""
        if self.original is None or self.example is None:
            return None
        before, after = self.original[0], self.example[0]
        return before.shape != after.shape or bool(np.abs(after - before).max(initial=0.0) > SAME * np.abs(before).max(initial=0.0))

    def to_dict(self) -> dict[str, Any]:
        data = {"kind": self.kind, "dimension": self.dimension, "description": self.description, "residual": self.residual}
        data["moves_samples"] = self.moves_samples
        for name, pair in (("original", self.original), ("example", self.example)):
            data[name] = None if pair is None else {"X": pair[0].tolist(), "c": pair[1].tolist()}
        return jsonable(data)


@dataclass(frozen=True, eq=False)
class Report:
    """The answer of :func:`identify.check`. Index it by the name of a condition or diagnostic: ``report["interpolation"]``.

    ``diagnostics`` say how good the numbers are and how they hang together; they carry no verdict.
    """

    verdict: Verdict
    scope: Scope
    reasons: tuple[str, ...]
    ambiguity: tuple[str, ...]
    conditions: tuple[Condition, ...]
    subject: dict[str, Any]
    equations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    witness: Witness | None = None
    seed: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    diagnostics: tuple[Condition, ...] = ()
    question: Any = field(default=None, repr=False)

    def __getitem__(self, name: str) -> Condition:
        every = (*self.conditions, *self.diagnostics)
        for condition in every:
            if condition.name == name:
                return condition
        raise UnknownNameError("condition", name, (c.name for c in every))

    @property
    def leaves_samples(self) -> bool:
        """NOT_UNIQUE because of multipliers that the observed layers leave open, as far as is known: the samples may be determined."""
        room = 0 if self.question is None else getattr(self.question, "open_multipliers", 0)
        if self.verdict is not Verdict.NOT_UNIQUE or not room:
            return False
        if self.witness is not None:
            return self.witness.may_leave_samples or (self.witness.kind == "fibre" and self.witness.dimension <= room)
        counted = (each.evidence for each in self.conditions if each.name == "count")
        return all(found.get("excess", 0) <= room - found.get("open_multipliers", 0) for found in counted)

    @property
    def meaning(self) -> str:
        """The verdict in a sentence, without its full stop."""
        return MULTIPLIERS_ALONE if self.leaves_samples else self.verdict.meaning

    @property
    def beside_ambiguity(self) -> str:
        """The end of :attr:`meaning` above a list of the changes of the data that no equation sees."""
        return "" if self.leaves_samples else self.verdict.beside_ambiguity

    @property
    def in_practice(self) -> str:
        """The consequence for someone who holds the update or the weights, in one sentence without mathematics."""
        return MULTIPLIERS_IN_PRACTICE if self.leaves_samples else self.verdict.in_practice

    @property
    def precision(self) -> str | None:
        """To how many digits the data are identifiable; None unless the verdict says that they are and their conditioning is known.

        The verdict is about exact numbers; this is about rounded ones, and not a proof.
        """
        if self.verdict not in (Verdict.UNIQUE, Verdict.LOCALLY_UNIQUE):
            return None
        known = next((c for c in self.diagnostics if c.name == "conditioning" and c.holds is not None), None)
        if known is None:
            return None
        word = "these data are " + "locally " * (self.verdict is Verdict.LOCALLY_UNIQUE) + "identifiable"
        return f"{word}, to {known.statement}" if known.holds else f"{word} in exact arithmetic, but to {known.statement}"

    def explain(self) -> str:
        """The report as plain text: verdict and scope first, then the reasons, then every condition with its evidence."""
        from identify.report.text import explain

        return explain(self)

    def brief(self) -> str:
        """The answer in at most 15 lines: verdict and scope, why, up to what, what it means in practice, what to do next."""
        from identify.report.brief import PYTHON_NEXT, of_report

        return of_report(self, PYTHON_NEXT[self.verdict])

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "verdict": self.verdict.value,
            "meaning": self.meaning,
            "precision": self.precision,
            "scope": {"network": self.scope.network, "data": self.scope.data},
            "reasons": list(self.reasons),
            "ambiguity": list(self.ambiguity),
            "subject": jsonable(self.subject),
            "equations": list(self.equations),
            "conditions": [c.to_dict() for c in self.conditions],
            "diagnostics": [c.to_dict() for c in self.diagnostics],
            "witness": None if self.witness is None else self.witness.to_dict(),
            "notes": list(self.notes),
            "seed": self.seed,
            "versions": self.versions,
        }

    def to_json(self) -> str:
        """The report as a JSON text; the same seed gives the same text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def to_html(
        self,
        path: str | Path,
        pictures: Sequence[Any] = (),
        title: str | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
    ) -> Path:
        """Write one self-contained page, with a picture of what a witness changes. Needs the ``demo`` extra.

        ``pictures`` are :class:`identify.report.html.Picture`; ``image_shape`` draws the samples of the witness as images.
        """
        from identify.report.html import write_page
        from identify.report.plots import witness_pictures

        return write_page(path, [self], pictures=(*witness_pictures(self.witness, shape=image_shape), *pictures), title=title)

    def certificate(self, *, budget: float | None = None, progress: Callable[[str], None] | None = None) -> Certificate:
        """The proof as a file that :func:`identify.verify` re-checks from the raw numbers, by separate code.

        Parameters
        ----------
        budget
            Seconds of wall-clock time, above 0; None: no limit.
        progress
            Called with each piece of work that takes more than half a second, and its estimate, before it begins.

        Returns
        -------
        Certificate
            ``certificate.save(path)`` writes it. The checker has accepted it once already. If it refuses the proof on which the report
            rests, the certificate is of another proof of the same verdict, if there is one, with the scope of that.

        Raises
        ------
        ValueError
            For ``UNDECIDED``, which proves nothing, and for a report that :func:`identify.check` did not make.
        NoCertificateError
            For data so close to a kink that the checker does not see their side, in a network with activations of several kinds; for
            ``LOCALLY_UNIQUE`` by `multiplicity`; and if nothing but `realisation` or `joint-slopes` proves the verdict, with lines of
            features or more choices of slopes than the checker goes through.
        CertificateTooLargeError
            When the checker would refuse the proof for its size: a matrix of more than 2·10⁸ entries, for example.
        OutOfTimeError
            When it takes longer than the budget, by its estimate or while it is made.

        Notes
        -----
        Cost: about twice that of the conditions it rests on. A Jacobian of rank above 1500 is not eliminated again by the checker: the
        certificate holds solutions for right-hand sides drawn from its hash, which prove the rank up to a probability of 2⁻¹²⁸. The
        checker does eliminate interpolation matrices, in minutes for thousands of moments.
        """
        from identify.certificates.certify import certificate

        return certificate(self, budget=budget, progress=progress)

    def _repr_html_(self) -> str:
        from identify.report.html import fragment

        return fragment(self)

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        lines = [f"Report({self.verdict}: {self.scope})"]
        lines += [f"  {c.name}: {c.word}" for c in self.conditions]
        return "\n".join(lines)


def jsonable(value: Any) -> Any:
    """``value`` with arrays, fractions, enums and non-finite floats turned into JSON values."""
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
