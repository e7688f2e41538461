"""One attempt at a certificate: a prime, a point, and the numbers from which the checker can verify the report there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from random import Random
from typing import Any

import numpy as np

from identify.base.limits import refuse_above, refuse_late
from identify.certificates.families import WITNESSES
from identify.certificates.lacking import Lacking, NoCertificateError
from identify.certificates.numbers import exact_doubles, hexadecimal, row_count
from identify.certificates.routes import PIVOT_LIMIT, Route, largest_jacobian
from identify.checker import moments
from identify.checker.completion import system_of as completed
from identify.checker.examination import Examination
from identify.checker.macaulay import System, system_of, values_of
from identify.checker.matrices import need_fit
from identify.checker.multiple import multiple_points
from identify.checker.reading import DATA, FORMAT, NETWORK, TARGET, VERSION, Claim, canonical_hash, hashes, need
from identify.checker.secant import random_samples
from identify.checker.solved import KEY, number_needed, right_hand_side, seed_of
from identify.conditions.setting import Setting
from identify.exact.completion import flattenings, monomials
from identify.exact.elimination import SMALL, Elimination, centred
from identify.exact.instance import Instance, Residues
from identify.exact.modular import PRIME_BITS, pivots, random_prime, rank, rank_seconds, residues
from identify.problem.formulas import root_group
from identify.problem.rank import target_rows
from identify.problem.verdict import Report

SPARE = 20
Step = dict[str, Any]


class Draft:
    """The content of a certificate, with random numbers that depend on the seed of the report and on the attempt."""

    def __init__(self, report: Report, setting: Setting, attempt: int, route: Route):
        self.report, self.setting, self.instance, self.attempt, self.route = report, setting, setting.instance, attempt, route
        self.rng = np.random.default_rng([report.seed, 0xCE27, attempt])
        below = SMALL if largest_jacobian(report, route) > PIVOT_LIMIT else 2**PRIME_BITS  # half the time, as for the ranks of check
        self.q = random_prime(self.rng, below)
        while any(s.denominator % self.q == 0 for s in self.instance.activation.coefficients):
            self.q = random_prime(self.rng, below)
        self.full: Residues = replace(self.instance, span="full", basis=None).at(self.q, self.rng)
        self.needs_point = True
        self.unsolved: list[tuple[Step, Residues]] = []
        """Steps with a large Jacobian, and its point with the neurons of its rows: solutions come last, when all else is known."""

    def content(self) -> dict[str, Any]:
        """The whole certificate, with its hashes. Raises Rejected if the checker would not take matrices of that size."""
        claim, numbers, steps = self._claim(), self._numbers(), self._steps()
        body = {
            "format": FORMAT,
            "version": VERSION,
            "kind": "verdict",
            "claim": claim,
            "numbers": numbers,
            "point": self._point() if self.needs_point else None,
            "steps": steps,
        }
        seed = seed_of(body)
        for step, part in self.unsolved:
            step[KEY] = solutions(part, seed, bool(self.setting.scales_per_sample))
        given = [name for name, value in numbers.items() if value is not None]
        return body | {"sha256": hashes(claim, numbers, given) | {"content": canonical_hash(body)}}

    def _claim(self) -> dict[str, Any]:
        instance, scope = self.instance, self.setting.scope
        system = self.setting.system if instance.network_is_given else None
        labels = None if system is None or system.labels is None else [int(y) for y in system.labels]
        seen = [name for name, present in zip(("W", "bias", "a"), instance.observed, strict=True) if present]
        return {
            "verdict": self.report.verdict.value,
            "network": scope.network,
            "data": scope.data,
            "regime": self.report.subject["regime"],
            "inputs": instance.n_inputs,
            "samples": instance.n_samples,
            "width": instance.width,
            "outputs": instance.n_outputs,
            "bias": instance.has_bias,
            "observed": seen,
            "activation": [str(s) for s in instance.activation.coefficients],
            "loss": None if system is None else system.loss,
            "labels": labels,
            "ambiguity": self.setting.ambiguity.group,
        }

    def _numbers(self) -> dict[str, Any]:
        instance, system = self.instance, self.setting.system
        offsets = instance.offsets if instance.has_bias else None
        values: dict[str, Any] = {"W": instance.W, "A": instance.A, "bias": offsets, "X": instance.X, "c": instance.c}
        values |= dict.fromkeys(TARGET)
        if self.setting.data_are_unknown and system is not None:
            a = system.target_a
            values |= {"target_W": system.target_W, "target_bias": system.target_bias, "target_a": None if a is None else np.atleast_2d(a)}
        return {name: hexadecimal(value) for name, value in values.items()}

    def _point(self) -> dict[str, Any]:
        """The residues of generic numbers; the checker reduces given numbers itself."""
        instance, full = self.instance, self.full
        network, data = not instance.network_is_given, self.setting.scope.data == "generic data"
        drawn = {"W": network, "A": network, "bias": network and instance.has_bias, "X": data, "c": data}
        values = {"W": full.W, "A": full.A, "bias": full.offsets, "X": full.X, "c": full.c}
        return {"prime": self.q} | {name: values[name].tolist() if drawn[name] else None for name in NETWORK + DATA}

    # The steps, in the order in which the checker takes them

    def _steps(self) -> list[Step]:
        if self.route is Route.WITNESS:
            assert self.report.witness is not None
            return WITNESSES[self.report.witness.kind](self)
        return PROOFS[self.route](self)

    def has(self, name: str) -> bool:
        return any(c.name == name and c.is_proved for c in self.report.conditions)

    @property
    def is_reduced(self) -> bool:
        """Whether the conditions were evaluated in coordinates on the span of the data."""
        instance = self.instance
        space = instance.n_inputs + int(instance.observed.bias)
        return self.has("reduction") and instance.n_samples < space and not self.setting.data_are_unknown

    def where(self, reduced: bool) -> tuple[Instance, Residues]:
        return (self.instance.reduced(), self.full.on_span_of_data()) if reduced else (self.instance, self.full)

    def reduction(self) -> list[Step]:
        if not self.has("reduction"):
            return []
        rows = self.full.slopes()
        if self.setting.data_are_unknown:
            assert self.setting.system is not None
            rows = residues(target_rows(self.setting.system), self.q)
        n = self.instance.n_samples
        return [{"kind": "reduction", "neurons": self.independent(lambda: rows, len(rows), n, rows.shape[1], limit=inf)}]

    def independent(self, matrix: Callable[[], np.ndarray], rows: int, rank: int, columns: int, limit: float = PIVOT_LIMIT) -> list[int]:
        """Numbers of rows of that rank: a minor up to ``limit``; a random choice of rows, more of them if that failed."""
        chosen = np.arange(rows)
        wanted = rank * (self.attempt + 1) + SPARE
        if rows > wanted and self.attempt < 3:
            chosen = np.sort(self.rng.choice(rows, wanted, replace=False))
        need_fit(len(chosen), columns)
        if rank > limit:
            return chosen.tolist()
        return sorted(chosen[pivots(matrix()[chosen], self.q)[0]].tolist())

    def _by_moments(self) -> list[Step]:
        instance, point = self.where(self.is_reduced)
        return [*self.reduction(), self._moments(instance, point), *self._decomposition()]

    def _moments(self, instance: Instance, point: Residues) -> Step:
        rows = self.independent(point.interpolation, row_count(instance), instance.n_moments, instance.n_moments)
        return {"kind": "interpolation", "rows": rows}

    def _by_one_sample(self) -> list[Step]:
        return [*self.reduction(), {"kind": "one-sample"}]

    def _by_macaulay(self) -> list[Step]:
        """The checker enumerates the multiples of the equations; those that make up a largest minor are chosen here."""
        reduction, examination = self._reduced_examination()
        found, instance = self.report["macaulay"].evidence, self.instance
        values = np.array(values_of(examination.point))
        second = (
            instance.observed.a and found["coordinates"] > 0 and rank(self.full.c, self.q) == rank(values, self.q) == instance.n_samples
        )
        layers = [1] * bool(reduction) + [2] * second
        step: Step = {"kind": "macaulay", "layers": layers, "basis": None, "degree": 0, "lowest": 0, "rows": []}
        if second:
            step["basis"] = sorted(pivots(values, self.q)[0])
        support, degrees = list(instance.activation.support), list(instance.degrees)
        known = degrees if second or instance.has_bias or rank(self.full.A, self.q) < instance.n_outputs else support
        scale: Step = {"kind": "scale", "degrees": [] if root_group(known) == root_group(degrees) else [0]}
        if "multiplicities" in found:
            reduction = [*reduction, {"kind": "multiple-points", "layers": layers, "basis": step["basis"]}]
            multiple_points(examination, layers, step["basis"])
        if found["coordinates"]:
            step |= {"degree": found["degree"], "lowest": found["lowest"]}
            step["rows"] = self._multiples(system_of(examination, layers, step["basis"], step["degree"], step["lowest"]))
        return [*reduction, step, scale]

    def _reduced_examination(self) -> tuple[list[Step], Examination]:
        """The step ``reduction``, if there is one, and the checker's own state after it."""
        reduction = self.reduction()
        given = {name: None if value is None else exact_doubles(value) for name, value in self._numbers().items()}
        examination = Examination(Claim(self._claim()), given, self._point())
        for step in reduction:
            moments.reduction(examination, step["neurons"])
        return reduction, examination

    def _by_completion(self) -> list[Step]:
        reduction, examination = self._reduced_examination()
        found, (instance, _) = self.report["completion"].evidence, self.where(self.is_reduced)
        parts = flattenings(instance.degrees, instance.coordinates, instance.n_outputs, instance.n_samples)
        step: Step = {"kind": "completion", "flattenings": [[list(part.rows), list(part.columns)] for part in parts]}
        step |= {"forms": monomials(instance.n_samples, found["invisible_moments"]) + 8 * (self.attempt + 1), "degree": found["degree"]}
        step["rows"] = self._multiples(completed(examination, step["flattenings"], step["forms"], step["degree"]))
        return [*reduction, step, *self._decomposition()]

    def _decomposition(self) -> list[Step]:
        terms, scales = self.report["decomposition"].evidence, self.report["scale"].evidence
        fixing = [k for k in scales.get("fixing_degrees", []) if k not in terms["fixed_degrees"]]  # none if all are visible
        return [DECOMPOSITIONS[terms["criterion"]](terms), {"kind": "scale", "degrees": fixing}]

    def _multiples(self, system: System) -> list[int]:
        count, columns = len(system.multiples), system.module.count()
        chosen = np.arange(count)
        if count > (self.attempt + 2) * columns:
            chosen = np.sort(self.rng.choice(count, (self.attempt + 2) * columns, replace=False))
        refuse_above(3 * 8 * len(chosen) * columns, f"a Macaulay matrix of {len(chosen)} by {columns}")
        matrix = np.zeros((len(chosen), columns), dtype=np.int64)
        for at, row in enumerate(system.rows(chosen.tolist())):
            matrix[at, list(row)] = list(row.values())
        return chosen[pivots(matrix, self.q)[0]].tolist() if matrix.size else []

    def _generic_global(self) -> list[Step]:
        evidence = self.report["generic-global"].evidence
        reduced = evidence["coordinates"] < self.instance.n_inputs
        instance, point = self.where(reduced)
        n, size, rows = instance.n_samples + 1, instance.coordinates + instance.n_outputs, row_count(instance)
        X, c = random_samples(Random(0), n, instance.coordinates, instance.n_outputs, self.q)  # as the checker draws them
        more = replace(point, X=np.array(X).reshape(n, -1), c=np.array(c))
        step = self._jacobian_step("generic-global", more, rows, evidence["needed"]) | {
            "gauss": np.sort(self.rng.permutation(rows)[: (self.attempt + 3) * size]).tolist(),
            "moments": self._moments(instance, point)["rows"] if evidence["scales"] == "all moments are visible" else None,
        }
        if self.unsolved:  # the step itself, not the copy that was made of it
            self.unsolved = [(step, part) for _, part in self.unsolved]
        return [*(self.reduction() if reduced else []), step]

    def _local(self) -> list[Step]:
        if not self.has("local"):
            raise NoCertificateError(Lacking.MULTIPLICITY, ("multiplicity",))
        instance, point = self.where(self.is_reduced)
        return [*self.reduction(), self._jacobian_step("local", point, row_count(instance), self.report["local"].evidence["needed"])]

    def _jacobian_step(self, kind: str, point: Residues, rows: int, rank: int) -> Step:
        """A step with rows of this Jacobian: a minor, or where it is large all rows of some neurons, to be solved with."""
        if rank <= PIVOT_LIMIT:
            return {"kind": kind, "rows": self.independent(point.jacobian, rows, rank, point.X.size + point.c.size)}
        part, neurons = point.some_neurons_and_which((self.attempt + 1) * rank, self.rng)
        step: Step = {"kind": kind, "rows": point.rows_of(neurons)}
        self.unsolved.append((step, part))
        return step


