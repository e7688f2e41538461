"""One attempt at a certificate: a prime, a point, and the numbers from which the checker can verify the report there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from random import Random
from typing import Any

import numpy as np
from flint import ctx

from identify.base.limits import refuse_above, refuse_late
from identify.checker import moments
from identify.checker.completion import system_of as completed
from identify.checker.examination import Examination
from identify.checker.macaulay import System, system_of, values_of
from identify.checker.matrices import need_fit
from identify.checker.reading import DATA, FORMAT, NETWORK, TARGET, VERSION, Claim, Rejected, canonical_hash, hashes, need
from identify.checker.secant import random_samples
from identify.checker.solved import KEY, number_needed, right_hand_side, seed_of
from identify.conditions.setting import Setting
from identify.conditions.witnesses.box import BITS, free_entries, put
from identify.conditions.witnesses.dependent import gradients
from identify.conditions.witnesses.equations import Equations, Frame, balls
from identify.conditions.witnesses.krawczyk import refine
from identify.exact.completion import flattenings, monomials
from identify.exact.elimination import SMALL, Elimination, centred, to_flint, to_numpy
from identify.exact.instance import Instance, Residues
from identify.exact.modular import PRIME_BITS, pivots, random_prime, rank, rank_seconds, residues
from identify.problem.formulas import root_group
from identify.problem.interpolation import moment_count
from identify.problem.rank import target_rows
from identify.problem.verdict import Report, Verdict

SPARE = 20
PIVOT_LIMIT = 1500
"""Largest rank for which a minor is searched; above, more equations than the rank are stored, and for Jacobians solutions."""
RADII = tuple(2.0**-k for k in (40, 30, 20, 46, 14, 10))
"""Relative radii of the box of a second solution, one for each attempt."""
Step = dict[str, Any]


class Draft:
    """The content of a certificate, with random numbers that depend on the seed of the report and on the attempt."""

    def __init__(self, report: Report, setting: Setting, attempt: int):
        self.report, self.setting, self.instance, self.attempt = report, setting, setting.instance, attempt
        self.rng = np.random.default_rng([report.seed, 0xCE27, attempt])
        below = SMALL if largest_jacobian(report) > PIVOT_LIMIT else 2**PRIME_BITS  # half the time, as for the ranks of check
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
        if self.report.verdict is Verdict.UNIQUE:
            if not by_moments_or_tangents(self.report):
                return next(steps for name, steps in NARROW.items() if self._has(name))(self)
            return self._generic_global() if by_tangents(self.report) else self._by_moments()
        if self.report.verdict is Verdict.LOCALLY_UNIQUE:
            return [*self._reduction(), self._local()]
        assert self.report.witness is not None
        return WITNESSES[self.report.witness.kind](self)

    def _has(self, name: str) -> bool:
        return any(c.name == name and c.is_proved for c in self.report.conditions)

    @property
    def _is_reduced(self) -> bool:
        """Whether the conditions were evaluated in coordinates on the span of the data."""
        instance = self.instance
        space = instance.n_inputs + int(instance.observed.bias)
        return self._has("reduction") and instance.n_samples < space and not self.setting.data_are_unknown

    def _where(self, reduced: bool) -> tuple[Instance, Residues]:
        return (self.instance.reduced(), self.full.on_span_of_data()) if reduced else (self.instance, self.full)

    def _reduction(self) -> list[Step]:
        if not self._has("reduction"):
            return []
        rows = self.full.slopes()
        if self.setting.data_are_unknown:
            assert self.setting.system is not None
            rows = residues(target_rows(self.setting.system), self.q)
        n = self.instance.n_samples
        return [{"kind": "reduction", "neurons": self._independent(lambda: rows, len(rows), n, rows.shape[1], limit=inf)}]

    def _independent(self, matrix: Callable[[], np.ndarray], rows: int, rank: int, columns: int, limit: float = PIVOT_LIMIT) -> list[int]:
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
        instance, point = self._where(self._is_reduced)
        return [*self._reduction(), self._moments(instance, point), *self._decomposition()]

    def _moments(self, instance: Instance, point: Residues) -> Step:
        rows = self._independent(point.interpolation, row_count(instance), instance.n_moments, instance.n_moments)
        return {"kind": "interpolation", "rows": rows}

    def _by_one_sample(self) -> list[Step]:
        return [*self._reduction(), {"kind": "one-sample"}]

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
        if found["coordinates"]:
            step |= {"degree": found["degree"], "lowest": found["lowest"]}
            step["rows"] = self._multiples(system_of(examination, layers, step["basis"], step["degree"], step["lowest"]))
        return [*reduction, step, scale]

    def _reduced_examination(self) -> tuple[list[Step], Examination]:
        """The step ``reduction``, if there is one, and the checker's own state after it."""
        reduction = self._reduction()
        given = {name: None if value is None else exact_doubles(value) for name, value in self._numbers().items()}
        examination = Examination(Claim(self._claim()), given, self._point())
        for step in reduction:
            moments.reduction(examination, step["neurons"])
        return reduction, examination

    def _by_completion(self) -> list[Step]:
        reduction, examination = self._reduced_examination()
        found, (instance, _) = self.report["completion"].evidence, self._where(self._is_reduced)
        parts = flattenings(instance.degrees, instance.coordinates, instance.n_outputs, instance.n_samples)
        step: Step = {"kind": "completion", "flattenings": [[list(part.rows), list(part.columns)] for part in parts]}
        step |= {"forms": monomials(instance.n_samples, found["invisible_moments"]) + 8 * (self.attempt + 1), "degree": found["degree"]}
        step["rows"] = self._multiples(completed(examination, step["flattenings"], step["forms"], step["degree"]))
        return [*reduction, step, *self._decomposition()]

    def _decomposition(self) -> list[Step]:
        terms, scales = self.report["decomposition"].evidence, self.report["scale"].evidence
        fixing = [k for k in scales.get("fixing_degrees", []) if k not in terms["fixed_degrees"]]  # none where all are visible
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
        instance, point = self._where(reduced)
        n, size, rows = instance.n_samples + 1, instance.coordinates + instance.n_outputs, row_count(instance)
        X, c = random_samples(Random(0), n, instance.coordinates, instance.n_outputs, self.q)  # as the checker draws them
        more = replace(point, X=np.array(X).reshape(n, -1), c=np.array(c))
        step = self._jacobian_step("generic-global", more, rows, evidence["needed"]) | {
            "gauss": np.sort(self.rng.permutation(rows)[: (self.attempt + 3) * size]).tolist(),
            "moments": self._moments(instance, point)["rows"] if evidence["scales"] == "all moments are visible" else None,
        }
        if self.unsolved:  # the step itself, not the copy that was made of it
            self.unsolved = [(step, part) for _, part in self.unsolved]
        return [*(self._reduction() if reduced else []), step]

    def _local(self) -> Step:
        instance, point = self._where(self._is_reduced)
        return self._jacobian_step("local", point, row_count(instance), self.report["local"].evidence["needed"])

    def _jacobian_step(self, kind: str, point: Residues, rows: int, rank: int) -> Step:
        """A step with rows of this Jacobian: a minor, or where it is large all rows of some neurons, to be solved with."""
        if rank <= PIVOT_LIMIT:
            return {"kind": kind, "rows": self._independent(point.jacobian, rows, rank, point.X.size + point.c.size)}
        part, neurons = point.some_neurons_and_which((self.attempt + 1) * rank, self.rng)
        step: Step = {"kind": kind, "rows": point.rows_of(neurons)}
        self.unsolved.append((step, part))
        return step

    def _rotation(self) -> list[Step]:
        self.needs_point = False
        return [{"kind": "rotation", "example": self._example()}]

    def _scaling(self) -> list[Step]:
        self.needs_point = False
        lower = moment_count(self.instance.n_inputs, self.instance.degrees[:1], self.instance.n_outputs)
        return [{"kind": "scaling", "dimension": self.instance.n_samples - lower, "example": self._example()}]

    def _fibre(self) -> list[Step]:
        """Counts if they suffice for generic data, otherwise the rank at the data, which is the largest anywhere."""
        if "samples" in self.report["witness"].evidence:
            return [self._part()]
        instance, point = self._where(self._is_reduced)
        counts, ranks = self.report["count"].evidence, self.report["local"].evidence
        if self.setting.scope.data == "generic data" and counts["excess"]:
            self.needs_point = False
            bound = min(counts["moments"], counts["equations"])
            return [{"kind": "count", "coordinates": instance.coordinates, "parameters": counts["parameters"], "bound": bound}]
        rank, needed = ranks["rank"], ranks["needed"]
        rows = self._independent(point.jacobian, row_count(instance), rank, instance.n_unknowns)
        return [*self._reduction(), {"kind": "fibre", "rank": rank, "dimension": needed - rank, "rows": rows}]

    def _part(self) -> Step:
        """The report has the number of parameters of a part, but not the spaces in which it moves; those that fit are tried in turn."""
        found, instance = self.report["witness"].evidence, self.instance
        assert self.setting.data is not None
        samples = [i - 1 for i in found["samples"]]
        everywhere = list(range(instance.n_samples)) if self._is_reduced else None
        steps = [
            {"kind": "part", "samples": samples, "span": span, "multipliers": line, "rank": found["rank"]}
            for span in (everywhere, samples)
            for line in (None, samples)
        ]
        return steps[self.attempt % len(steps)] | {"dimension": found["needed"] - found["rank"]}

    def _multipliers(self) -> list[Step]:
        """One linear dependence of the gradients modulo the prime: the shortest first, another one at each attempt."""
        full, outputs = self.full, self.instance.n_outputs
        form, rank = to_flint(gradients(full), self.q).rref()
        echelon = to_numpy(form)[:rank]
        basis = (echelon != 0).argmax(axis=1)
        others = np.setdiff1d(np.arange(echelon.shape[1]), basis).tolist()
        found = sorted((sorted([*basis[echelon[:, k] != 0].tolist(), k]) for k in others), key=len)
        if self.setting.scales_per_sample:  # the scale of a zero sample is free anyway
            found = [columns for columns in found if full.X[columns[0] // outputs].any()] or found
        return [{"kind": "multipliers", "columns": found[self.attempt % len(found)]}]

    def _second_solution(self) -> list[Step]:
        """The centre again in full float64 precision, which it loses if samples are written in all coordinates."""
        found, system, data = self.report.witness, self.setting.system, self.setting.data
        assert found is not None and found.example is not None and system is not None and data is not None
        rows = self.report["witness"].evidence["equations"]
        setting = self.setting
        if self._is_reduced and len(rows) != self.instance.n_unknowns - self.instance.n_samples * setting.scales_per_sample:
            setting = replace(setting, instance=self.instance.reduced())
        Z = Frame.of_data(setting, data[0]).coordinates(found.example[0])
        start, k = np.hstack([Z, found.example[1]]), Z.shape[1]
        free = free_entries(Z, start.shape[1], bool(setting.scales_per_sample))
        with ctx.workprec(BITS):
            exact = balls(data[0])
            equations = Equations.balls(system, Frame.of_data(setting, exact))
            own = exact if setting.instance.span == "full" else np.eye(len(Z), k, dtype=int)
            target = equations.value(np.hstack([own, balls(data[1])]))[rows]

            def point(v) -> np.ndarray:
                return put(balls(start).ravel(), free, v).reshape(start.shape)

            centre = refine(
                lambda v: equations.value(point(v))[rows] - target,
                lambda v: equations.jacobian(point(v))[rows][:, free],
                start.ravel()[free].tolist(),
            )
            if centre is None:
                raise Rejected("the second solution cannot be refined to the precision of doubles")
            best = point(centre).astype(float)
        step = {"kind": "second-solution", "coordinates": k, "X": hexadecimal(best[:, :k]), "c": hexadecimal(best[:, k:])}
        return [step | {"radius": RADII[self.attempt].hex(), "rows": list(rows)}]

    def _multiple(self) -> list[Step]:
        self.needs_point = False
        return [{"kind": "multiple"}]

    def _example(self) -> dict[str, Any] | None:
        """Another member of the family, in float64, for the reader. Omitted if rounding spoils it."""
        found = self.report.witness
        if found is None or found.original is None or found.example is None or self.attempt:
            return None
        (X, c), (other_X, other_c) = (self.setting.data or found.original), found.example
        outputs = self.instance.n_outputs
        example = {"X": X, "c": np.reshape(c, (-1, outputs)), "other_X": other_X, "other_c": np.reshape(other_c, (-1, outputs))}
        return {name: hexadecimal(np.asarray(value)) for name, value in example.items()}


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
NARROW: dict[str, Callable[[Draft], list[Step]]] = {
    "one-sample": Draft._by_one_sample,
    "macaulay": Draft._by_macaulay,
    "completion": Draft._by_completion,
}
"""The steps of a proof of uniqueness where the moments are not determined by the target alone, by the condition on which it rests."""
WITNESSES: dict[str, Callable[[Draft], list[Step]]] = {
    "rotation": Draft._rotation,
    "scaling": Draft._scaling,
    "fibre": Draft._fibre,
    "multipliers": Draft._multipliers,
    "second solution": Draft._second_solution,
    "multiple": Draft._multiple,
}
"""The steps for each kind of witness."""


def solutions(part: Residues, seed: str, free_scale: bool) -> list[list[int]]:
    """y with y J = b for each right-hand side b of the checker: the rows b, written in the others by elimination.

    Raises Rejected where the columns of J are dependent.
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


def by_moments_or_tangents(report: Report) -> bool:
    """Whether uniqueness is proved by the moments that the target determines, or for almost all data."""
    proved = {c.name for c in report.conditions if c.is_proved}
    return "generic-global" in proved or {"interpolation", "decomposition", "scale"} <= proved


def by_tangents(report: Report) -> bool:
    """Whether a proof goes by Jacobians: of isolation, or of C5 where the moments do not prove uniqueness too, or by a larger matrix."""
    proved = {c.name: c for c in report.conditions if c.is_proved}
    if report.verdict is not Verdict.UNIQUE or "generic-global" not in proved:
        return report.verdict is Verdict.LOCALLY_UNIQUE
    if not {"interpolation", "decomposition", "scale"} <= set(proved):
        return True
    return bool(proved["generic-global"].evidence["needed"] < proved["interpolation"].evidence["needed"])


def largest_jacobian(report: Report) -> int:
    """The rank that the proof needs of a Jacobian; 0 without one."""
    proved = {c.name: c.evidence.get("needed", 0) for c in report.conditions if c.is_proved}
    if report.verdict is Verdict.UNIQUE:
        return int(proved.get("generic-global", 0))
    return int(proved.get("local", 0)) if report.verdict is Verdict.LOCALLY_UNIQUE else 0


def row_count(instance: Instance) -> int:
    """Equations, in the coordinates of the instance."""
    seen = instance.observed
    return instance.width * (instance.coordinates * seen.W + seen.bias + instance.n_outputs * seen.a)


def exact_doubles(values: Any) -> Any:
    """The floats again, in nested lists."""
    return float.fromhex(values) if isinstance(values, str) else [exact_doubles(value) for value in values]


def hexadecimal(values: np.ndarray | None) -> Any:
    """Floats as exact hexadecimal strings, in nested lists like the array."""
    if values is None:
        return None
    if values.ndim == 1:
        return [float(v).hex() for v in values]
    return [hexadecimal(row) for row in values]
