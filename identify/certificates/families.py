"""The steps of a certificate for each kind of witness: families of data with the same target, and second solutions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from flint import ctx

from identify.certificates.numbers import hexadecimal, row_count
from identify.checker.reading import Rejected
from identify.conditions.witnesses.box import BITS, free_entries, put
from identify.conditions.witnesses.dependent import gradients
from identify.conditions.witnesses.equations import Equations, Frame, balls
from identify.conditions.witnesses.krawczyk import refine
from identify.exact.elimination import to_flint, to_numpy
from identify.problem.interpolation import moment_count

if TYPE_CHECKING:
    from identify.certificates.draft import Draft

RADII = tuple(2.0**-k for k in (40, 30, 20, 46, 14, 10))
"""Relative radii of the box of a second solution, one for each attempt."""
Step = dict[str, Any]


def rotation(draft: Draft) -> list[Step]:
    draft.needs_point = False
    return [{"kind": "rotation", "example": _example(draft)}]


def scaling(draft: Draft) -> list[Step]:
    draft.needs_point = False
    lower = moment_count(draft.instance.n_inputs, draft.instance.degrees[:1], draft.instance.n_outputs)
    return [{"kind": "scaling", "dimension": draft.instance.n_samples - lower, "example": _example(draft)}]


def fibre(draft: Draft) -> list[Step]:
    """Counts if they suffice for generic data, otherwise the rank at the data, which is the largest anywhere."""
    if "samples" in draft.report["witness"].evidence:
        return [_part(draft)]
    instance, point = draft.where(draft.is_reduced)
    counts, ranks = draft.report["count"].evidence, draft.report["local"].evidence
    if draft.setting.scope.data == "generic data" and counts["excess"]:
        draft.needs_point = False
        bound = min(counts["moments"], counts["equations"])
        return [{"kind": "count", "coordinates": instance.coordinates, "parameters": counts["parameters"], "bound": bound}]
    rank, needed = ranks["rank"], ranks["needed"]
    rows = draft.independent(point.jacobian, row_count(instance), rank, instance.n_unknowns)
    return [*draft.reduction(), {"kind": "fibre", "rank": rank, "dimension": needed - rank, "rows": rows}]


def _part(draft: Draft) -> Step:
    """The report has the number of parameters of a part, but not the spaces in which it moves; those that fit are tried in turn."""
    found, instance = draft.report["witness"].evidence, draft.instance
    assert draft.setting.data is not None
    samples = [i - 1 for i in found["samples"]]
    everywhere = list(range(instance.n_samples)) if draft.is_reduced else None
    steps = [
        {"kind": "part", "samples": samples, "span": span, "multipliers": line, "rank": found["rank"]}
        for span in (everywhere, samples)
        for line in (None, samples)
    ]
    return steps[draft.attempt % len(steps)] | {"dimension": found["needed"] - found["rank"]}


def multipliers(draft: Draft) -> list[Step]:
    """One linear dependence of the gradients modulo the prime: the shortest first, another one at each attempt."""
    full, outputs = draft.full, draft.instance.n_outputs
    form, rank = to_flint(gradients(full), draft.q).rref()
    echelon = to_numpy(form)[:rank]
    basis = (echelon != 0).argmax(axis=1)
    others = np.setdiff1d(np.arange(echelon.shape[1]), basis).tolist()
    found = sorted((sorted([*basis[echelon[:, k] != 0].tolist(), k]) for k in others), key=len)
    if draft.setting.scales_per_sample:  # the scale of a zero sample is free anyway
        found = [columns for columns in found if full.X[columns[0] // outputs].any()] or found
    return [{"kind": "multipliers", "columns": found[draft.attempt % len(found)]}]


def second_solution(draft: Draft) -> list[Step]:
    """The centre again in full float64 precision, which it loses if samples are written in all coordinates."""
    found, system, data = draft.report.witness, draft.setting.system, draft.setting.data
    assert found is not None and found.example is not None and system is not None and data is not None
    rows = draft.report["witness"].evidence["equations"]
    setting = draft.setting
    if draft.is_reduced and len(rows) != draft.instance.n_unknowns - draft.instance.n_samples * setting.scales_per_sample:
        setting = replace(setting, instance=draft.instance.reduced())
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
    return [step | {"radius": RADII[draft.attempt].hex(), "rows": list(rows)}]


def multiple(draft: Draft) -> list[Step]:
    draft.needs_point = False
    return [{"kind": "multiple"}]


def _example(draft: Draft) -> dict[str, Any] | None:
    """Another member of the family, in float64, for the reader. Omitted if rounding spoils it."""
    found = draft.report.witness
    if found is None or found.original is None or found.example is None or draft.attempt:
        return None
    (X, c), (other_X, other_c) = (draft.setting.data or found.original), found.example
    outputs = draft.instance.n_outputs
    example = {"X": X, "c": np.reshape(c, (-1, outputs)), "other_X": other_X, "other_c": np.reshape(other_c, (-1, outputs))}
    return {name: hexadecimal(np.asarray(value)) for name, value in example.items()}


WITNESSES: dict[str, Callable[[Draft], list[Step]]] = {
    "rotation": rotation,
    "scaling": scaling,
    "fibre": fibre,
    "multipliers": multipliers,
    "second solution": second_solution,
    "multiple": multiple,
}
"""The steps for each kind of witness."""
