"""Certificates of verdicts about networks of any activation and depth: which steps prove a report, and the numbers that they need."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from identify.certificates.draft import hexadecimal
from identify.certificates.lacking import Lacking, NoCertificateError
from identify.checker.networks.claim import ANY, BEFOREHAND, NUMBERS, named_hashes
from identify.checker.networks.examination import BALLS_PER_SECOND, ENTRIES_PER_SECOND, RESIDUES_PER_SECOND
from identify.checker.networks.realisation import MAX_NODES
from identify.checker.reading import FORMAT, VERSION, canonical_hash
from identify.conditions.judgement import PATTERN_SCOPE
from identify.conditions.networks.isolated import columns_of
from identify.conditions.networks.question import FixedSigns, NetworkQuestion
from identify.conditions.networks.second import second_solution
from identify.exact.modular import random_prime
from identify.problem.activation import Activation, Analytic, PiecewiseLinear
from identify.problem.network import Network
from identify.problem.verdict import Arithmetic, Report, Verdict

Step = dict[str, Any]
NUMBERS_PER_SECOND = 5e4
"""Weights that are written, hashed and read again, on one core (measured)."""
GENERIC_NETWORK, GENERIC_DATA = "generic network", "generic data"


def network_seconds(report: Report, question: NetworkQuestion) -> float:
    """An estimate of the CPU time of a certificate, with the check of it: of its numbers, a pass, and a derivative."""
    if question.system is None and report.verdict is not Verdict.LOCALLY_UNIQUE:
        return 0.0
    n, weights = question.samples, sum(out * inside for inside, out in pairwise(question.sizes))
    seconds = weights / NUMBERS_PER_SECOND + n * sum(question.sizes[1:-1]) / ENTRIES_PER_SECOND
    derived = report.verdict is Verdict.LOCALLY_UNIQUE or (report.witness is not None and report.witness.kind == "fibre")
    if not derived:
        return seconds
    each = (n if question.rows_can_count else question.inputs) + question.outputs
    products = n * each * (weights + n * each * 2 * sum(question.sizes)) + (n * each) ** 3
    return seconds + products / (RESIDUES_PER_SECOND if question.is_exact else BALLS_PER_SECOND)


class NetworkDraft:
    """One attempt: a prime, random numbers in place of generic ones, and the steps."""

    def __init__(self, report: Report, question: NetworkQuestion, attempt: int):
        self.report, self.question, self.attempt = report, question, attempt
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
        question, scope = self.question, self.report.scope
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
        report = self.report
        if report.verdict is Verdict.NOT_UNIQUE:
            return self._not_unique()
        if report.verdict is Verdict.LOCALLY_UNIQUE:
            return self._local()
        proved = {c.name for c in report.conditions if c.is_proved}
        scope = report.scope.network
        if scope in (GENERIC_NETWORK, PATTERN_SCOPE) and "separation" in proved:
            return self._separation()
        if scope == PATTERN_SCOPE and "pattern" in proved:
            sets = self.report["pattern"].evidence["sets"]
            return [*self._ranked(1, 2), {"kind": "pattern", "sets": sets}]
        if "quadrics" in proved and scope not in (GENERIC_NETWORK, PATTERN_SCOPE):
            return self._quadrics()
        if "realisation" in proved:
            found = report["realisation"].evidence
            if found["equations"] == "backward" and "of_points" not in found and found["subspaces_at_most"] <= MAX_NODES:
                return [*self._ranked(1), {"kind": "realisation"}]
        raise NoCertificateError(Lacking.STEPS, tuple(sorted(proved)))

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

    def _quadrics(self) -> list[Step]:
        found = self.report["quadrics"].evidence
        self.needs_prime = True
        return [*self._ranked(*found["rank_of_layers"]), {"kind": "quadrics", "equations": found["equations"]}]

    def _local(self) -> list[Step]:
        question = self.question
        generic = question.data is None
        inside = (question.rows_can_count and self.attempt < 3) if generic else columns_of(question)[1]
        self.needs_point, self.needs_prime = generic, question.is_exact
        return [*self._ranked(*[1] * inside), {"kind": "local", "in_span": inside, "seed": self.attempt}]

    def _not_unique(self) -> list[Step]:
        report, question = self.report, self.question
        if report.witness is None:
            unknowns = report["count"].evidence["parameters"]
            return [{"kind": "count", "unknowns": unknowns, "equations": question.equations}]
        if report.witness.kind not in WITNESSES and not {"system", "other"} & set(report["witness"].evidence):
            raise NoCertificateError(Lacking.STEPS, (report.witness.kind,))
        if "system" in report["witness"].evidence:
            return [self._second()]
        if "other" in report["witness"].evidence:
            return [{"kind": "other"} | report["witness"].evidence["other"]]
        self.needs_prime = question.is_exact
        inside = report.witness.kind == "fibre" and bool(report["local"].evidence["in_span"])
        return [*self._ranked(*[1] * inside), WITNESSES[report.witness.kind](self)]

    def _region(self) -> Step:
        return {"kind": "region", "samples": self.report["witness"].evidence["samples"][:2]}

    def _invisible(self) -> Step:
        return {"kind": "invisible", "sample": self.report["witness"].evidence["sample"]}

    def _second(self) -> Step:
        found = second_solution(self.question)
        if found is None:
            raise NoCertificateError(Lacking.STEPS, ("second solution",))
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
        if local.arithmetic is Arithmetic.MONTE_CARLO:
            raise NoCertificateError(Lacking.MONTE_CARLO, ("fibre",))
        kind = "fibre-in-span" if local.evidence["in_span"] else "fibre"
        return {"kind": kind, "dimension": local.evidence["dimension"], "seed": self.attempt}


WITNESSES: dict[str, Callable[[NetworkDraft], Step]] = {
    "region": NetworkDraft._region,
    "invisible": NetworkDraft._invisible,
    "fibre": NetworkDraft._fibre,
}
"""The step for each kind of witness."""


def written(sigma: Activation) -> dict[str, Any]:
    """An activation as the checker reads it."""
    if isinstance(sigma, Analytic):
        return {"kind": sigma.kind, "name": sigma.name}
    if isinstance(sigma, PiecewiseLinear):
        lists = {name: [str(v) for v in getattr(sigma, name)] for name in ("breakpoints", "slopes", "kinks")}
        return {"kind": sigma.kind, "value": str(sigma.lines.value)} | lists
    return {"kind": sigma.kind, "coefficients": [str(s) for s in sigma.coefficients]}


def written_network(network: Network) -> dict[str, Any]:
    """Weights and biases as exact hexadecimal floats."""
    return {
        "weights": [hexadecimal(W) for W in network.weights],
        "biases": [hexadecimal(b) for b in network.biases],
    }


def _numbers(question: NetworkQuestion) -> dict[str, Any]:
    numbers: dict[str, Any] = dict.fromkeys(NUMBERS)
    if question.system is not None:
        numbers |= written_network(question.system.network)
    if question.data is not None:
        numbers |= {"X": hexadecimal(question.data[0]), "c": hexadecimal(question.data[1])}
    return numbers
