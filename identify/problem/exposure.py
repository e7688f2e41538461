"""Consequences of some layers of an update: for each quantity a status, the typed reason behind it, and the sentence made from both."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from identify.problem.verdict import jsonable


class Exposed(StrEnum):
    """How far a quantity is known to be determined by the observed layers."""

    PROVED_GENERIC = "PROVED_GENERIC"
    """Determined: a theorem, for almost every network and every batch whose updates have the rank that the reason names."""
    POSSIBLE = "POSSIBLE"
    """Neither proved to be determined nor excluded. If the finding names a method, recoveries succeed; nothing is proved."""
    NO = "NO"
    """Not determined: a proof, by a family of other data with the same updates."""

    @property
    def word(self) -> str:
        return {"PROVED_GENERIC": "yes", "POSSIBLE": "possible", "NO": "no"}[self.value]


class ExposedBy(StrEnum):
    """Why a status is what it is; the values are the sentences, with the numbers still open."""

    RANK = "the rank of G_{layer} counts the samples, up to {cap}"
    FULL_RANK = "no observed layer has a rank above {cap}: it shows {cap} samples or more"
    NO_RANK = "the update of a bias is one vector, whatever the number of samples"
    ROWS = "the rows of G_1 span the samples if its rank is {samples}"
    NO_ROWS = "the update of W_1 was not observed"
    FULL_ROWS = "G_1 has a rank of at most {cap}, so its rows span less than {samples} samples do"
    SOME_COLUMNS = "the rows of G_1 span {known} of the {inputs} entries of the samples: the columns of the others were not sent"
    ONE_ROW = "one sample: the rows of G_{layer} are multiples of ({vector}, 1), whatever the network"
    FORWARD = "(F), (Φ): {vector} lies in row(G_{layer}); {width} neurons in layer {below}, {needed} are enough for almost every network"
    BACKWARD = "(V): signals lie in the column space of G_{layer}; {width} neurons, {needed} are enough for almost every network"
    ONE_SIGNAL = "one sample: the biases' updates are its signals, and their ratios its slopes; {width} neurons, {needed} are enough"
    JOINT = "all samples together: {width} neurons in layer {layer}, {needed} are enough for almost every network"
    COUNTED = "{equations} equations for the {unknowns} unknowns of one sample, by {route}"
    QUADRICS = "{equations} quadrics with {unknowns} unknowns, by {route}"
    BOTTLENECK = (
        "everything observed depends on a sample through the {width} numbers that leave layer {layer}, fewer than its {inputs} entries"
    )
    KERNEL = "everything observed depends on a sample x through W_1 x, {width} numbers: x moves along the kernel of W_1"
    COLUMNS = (
        "everything observed depends on a sample x through W_1 x, {width} numbers, and the entries whose columns are known: the "
        "{missing} other entries move along the kernel of their columns of W_1"
    )
    CELL = "slopes are constant between kinks, and biases' updates depend on nothing else: x moves within its linear region"
    FEW_EQUATIONS = "{unknowns} unknowns, but updates with at most {equations} independent numbers: others fit in a continuous family"
    NEEDS_LOSS = "without the formula of the loss there is a continuous family; with it, counting does not exclude that they are determined"
    SOFTMAX = (
        "signals are a formula of the features and lie in the column space of G_{layer}: {classes} classes, {needed} are enough for almost "
        "every last layer"
    )
    SOFTMAX_COUNT = "{equations} equations for the {unknowns} unknowns of one sample, by the formula of the softmax"
    SOFTMAX_TOGETHER = "all samples together, by the formula of the softmax: {equations} equations for {unknowns} unknowns"
    ZEROS = (
        "signals are zero at inactive neurons, which tells the samples of a batch apart, at a cost that doubles with each of them (SPEAR)"
    )
    HALF = (
        "{equations} equations for the {unknowns} unknowns of one sample, by {route}; but a layer of {width} neurons, of which a sample "
        "activates about half, need not fix {inputs} entries"
    )
    POLYNOMIAL = "networks of two layers with a polynomial activation have conditions of their own: identify.check decides"
    SAME = "as the samples"
    SPAN = "their span is the row space of G_{layer}; nothing here tells them apart"
    OPEN = "no theorem and no method here applies, and nothing excludes it"
    ONE_LABEL = "one sample: the only positive entry of minus the update of the last {part} is its class"
    WITH_SAMPLES = "multipliers follow from the samples, each with its label"
    CLASSES = "a class with a positive entry in minus the update of the last layer is in the batch; how many samples it has is bounded only"
    NO_LOSS = "labels are read off the multipliers of a softmax loss; the multipliers themselves are determined"


class Method(StrEnum):
    """The method that :func:`identify.recover` uses for these layers."""

    FORWARD = "forward separation"
    BACKWARD = "backward separation"
    QUADRICS = "quadrics"
    FEATURES = "feature separation behind the network's own layers"
    HEAD = "separation of the features, then inversion of the layers below"
    HEAD_QUADRICS = "quadrics for the features, then inversion of the layers below"
    ZEROS = "zeros of the signals"
    HEAD_ZEROS = "zeros of the signals for the features, then inversion of the layers below"
    SOFTMAX = "the last layer as KKTSystem.linear_head, which gives its inputs"
    ROW = "the row of one sample"
    SIGNALS = "signals of one sample"


@dataclass(frozen=True)
class Finding:
    """One entry of the table.

    Attributes
    ----------
    status
        PROVED_GENERIC, POSSIBLE or NO.
    reason
        What it rests on.
    numbers
        What the sentence of the reason mentions.
    method
        How :func:`identify.recover` finds the samples from these layers; None if it does not. Of the samples, and of features that
        follow from the last layer by itself.
    """

    status: Exposed
    reason: ExposedBy
    numbers: Mapping[str, Any] = field(default_factory=dict)
    method: Method | None = None

    def explain(self) -> str:
        """Status and reason in one sentence."""
        return f"{self.status.word}: {self.reason.value.format(**self.numbers)}"

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {
            "status": self.status.value,
            "reason": self.reason.name,
            "statement": self.explain(),
            "method": None if self.method is None else self.method.name,
            **jsonable(dict(self.numbers)),
        }


QUANTITIES = ("count", "labels", "row_space", "features", "samples")
"""The quantities of a row, in the order of the table."""
_NAME, _BRIEF = 48, 12
"""Letters for the name of a set of layers, and sets, in the short form."""
HEADS = {"count": "number of samples", "labels": "labels", "row_space": "span of samples", "features": "features", "samples": "samples"}
"""Heads of the columns of a table."""


@dataclass(frozen=True)
class ExposedRow:
    """One set of observed layers, and the findings about it.

    Attributes
    ----------
    name
        Of the set, such as ``"first two"``.
    layers
        For each observed layer, by number from 1, whether the updates of its weights and of its bias are known.
    count, labels, row_space
        The number of samples, their labels, and the span of the samples.
    features
        The vectors that enter the lowest layer whose weights' update was observed. For the first layer these are the samples.
    samples
        The samples themselves.
    proved_up_to
        The largest number of samples for which all of them are proved to be determined; 0 if there is none.
    excluded_from
        The smallest number from which on they are proved not to be; None if there is none up to a thousand.
    """

    name: str
    layers: Mapping[int, tuple[bool, bool]]
    count: Finding
    labels: Finding
    row_space: Finding
    features: Finding
    samples: Finding
    proved_up_to: int
    excluded_from: int | None

    @property
    def observed(self) -> str:
        """The observed parts, such as ``"W1 b1 W2"``."""
        return " ".join(name for k, parts in self.layers.items() for name, seen in zip((f"W{k}", f"b{k}"), parts, strict=True) if seen)

    def findings(self) -> dict[str, Finding]:
        """Each quantity with its finding."""
        return {name: getattr(self, name) for name in QUANTITIES}

    def limits(self) -> str:
        """The numbers of samples for which the answer to the last column is yes and no."""
        clauses = [f"proved up to n = {self.proved_up_to}"] if self.proved_up_to else []
        clauses += [] if self.excluded_from is None else [f"excluded from n = {self.excluded_from} on"]
        return ", ".join(clauses)

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "name": self.name,
            "observed": self.observed.split(),
            **{name: finding.to_dict() for name, finding in self.findings().items()},
            "proved_up_to": self.proved_up_to,
            "excluded_from": self.excluded_from,
        }


@dataclass(frozen=True)
class Exposure:
    """Which layers of an update determine what of the batch behind it. Made by :func:`identify.exposed`.

    Attributes
    ----------
    network
        In words.
    samples
        n, the number of samples in the batch.
    loss
        ``"softmax"``, or None for multipliers of any loss.
    rows
        One for each set of layers.
    """

    network: str
    samples: int
    loss: str | None
    rows: tuple[ExposedRow, ...]

    def __getitem__(self, name: str) -> ExposedRow:
        for row in self.rows:
            if row.name == name:
                return row
        from identify.base.errors import UnknownNameError

        raise UnknownNameError("row", name, [row.name for row in self.rows])

    @property
    def headline(self) -> str:
        loss = "a softmax loss" if self.loss else "any loss"
        return f"What an update of {self.network} shows of a batch of {self.samples}, for {loss}"

    def explain(self, width: int = 100) -> str:
        """Every row with its reasons, as text."""
        out = textwrap.wrap(self.headline, width)
        for row in self.rows:
            out += ["", f"{row.name} ({row.observed})"]
            for name, finding in row.findings().items():
                out += textwrap.wrap(f"{HEADS[name]}: {finding.explain()}", width, initial_indent="  ", subsequent_indent="    ")
            for method in dict.fromkeys((row.features.method, row.samples.method)):
                if method is not None:
                    out += textwrap.wrap(f"recover: {method}", width, initial_indent="    ", subsequent_indent="    ")
            out += [f"    {row.limits()}"] if row.limits() else []
        return "\n".join(out)

    def brief(self) -> str:
        """One line for each set of layers: what is known of the samples, and for how many of them."""
        names = [f"{row.name} ({row.observed})" for row in self.rows]
        names = [name if len(name) <= _NAME else f"{name[: _NAME - 2]} …" for name in names]
        wide = max(map(len, names), default=0)
        lines = [f"{self.headline}. The samples, from an update of:"]
        for row, name in list(zip(self.rows, names, strict=True))[:_BRIEF]:
            lines.append(f"  {name:<{wide}}  {row.samples.status.word}{f' ({row.limits()})' if row.limits() else ''}")
        more = len(self.rows) - _BRIEF
        return "\n".join([*lines, *[f"  and {more} more sets of layers"] * (more > 0)])

    def to_markdown(self) -> str:
        """The table of words."""
        head = ["observed", *HEADS.values(), "samples: for which n"]
        lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        for row in self.rows:
            cells = [f"{row.name}: {row.observed}", *(finding.status.word for finding in row.findings().values()), row.limits() or "–"]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON values."""
        rows = [row.to_dict() for row in self.rows]
        return {"network": self.network, "samples": self.samples, "loss": self.loss, "rows": rows}

    def to_json(self) -> str:
        """A JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def _repr_markdown_(self) -> str:
        return f"{self.headline}\n\n{self.to_markdown()}"

    def _repr_html_(self) -> str:
        from identify.report.notebook import of_exposure

        return of_exposure(self)

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        statuses = ", ".join(f"{row.name} {row.samples.status.word}" for row in self.rows)
        return f"Exposure({self.samples} samples; determined by: {statuses})"
