"""Certificates of verdicts about networks of any activation and depth: which steps prove a report, and the numbers that they need."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import comb
from typing import Any

import numpy as np

from identify.base.errors import InternalError
from identify.base.limits import refuse_when_spent
from identify.certificates.lacking import Lacking, NoCertificateError
from identify.certificates.numbers import hexadecimal, written, written_network
from identify.checker.matrices import rank_seconds
from identify.checker.networks.claim import ANY, BEFOREHAND, NUMBERS, named_hashes
from identify.checker.networks.enumeration import SUBSPACES_PER_SECOND
from identify.checker.networks.examination import BALLS_PER_SECOND, ENTRIES_PER_SECOND, RESIDUES_PER_SECOND
from identify.checker.networks.joint import CHOICES_PER_SECOND, MAX_CHOICES
from identify.checker.networks.realisation import MAX_NODES, MAX_SETS, NODES_PER_SECOND, SETS_PER_SECOND
from identify.checker.reading import FORMAT, VERSION, canonical_hash
from identify.conditions.judgement import SINGLE, scope_by
from identify.conditions.networks.isolated import columns_of
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.second import second_seconds, second_solution
from identify.conditions.networks.signs import FixedSigns
from identify.exact.modular import random_prime
from identify.problem.exposure import ExposedBy
from identify.problem.verdict import Arithmetic, Report, Scope, Verdict

Step = dict[str, Any]
TRIALS, TABLE_PER_SECOND = 5, 3e6
"""Random points that show a largest rank, about, and entries of a derivative that are added up for it."""
NUMBERS_PER_SECOND = 5e4
"""Weights that are written, hashed and read again, on one core (measured)."""


def network_routes(report: Report) -> list[str]:
    """All conditions that prove the verdict of this report; those with the scope of the report come first."""
    if report.verdict is not Verdict.UNIQUE:
        return ["local" if report.verdict is Verdict.LOCALLY_UNIQUE else "witness"]
    proved = {c.name for c in report.conditions if c.is_proved}
    return sorted((name for name in SINGLE if name in proved), key=lambda name: scope_of(report, name) != report.scope)


def scope_of(report: Report, route: str) -> Scope:
    """What is proved by this condition of the report."""
    if report.verdict is not Verdict.UNIQUE:
        return report.scope
    return scope_by(report[route], data_are_given=report.question.data is not None)[0]


def network_seconds(report: Report, question: NetworkQuestion, route: str) -> float:
    """An estimate of the CPU time of a certificate, with the check of it: of its numbers, a pass, and a derivative."""
    if question.system is None and report.verdict is not Verdict.LOCALLY_UNIQUE:
        return 0.0
    n, weights = question.samples, sum(out * inside for inside, out in pairwise(question.sizes))
    seconds = weights / NUMBERS_PER_SECOND + n * sum(question.sizes[1:-1]) / ENTRIES_PER_SECOND
    if route == "quadrics":
        columns = report[route].evidence["columns"]
        return seconds + rank_seconds(question.neurons + 2 * n, columns)
    if route == "enumeration":
        return seconds + report[route].evidence["subspaces_at_most"] / SUBSPACES_PER_SECOND
    if route == "realisation":
        found = report[route].evidence
        nodes, sets = min(found["subspaces_at_most"], MAX_NODES), min(comb(found["over_the_rationals"], n), MAX_SETS)
        return seconds + nodes / NODES_PER_SECOND + sets / SETS_PER_SECOND
    if route == "joint-slopes":
        return seconds + min(report[route].evidence["choices"], MAX_CHOICES) / CHOICES_PER_SECOND
    if report.witness is not None and "system" in report["witness"].evidence:
        return seconds + second_seconds(question)
    if route != "local" and (report.witness is None or report.witness.kind != "fibre"):
        return seconds
    each = (n if question.rows_can_count else question.inputs) + question.outputs
    products = n * each * (weights + n * each * 2 * sum(question.sizes)) + (n * each) ** 3
    derived = products / (RESIDUES_PER_SECOND if question.is_exact else BALLS_PER_SECOND)
    if report["local"].arithmetic is Arithmetic.MONTE_CARLO:
        derived = TRIALS * (derived + 2 * question.depth * (n * each) ** 2 / TABLE_PER_SECOND)
    return seconds + derived


class NetworkDraft:
    """One attempt: a prime, random numbers in place of generic ones, and the steps."""

    def __init__(self, report: Report, question: NetworkQuestion, attempt: int, route: str):
        self.report, self.question, self.attempt, self.route = report, question, attempt, route
        self.rng = np.random.default_rng([report.seed, 0xCE28, attempt])
        self.needs_prime = self.needs_point = False
        self.multipliers, self.ranks = ANY, list[int]()

    def content(self) -> dict[str, Any]:
        """The whole certificate, with its hashes."""
        steps = self._with_signs(self._steps())
        if self.question.images is not None:
            steps = [*self._ranked(1, 2), {"kind": "images"}, *(step for step in steps if step["kind"] != "ranks")]
        claim, numbers = self._claim(), _numbers(self.question)
        body = {
            "format": FORMAT,
            "version": VERSION,
            "kind": "network",
            "claim": claim,
            "numbers": numbers,
            "point": self._point(),
            "steps": steps,
        }
        return body | {"sha256": named_hashes(claim, numbers) | {"content": canonical_hash(body)}}

    def _claim(self) -> dict[str, Any]:
        question, scope = self.question, scope_of(self.report, self.route)
        return {
            "verdict": self.report.verdict.value,
            "network": scope.network,
            "data": scope.data,
            "regime": question.regime,
            "sizes": list(question.sizes),
            "samples": question.samples,
            "biases": list(question.biases),
            "observed": [list(pair) for pair in question.observed],
            "activations": [written(sigma) for sigma in question.activations],
            "loss": None if question.system is None else question.system.loss,
            "multipliers": self.multipliers,
            "ranks": self.ranks,
            "ambiguity": {"group": question.ambiguity.group, "degree": question.ambiguity.degree},
        }

    def _point(self) -> dict[str, Any] | None:
        """The prime, where values are exact; and numbers in place of generic ones, where the proof is at one point."""
        question = self.question
        if not (self.needs_prime or self.needs_point):
            return None
        prime = random_prime(self.rng) if question.is_exact else None
        drawn: dict[str, Any] = dict.fromkeys(NUMBERS)
        if self.needs_point and question.system is None:
            shapes = list(zip(question.sizes[1:], question.sizes, strict=False))
            drawn["weights"] = [hexadecimal(self.rng.standard_normal(shape) / np.sqrt(shape[1])) for shape in shapes]
            drawn["biases"] = [
                hexadecimal(self.rng.standard_normal(shape[0])) if has else None for shape, has in zip(shapes, question.biases, strict=True)
            ]
        if self.needs_point:
            for name, size in (("X", question.inputs), ("c", question.outputs)):
                drawn[name] = hexadecimal(self.rng.standard_normal((question.samples, size)))
        return {"prime": prime} | drawn

    def _steps(self) -> list[Step]:
        return PROOFS[self.route](self)

    def _ranked(self, *layers: int) -> list[Step]:
        self.needs_prime = self.question.is_exact
        return [{"kind": "ranks", "layers": list(layers), "seed": self.attempt}] if layers else []

    def _with_signs(self, steps: list[Step]) -> list[Step]:
        """Before the others, or after the rank that it rests on: why signs are known, where the activation would leave them open."""
        by = self.question.signs_are_fixed
        if by is None:
            return steps
        step = {"kind": "signs", "by": by.value}
        if by is FixedSigns.SUMS:
            return [step, *steps]
        if steps[0]["kind"] == "ranks" and 2 in steps[0]["layers"]:
            return [steps[0], step, *steps[1:]]
        return [*self._ranked(2), step, *steps]

    def _separation(self) -> list[Step]:
        found = self.report["separation"].evidence
        layers = list(found["rank_of_layers"])
        self.ranks = layers
        self.multipliers = ANY if found["any_multipliers"] else BEFOREHAND
        step = {"kind": "separation", "route": found["route"].lower(), "layers": layers}
        return [*(self._ranked(*layers) if self.question.data is not None else []), step]

    def _some_layers(self) -> list[Step]:
        found = self.report["some-layers"].evidence
        layers, layer = list(found["rank_of_layers"]), found["layer"]
        if found["route"] != ExposedBy.FORWARD.name or layers not in ([layer], [1, layer]):
            raise NoCertificateError(Lacking.ROUTE, ("some-layers",))
        self.ranks = layers
        step = {"kind": "some-layers", "layer": layer, "spanned": len(layers) > 1}
        return [*(self._ranked(*layers) if self.question.data is not None else []), step]

    def _kernel(self) -> Step:
        return {"kind": "kernel"}

    def _quadrics(self) -> list[Step]:
        found = self.report["quadrics"].evidence
        self.needs_prime = True
        return [*self._ranked(*found["rank_of_layers"]), {"kind": "quadrics", "equations": found["equations"]}]

    def _pattern(self) -> list[Step]:
        found = self.report["pattern"].evidence
        if found["sets"] == "bases":
            self.multipliers = ANY if found["any_multipliers"] else BEFOREHAND
            step = {"kind": "bases", "route": found["route"].lower(), "bases": found["chosen"], "independent": found["independent"]}
            return [*self._ranked(*found["rank_of_layers"]), step]
        return [*self._ranked(1, 2), {"kind": "pattern", "sets": self.report["pattern"].evidence["sets"]}]

    def _enumeration(self) -> list[Step]:
        found = self.report["enumeration"].evidence
        self.needs_prime = True
        return [*self._ranked(*found["rank_of_layers"]), {"kind": "enumeration", "equations": found["equations"]}]

    def _realisation(self) -> list[Step]:
        found = self.report["realisation"].evidence
        sets = comb(found["over_the_rationals"], self.question.samples)
        if found["equations"] != "backward" or found["subspaces_at_most"] > MAX_NODES or sets > MAX_SETS:
            raise NoCertificateError(Lacking.LINES, ("realisation",))
        return [*self._ranked(1), {"kind": "realisation"}]

    def _joint(self) -> list[Step]:
        if self.report["joint-slopes"].evidence["choices"] > MAX_CHOICES:
            raise NoCertificateError(Lacking.LINES, ("joint-slopes",))
        return [{"kind": "joint-slopes"}]

    def _local(self) -> list[Step]:
        question = self.question
        generic = question.data is None
        inside = (question.rows_can_count and self.attempt < 3) if generic else columns_of(question)[1]
        self.needs_point, self.needs_prime = generic, question.is_exact
        return [*self._ranked(*[1] * inside), {"kind": "local", "in_span": inside, "seed": self.attempt}]

    def _not_unique(self) -> list[Step]:
        report, question = self.report, self.question
        if report.witness is None:
            unknowns = question.unknowns - question.samples * question.ambiguity.has_free_scale  # open multipliers among them
            return [{"kind": "count", "unknowns": unknowns, "equations": question.equations}]
        evidence = report["witness"].evidence
        if "system" in evidence:
            return [self._second()]
        if "other" in evidence:
            return [{"kind": "other"} | evidence["other"]]
        self.needs_prime = question.is_exact
        inside = report.witness.kind == "fibre" and bool(report["local"].evidence["in_span"])
        return [*self._ranked(*[1] * inside), WITNESSES[report.witness.kind](self)]

    def _region(self) -> Step:
        return {"kind": "region", "samples": self.report["witness"].evidence["samples"][:2]}

    def _invisible(self) -> Step:
        return {"kind": "invisible", "sample": self.report["witness"].evidence["sample"]}

    def _second(self) -> Step:
        found = second_solution(self.question)
        if found is None:  # the same seed finds the same one
            refuse_when_spent("the search for the second solution")
            raise InternalError("the second solution of the report was not found again")
        box = found[2]
        return {
            "kind": "second",
            "system": box.kind,
            "in_span": box.in_span,
            "free": box.free,
            "centre": hexadecimal(np.array(box.values)),
            "radii": hexadecimal(np.array(box.radii)),
            "sample": box.sample,
        }

    def _fibre(self) -> Step:
        local = self.report["local"]
        found = local.evidence
        if local.arithmetic is Arithmetic.MONTE_CARLO:
            known = {"rank": found["rank"], "in_span": found["in_span"], "dimension": found["dimension"]}
            return {"kind": "constant-rank", **known, "seed": self.attempt}
        return {"kind": "fibre-in-span" if found["in_span"] else "fibre", "dimension": found["dimension"], "seed": self.attempt}


WITNESSES: dict[str, Callable[[NetworkDraft], Step]] = {
    "region": NetworkDraft._region,
    "invisible": NetworkDraft._invisible,
    "fibre": NetworkDraft._fibre,
    "kernel": NetworkDraft._kernel,
}
"""The step for each kind of witness."""
PROOFS: dict[str, Callable[[NetworkDraft], list[Step]]] = {
    "quadrics": NetworkDraft._quadrics,
    "enumeration": NetworkDraft._enumeration,
    "realisation": NetworkDraft._realisation,
    "joint-slopes": NetworkDraft._joint,
    "separation": NetworkDraft._separation,
    "some-layers": NetworkDraft._some_layers,
    "pattern": NetworkDraft._pattern,
    "local": NetworkDraft._local,
    "witness": NetworkDraft._not_unique,
}
"""The steps of each proof, by the condition that it rests on."""


def _numbers(question: NetworkQuestion) -> dict[str, Any]:
    numbers: dict[str, Any] = dict.fromkeys(NUMBERS)
    if question.system is not None:
        numbers |= written_network(question.system.network)
    if question.data is not None:
        numbers |= {"X": hexadecimal(question.data[0]), "c": hexadecimal(question.data[1])}
    return numbers