def _kruskal(found: dict) -> Step:
    """If all degrees are visible, complete each set: more degrees, the same sums, and no smaller ranks."""
    whole = found["degrees"] == list(range(found["degrees"][-1] + 1))
    sets = [list(range(degrees[-1] + 1)) if whole else degrees for degrees in found["degree_sets"]]
    return {"kind": "kruskal", "degree_sets": sets, "kruskal_ranks": found["kruskal_ranks"]}


DECOMPOSITIONS: dict[str, Callable[[dict], Step]] = {
    "one sample": lambda found: {"kind": "single-sample"},
    "independent samples": _kruskal,
    "Kruskal": _kruskal,
    "generic decomposition theorem": lambda found: {"kind": "generic-decomposition", "tensor_dimension": found["tensor_dimension"]},
}
"""The step for each criterion of the condition ``decomposition``, from its evidence."""
PROOFS: dict[Route, Callable[[Draft], list[Step]]] = {
    Route.TANGENTS: Draft._generic_global,
    Route.MOMENTS: Draft._by_moments,
    Route.ONE_SAMPLE: Draft._by_one_sample,
    Route.MACAULAY: Draft._by_macaulay,
    Route.COMPLETION: Draft._by_completion,
    Route.LOCAL: Draft._local,
}
"""The steps of each proof of a verdict other than NOT_UNIQUE."""


def solutions(part: Residues, seed: str, free_scale: bool) -> list[list[int]]:
    """y with y J = b for each right-hand side b of the checker: the rows b, written in the others by elimination.

    Raises Rejected if the columns of J are dependent.
    """
    matrix, q, size = part.jacobian(), part.q, part.X.shape[1] + part.c.shape[1]
    if free_scale:
        matrix = np.delete(matrix, np.arange(1, len(part.X) + 1) * size - 1, axis=1)
    rows, columns = matrix.shape
    refuse_late(2 * rank_seconds(rows, columns), f"equations with a {rows} by {columns} Jacobian")
    wanted = [right_hand_side(seed, number, columns, q) for number in range(number_needed(q))]
    eliminated = Elimination(np.vstack([centred(matrix, q), centred(np.array(wanted), q)]), q)
    del matrix
    leading = eliminated.run()
    order = eliminated.order
    need(len(leading) == columns and (order[:columns] < rows).all(), "these rows of the Jacobian are dependent")
    found = np.zeros((len(wanted), rows), dtype=np.int64)
    for place in range(columns, len(order)):
        if order[place] >= rows:
            found[order[place] - rows, order[:columns]] = eliminated.work[place, leading]
    return np.mod(found, q).tolist()
