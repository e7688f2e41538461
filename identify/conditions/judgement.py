"""Which conditions are evaluated, and what they prove together; the only place where a verdict is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import flint
import numpy as np

import identify
from identify.base.errors import InternalError
from identify.base.limits import seconds_left
from identify.base.options import CONDITIONS
from identify.conditions.completion import completion, may_complete
from identify.conditions.count import count
from identify.conditions.decomposition import decomposition
from identify.conditions.diagnostics.diagnose import diagnose
from identify.conditions.generic_global import generic_global
from identify.conditions.interpolation import interpolation
from identify.conditions.local import local
from identify.conditions.macaulay import applies as has_single_equations
from identify.conditions.macaulay import macaulay
from identify.conditions.multiplicity import multiplicity, multiplicity_applies, multiplicity_seconds
from identify.conditions.one_sample import another_multiple, one_sample
from identify.conditions.one_sample import applies as is_one_sample
from identify.conditions.plan import Plan, estimated_seconds
from identify.conditions.reduction import reduce
from identify.conditions.scale import scale
from identify.conditions.setting import Setting
from identify.conditions.witnesses.second import may_have_second, second_seconds, second_solution
from identify.conditions.witnesses.witness import witness, witness_seconds
from identify.problem.verdict import Arithmetic, Condition, Report, Scope, Verdict, Witness

GENERIC_MULTIPLIERS = (
    "generic data includes generic multiplier vectors γ_i; those of the softmax loss satisfy Σ_c γ_ic = 0, so such a network with C "
    "outputs counts as one with C − 1: pass data=(X, c) to judge them"
)

PATTERN_SCOPE = "almost every network with this activation pattern"
CELL_SCOPE = "all data in this activation cell"
RANK_SCOPE = "all data of this rank"
APART_SCOPE = "all data of this rank, no sample zero or the opposite of another"
OFF_KINKS_SCOPE = "this data, among all data on no kink"
CELL_OFF_KINKS_SCOPE = "all data in this activation cell, among all data on no kink"
OFF_KINKS_IN_WORDS = (
    "among all data on no kink: the slope that the activation has at its kink is neither of the two beside it, so that other data may give "
    "the same update if one of their samples lies exactly on a kink"
)
CELL_IN_WORDS = (
    "this activation cell: all data, of independent samples, whose neurons are on the same sides of their kinks as for these data; the "
    "proof reads the activation pattern only"
)
PATTERN_IN_WORDS = (
    "almost every network with this activation pattern: the networks that have other data with the same update are a set of measure zero "
    "among all networks with which these samples activate the same neurons. A network drawn without regard to the data is none of "
    "them, with probability one"
)
GENERIC_IN_WORDS = (
    "generic network: for every data set, almost every network. One that was drawn without regard to the data is generic for them with "
    "probability one; a network that was trained on the very same data need not be"
)
ALONE = ("generic-global", "one-sample", "macaulay")
"""Conditions each of which proves uniqueness by itself."""
ISOLATING = ("local", "multiplicity")
"""Conditions each of which proves that polynomial data are isolated."""
ALMOST_EVERY = ("separation", "some-layers", "pattern")
"""Conditions that prove uniqueness for almost every network of any activation and depth."""
HERE = ("quadrics", "enumeration", "realisation", "joint-slopes")
"""Conditions that prove it for this network, of any activation and depth."""
SINGLE = (*HERE, *ALMOST_EVERY)
"""All that prove it for such networks, each by itself; those about one network come first."""


def judge(
    setting: Setting, subject: dict, equations: tuple[str, ...], notes: tuple[str, ...], plan: Plan, instance_known: bool = True
) -> Report:
    """Evaluate the conditions and draw the verdict; the only place where a verdict is made."""
    where = _evaluate(setting, plan) if instance_known else setting
    unknown = Condition("local", None, "no instance to evaluate it at", {}, Arithmetic.NONE, "")
    found: Witness | None = None
    rank = plan.found.get("local", unknown)

    def family() -> Condition:
        nonlocal found
        condition, found = witness(where, rank)
        return condition

    def isolated() -> Condition:
        nonlocal found
        condition, found = second_solution(where, seconds=seconds_left()) or (before, None)
        return condition

    before = plan.evaluate("witness", witness_seconds(where, rank), family)
    multiple = another_multiple(where, plan.found["one-sample"]) if found is None and "one-sample" in plan.found else None
    if multiple is not None:
        plan.found["witness"], found = multiple
    if found is None and not _is_unique(setting, plan.found) and instance_known:
        _count_multiplicities(where, plan)
    if found is None and not _is_unique(setting, plan.found) and may_have_second(where):
        left = seconds_left()  # the search ends by itself when the budget is spent
        plan.evaluate("witness", second_seconds(where) if left is None else min(second_seconds(where), max(left, 0.0)), isolated)
        if found is None:
            plan.found["witness"] = before
    verdict, reasons = verdict_of(setting, plan.found)
    if setting.scope.data == "generic data" and setting.instance.n_outputs > 1:
        notes = (*notes, GENERIC_MULTIPLIERS)
    at_most = f"among data sets of at most {setting.instance.n_samples} distinct samples with non-zero multipliers"
    return Report(
        verdict=verdict,
        scope=setting.scope,
        reasons=reasons,
        ambiguity=setting.ambiguity.describe(),
        conditions=tuple(plan.found[name] for name in CONDITIONS if name in plan.found),
        subject=subject,
        equations=equations,
        notes=(at_most, *notes),
        witness=found,
        seed=setting.seed,
        versions=versions(),
        diagnostics=diagnose(setting, plan.found) if plan.diagnosed else (),
        question=setting,
    )


def _evaluate(setting: Setting, plan: Plan) -> Setting:
    """Every condition but the witness, cheapest first; returns the setting in reduced coordinates."""
    found = plan.found
    where = setting

    def reduction() -> Condition:
        nonlocal where
        condition, where = reduce(setting)
        return condition

    found["count"] = count(setting)  # in all coordinates: where that decides, the dearer ones are not needed
    plan.evaluate("reduction", estimated_seconds("reduction", setting), reduction, _why_unneeded("reduction", setting, found))
    found["count"] = count(where)

    def terms() -> Condition:
        return decomposition(where)

    def scales() -> Condition:
        return scale(where, found["decomposition"])

    for name, evaluate in (("decomposition", terms), ("scale", scales)):
        plan.evaluate(name, estimated_seconds(name, where), evaluate, _why_unneeded(name, setting, found))
    ranks: dict[str, Callable[[], Condition]] = {
        "generic-global": lambda: generic_global(setting, where),
        "interpolation": lambda: interpolation(where),
        "local": lambda: local(where),
    }
    costs = {name: estimated_seconds(name, where) for name in ranks}
    if setting.scope.data == "generic data":  # where generic-global holds, local does too
        costs["local"] = max(costs["local"], costs["generic-global"])
    for name in sorted(ranks, key=lambda name: costs[name]):
        plan.evaluate(name, costs[name], ranks[name], _why_unneeded(name, setting, found))
    further: tuple[tuple[str, bool, Callable[[], Condition]], ...] = (
        ("one-sample", is_one_sample(where), lambda: one_sample(where)),
        ("macaulay", has_single_equations(where), lambda: macaulay(where)),
        ("completion", may_complete(where), lambda: completion(where)),
    )
    for name, is_possible, evaluate in further:  # part of a report only if the others leave the question open
        unneeded = _why_unneeded(name, setting, found)
        if name in plan.demanded or (is_possible and not unneeded):
            plan.evaluate(name, estimated_seconds(name, where), evaluate, unneeded)
    return where


def _count_multiplicities(where: Setting, plan: Plan) -> None:
    """What may still be said where the Jacobian is deficient and no family was found: are the data isolated, and all solutions?"""
    found = plan.found
    if where.data_are_unknown or not where.instance.data_are_given or found["local"].holds is not False:
        return
    if multiplicity_applies(where):
        counted = plan.evaluate("multiplicity", multiplicity_seconds(where), lambda: multiplicity(where))
        if counted.holds is None:
            return
    if has_single_equations(where) and "macaulay" not in found:
        plan.evaluate("macaulay", estimated_seconds("macaulay", where), lambda: macaulay(where))


def _why_unneeded(name: str, setting: Setting, found: dict[str, Condition]) -> str:
    """Why this condition could not change the verdict; empty if it could."""
    if _is_unique(setting, found):
        return "the question is decided without it"
    if name in ("macaulay", "completion") and (setting.data_are_unknown or found["local"].holds is False):
        return "it speaks of isolated data only" if found["local"].holds is False else "it needs the data"
    if name in ("interpolation", "completion") and not (found["decomposition"].is_proved and found["scale"].is_proved):
        return "without decomposition and scale it could not decide"
    if name == "one-sample" and not found["local"].is_proved and setting.scope.data == "generic data":
        return "generic data are not isolated"
    if setting.scope.data == "generic data" and found["count"].holds is False and setting.equations_are_complete:
        return "the count decides" + ("; it would add the dimension of the family" if name == "local" else "")
    return ""


def _globally(setting: Setting, found: dict[str, Condition]) -> list[Condition]:
    """The conditions that together prove uniqueness by way of the moments."""
    shown = "completion" if "completion" in found and found["completion"].is_proved else "interpolation"
    names = [shown, "decomposition", "scale"]
    if setting.data_are_unknown:  # a uniqueness proof for a target that no such data produce would be empty
        names.append("reduction")
    return [found[name] for name in names if name in found]


def _is_unique(setting: Setting, found: dict[str, Condition]) -> bool:
    if any(name in found and found[name].is_proved for name in ALONE):
        return True
    conditions = _globally(setting, found)
    return len(conditions) == 3 + setting.data_are_unknown and all(c.is_proved for c in conditions)


def verdict_of(setting: Setting, found: dict[str, Condition]) -> tuple[Verdict, tuple[str, ...]]:
    globally, unique = _globally(setting, found), _is_unique(setting, found)
    disproved = found["witness"].is_proved
    if unique and disproved:
        raise InternalError("a proof of uniqueness and a witness against it")
    if disproved:
        return Verdict.NOT_UNIQUE, (found["witness"].statement,)
    if unique:
        decisive = globally
        if not all(c.is_proved for c in globally):
            decisive = [found[name] for name in ALONE if name in found and found[name].is_proved][:1]
        return Verdict.UNIQUE, tuple(f"{c.name}: {c.statement}" for c in decisive)
    alone = ALONE if setting.scope.data == "generic data" else ALONE[1:]
    tried = [*globally, *(found[name] for name in alone if name in found)]
    failing = _open((c for c in tried if not c.is_proved), {True: ("is not proved", "are not proved")})
    for name in ISOLATING:
        if name in found and found[name].is_proved:
            return Verdict.LOCALLY_UNIQUE, (f"{name}: {found[name].statement}", *failing)
    if globally and all(c.holds for c in globally):
        failing += ("it would be UNIQUE if the assumption held; check(system, data=(X, c)) with recovered data decides without it",)
    return Verdict.UNDECIDED, failing or ("no condition could be evaluated",)


def _open(tried: Iterable[Condition], marks: dict[bool | None, tuple[str, str]]) -> tuple[str, ...]:
    """Why no condition decides: one line for all that say the same. ``marks`` has the words, for one and for several, if one holds."""
    marks = marks | {False: ("fails", "fail"), None: ("is open", "are open")}
    names: dict[tuple[bool | None, str], list[str]] = {}
    for condition in tried:
        names.setdefault((condition.holds, condition.statement), []).append(condition.name)
    return tuple(f"{', '.join(alike)} {marks[holds][len(alike) > 1]}: {statement}" for (holds, statement), alike in names.items())


def scope_by(condition: Condition, *, data_are_given: bool) -> tuple[Scope, tuple[str, ...]]:
    """The scope of a condition that proves uniqueness for a network of any activation and depth, and this scope in words."""
    found = condition.evidence
    if condition.name == "quadrics":
        whole, off_kinks = bool(found.get("whole_cell")), bool(found.get("off_kinks"))
        whose = (("this data", CELL_SCOPE), (OFF_KINKS_SCOPE, CELL_OFF_KINKS_SCOPE))[off_kinks][whole]
        return Scope("this network", whose), (CELL_IN_WORDS,) * whole + (OFF_KINKS_IN_WORDS,) * off_kinks
    if condition.name in HERE:
        return Scope("this network", "this data"), ()
    by_pattern = condition.name == "pattern" or bool(found.get("with_this_pattern"))
    whose = APART_SCOPE if found.get("leaves_out_opposite_samples") else RANK_SCOPE
    network, explained = (PATTERN_SCOPE, PATTERN_IN_WORDS) if by_pattern else ("generic network", GENERIC_IN_WORDS)
    return Scope(network, "this data" if data_are_given else whose), (explained,)


def verdict_of_network(
    found: dict[str, Condition], scope: Scope, *, data_are_given: bool, counts_apply: bool, witnessed: bool
) -> tuple[Verdict, Scope, tuple[str, ...], tuple[str, ...]]:
    """Verdict, scope, reasons, and the scope in words, for a network of any activation and depth.

    A theorem about almost every network decides only if the search for competitors found none in this one.
    """
    if witnessed:
        if any(name in found and found[name].is_proved for name in HERE[1:]):
            raise InternalError("a proof of uniqueness and a witness against it")
        return Verdict.NOT_UNIQUE, scope, (found["witness"].statement,), ()
    doubted = found.get("competitors")
    for name in SINGLE:
        condition = found.get(name)
        if condition is None or not condition.is_proved:
            continue
        reasons = [f"{name}: {condition.statement}"]
        if name in ALMOST_EVERY and doubted is not None:
            if doubted.holds is False:
                continue
            reasons += [f"competitors: {doubted.statement}"] if doubted.holds else []
        proved, explained = scope_by(condition, data_are_given=data_are_given)
        return Verdict.UNIQUE, proved, tuple(reasons), explained
    if not data_are_given and found["count"].holds is False and counts_apply:
        return Verdict.NOT_UNIQUE, Scope(scope.network, "generic data"), (f"count: {found['count'].statement}",), ()
    tried = [found[name] for name in (*SINGLE, "competitors") if name in found]
    failing = _open(tried, {True: ("holds", "hold")})
    if found["local"].is_proved:
        return Verdict.LOCALLY_UNIQUE, scope, (f"local: {found['local'].statement}", *failing), ()
    if "estimated_seconds" in found["local"].evidence:  # it might have decided
        failing += (f"local is open: {found['local'].statement}",)
    return Verdict.UNDECIDED, scope, failing or ("no condition applies to these sizes, layers and activations",), ()


ONE_ROW = "one sample: every row of the update is a multiple of (h, 1), and one entry of its signal is positive"


def verdict_of_head(
    found: dict[str, Condition], *, data_are_given: bool, is_one_row: bool
) -> tuple[Verdict, Scope, tuple[str, ...], tuple[str, ...]]:
    """Verdict, scope, reasons, and the scope in words, for one dense layer behind a softmax loss."""
    these = "this data" if data_are_given else RANK_SCOPE
    if is_one_row:
        return Verdict.UNIQUE, Scope("this network", these), (ONE_ROW,), ()
    reasons = {name: f"{name}: {condition.statement}" for name, condition in found.items()}
    if found["separation"].is_proved:
        return Verdict.UNIQUE, Scope("generic network", these), (reasons["separation"],), (GENERIC_IN_WORDS,)
    scope = Scope("this network", "this data" if data_are_given else "generic data")
    if found["count"].holds is False and not data_are_given:
        return Verdict.NOT_UNIQUE, scope, (reasons["count"],), ()
    open_still = (reasons["separation"], reasons["local"])
    if found["local"].is_proved:
        return Verdict.LOCALLY_UNIQUE, scope, open_still[::-1], ()
    return Verdict.UNDECIDED, scope, open_still, ()


def versions() -> dict[str, str]:
    """Versions of what a result rests on, as the packages state them: to look into the metadata of distributions takes milliseconds."""
    return {"kkt-identify": identify.__version__, "numpy": np.__version__, "python-flint": flint.__version__}
