"""Which conditions a certificate of a polynomial network of two layers may rest on, and what each costs.

A report may have more proofs of its verdict than one. A certificate has one: the first that the checker takes.
"""

from __future__ import annotations

from enum import StrEnum

from identify.checker.macaulay import Module
from identify.checker.matrices import rank_seconds
from identify.conditions.setting import Setting
from identify.exact.completion import minors_seconds
from identify.exact.modular import rank_seconds as exact_rank_seconds
from identify.problem.verdict import Report, Verdict

PIVOT_LIMIT = 1500
"""Largest rank for which a minor is searched; above, more equations than the rank are stored, and for Jacobians solutions."""


class Route(StrEnum):
    """What proves the verdict."""

    TANGENTS = "generic-global"
    MOMENTS = "interpolation"
    ONE_SAMPLE = "one-sample"
    MACAULAY = "macaulay"
    COMPLETION = "completion"
    LOCAL = "local"
    WITNESS = "witness"


RESTS_ON = {
    Route.TANGENTS: {"generic-global"},
    Route.MOMENTS: {"interpolation", "decomposition", "scale"},
    Route.ONE_SAMPLE: {"one-sample"},
    Route.MACAULAY: {"macaulay"},
    Route.COMPLETION: {"completion", "decomposition", "scale"},
}
"""The conditions that prove uniqueness together."""


def routes(report: Report) -> list[Route]:
    """All that prove the verdict of this report, the one of the smallest matrix first."""
    if report.verdict is not Verdict.UNIQUE:
        return [Route.LOCAL if report.verdict is Verdict.LOCALLY_UNIQUE else Route.WITNESS]
    needed = {c.name: c.evidence.get("needed", 0) for c in report.conditions if c.is_proved}
    found = [route for route, names in RESTS_ON.items() if names <= set(needed)]
    if found[:2] == [Route.TANGENTS, Route.MOMENTS] and needed["generic-global"] >= needed["interpolation"]:
        found[:2] = [Route.MOMENTS, Route.TANGENTS]
    return found


def largest_jacobian(report: Report, route: Route) -> int:
    """The rank that the proof needs of a Jacobian; 0 without one."""
    return int(report[route].evidence["needed"]) if route in (Route.TANGENTS, Route.LOCAL) else 0


def route_seconds(report: Report, setting: Setting, route: Route) -> float:
    """An estimate of the CPU time of the certificate by this route, with the check of it: of its largest matrix."""
    if route is Route.WITNESS:
        return _family_seconds(report, setting)
    if route is Route.ONE_SAMPLE:
        return 0.0
    evidence = report[route].evidence
    if route in (Route.MACAULAY, Route.COMPLETION):
        columns = macaulay_columns(report, route)
        drawn = 0.0 if route is Route.MACAULAY else minors_seconds(setting.instance.n_samples, evidence["invisible_moments"])
        return exact_rank_seconds(2 * columns, columns) + rank_seconds(columns, columns) + 2 * drawn
    needed = int(evidence["needed"])
    if needed > PIVOT_LIMIT and route is not Route.MOMENTS:
        return exact_rank_seconds(needed, needed)  # with its factors, modulo a small prime
    return rank_seconds(needed, needed)


def macaulay_columns(report: Report, route: Route) -> int:
    """Monomials of the degree in which the equations of a single sample, or the minors of the moments, have the corank that they need."""
    found = report[route].evidence
    if route is Route.COMPLETION:
        return Module(found["invisible_moments"], 1, 1, 0, found["degree"]).count()
    if not found["coordinates"]:
        return 0
    return Module(found["variables"], found["multipliers"], found["weight"], found["lowest"], found["degree"]).count()


def _family_seconds(report: Report, setting: Setting) -> float:
    """Of a rank at the data, and at random points where no count bounds it; nothing for other families."""
    ranks = next((c.evidence for c in report.conditions if c.name == "local" and "rank" in c.evidence), None)
    counted = setting.scope.data == "generic data" and report["count"].evidence["excess"] > 0
    if ranks is None or counted or report.witness is None or report.witness.kind != "fibre":
        return 0.0
    seconds = rank_seconds(ranks["rank"], ranks["unknowns"])
    return seconds if ranks["rank"] == setting.instance.image_bound else seconds + 2 * rank_seconds(ranks["equations"], ranks["unknowns"])
