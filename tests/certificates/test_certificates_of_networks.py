"""Certificates of networks of any activation and depth: every kind is accepted, nothing false is, and what is tampered with is refused."""

import copy
import json
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from flint import arb, ctx
from support.activations import ANALYTIC, PIECEWISE, REFERENCE
from support.command_line import run
from support.marks import slow
from support.tampering import leaves, replaced

import identify as idf
from identify.certificates import certify, networks
from identify.certificates.certify import certificate_seconds, network_hash
from identify.certificates.lacking import Lacking, NoCertificateError
from identify.certificates.networks import NetworkDraft
from identify.certificates.numbers import written
from identify.checker.networks import enumeration as enumeration_step
from identify.checker.networks import examination, local
from identify.checker.networks import quadrics as quadrics_step
from identify.checker.networks.activations import SERIES, read
from identify.checker.networks.claim import (
    CELL,
    CELL_OFF_KINKS,
    GENERIC,
    GENERIC_DATA,
    NUMBERS,
    OFF_KINKS,
    PATTERN,
    RANK,
    RANK_APART,
    SCOPES,
    THIS,
    THIS_DATA,
    named_hashes,
)
from identify.checker.networks.enumeration import Search
from identify.checker.networks.pattern import _has_neighbours
from identify.checker.reading import Rejected, TooLarge, canonical_hash
from identify.conditions.networks import rulings as lines
from identify.conditions.networks.enumeration import Choice, choices, enumeration, lines_of
from identify.conditions.networks.families import families
from identify.conditions.networks.isolated import isolated
from identify.conditions.networks.judge import count
from identify.conditions.networks.parts import samples_needs
from identify.conditions.networks.pattern import holds_for_all_sets, pattern
from identify.conditions.networks.quadrics import Equations, candidates, quadrics
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.realisation import realisation
from identify.conditions.networks.rulings import rulings
from identify.conditions.networks.second import second_solution
from identify.conditions.networks.separation import needs, separation
from identify.conditions.networks.some_layers import kernel_family, parts_of, some_layers
from identify.exact.images import Images
from identify.exact.modular import residue
from identify.problem.activation import Activation, Analytic, PiecewiseLinear
from identify.problem.arrays import ShapeError
from identify.problem.exposure import ExposedBy
from identify.problem.network import Network
from identify.problem.signals import layer_updates
from identify.problem.verdict import Arithmetic

UNIQUE, LOCAL, NOT_UNIQUE = idf.Verdict.UNIQUE, idf.Verdict.LOCALLY_UNIQUE, idf.Verdict.NOT_UNIQUE


def size(d, n, width, activation, **options) -> idf.Configuration:
    return idf.Configuration(**({"inputs": d, "samples": n, "width": width, "activation": activation, "bias": True} | options))


def generic(*sizes, **options) -> idf.Report:
    return idf.check(size(*sizes, **options))


def system(*sizes, **options) -> idf.Report:
    config = size(*sizes, **options)
    return idf.check(config.plant(0)[0], samples=config.samples)


def data(*sizes, seed=0, **options) -> idf.Report:
    planted, truth = size(*sizes, **options).plant(seed)
    return idf.check(planted, data=(truth.X, truth.c))


def given(net: Network, X, c, observed) -> idf.Report:
    """``observed``: for each layer whether the updates of its weights and of its bias are known."""
    X, c = np.array(X, float), np.array(c, float)
    return idf.check(observing(net, X, c, observed), data=(X, c))


def observing(net: Network, X, c, observed) -> idf.KKTSystem:
    updates = layer_updates(net.weights, net.biases, net.activations, X, c)
    seen = [tuple(part if known else None for part, known in zip(*each, strict=True)) for each in zip(updates, observed, strict=True)]
    return idf.KKTSystem.gradient(net, layers={k: pair for k, pair in enumerate(seen, 1) if any(part is not None for part in pair)})


def only(report: idf.Report, name: str, scope: tuple[str, str], verdict=UNIQUE) -> idf.Report:
    """The report as it would be if this condition decided."""
    assert report[name].is_proved
    return replace(report, verdict=verdict, scope=type(report.scope)(*scope), witness=None)


def by_pattern(*sizes, **options) -> idf.Report:
    report = only(data(*sizes, **options), "pattern", (PATTERN, THIS_DATA))
    return replace(report, conditions=tuple(c for c in report.conditions if c.name not in ("quadrics", "enumeration", "realisation")))


def by_enumeration(*sizes, **options) -> idf.Report:
    report = only(data(*sizes, **options), "enumeration", (THIS, THIS_DATA))
    return replace(report, conditions=tuple(c for c in report.conditions if c.name not in ("quadrics", "pattern")))


def isolated_only(*sizes, **options) -> idf.Report:
    """The report without the search through all choices of slopes."""
    report = only(data(*sizes, **options), "local", (THIS, THIS_DATA), LOCAL)
    return replace(report, conditions=tuple(c for c in report.conditions if c.name not in ("enumeration", "realisation")))


def without_first_bias(*sizes, **options) -> idf.Report:
    """Judged by enumeration, from the weights' updates alone."""
    planted, truth = size(*sizes, **options).plant(0)
    net, c = planted.network, truth.c.reshape(len(truth.X), -1)
    report = only(given(net, truth.X, c, [(True, False)] * net.depth), "enumeration", (THIS, THIS_DATA))
    return replace(report, conditions=tuple(c for c in report.conditions if c.name not in ("quadrics", "pattern")))


FLAT = (2, 4, 5, "relu")
"""Data in a family on their pieces, with a derivative of lower rank than there are equations."""


def without_lines(*sizes, **options) -> idf.Report:
    """Such data, judged without the search for lines of data, whose members are proved in fractions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MOST_ENTRIES", 0)
        judged = data(*sizes, **options)
    assert judged.witness.kind == "fibre" and judged["local"].arithmetic is Arithmetic.MONTE_CARLO
    return judged


def region() -> idf.Report:
    rng = np.random.default_rng(1)
    net = Network([rng.normal(size=(4, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 3))], activation="hard_tanh")
    X = np.array([[0.01, 0.02, 0.03], [0.02, -0.01, 0.0]])
    return given(net, X, rng.normal(size=(2, 2)), [(True, False)] * 3)


def two_kinds(first: str, second: str) -> idf.Report:
    rng = np.random.default_rng(4)
    net = Network([rng.normal(size=(10, 3)), rng.normal(size=(8, 10)), rng.normal(size=(2, 8))], activation=[first, second])
    return given(net, rng.normal(size=(2, 3)), rng.normal(size=(2, 2)), [(True, False)] * 3)


def with_second_bias() -> idf.Report:
    """tanh, no first bias, and a second one whose update was not observed."""
    rng = np.random.default_rng(3)
    net = Network(
        [rng.normal(size=(9, 3)), rng.normal(size=(6, 9)), rng.normal(size=(2, 6))], biases=[None, np.ones(6), None], activation="tanh"
    )
    return given(net, rng.normal(size=(2, 3)), rng.normal(size=(2, 2)), [(True, False)] * 3)


def parallel() -> idf.Report:
    """Two samples on one ray, and a neuron with weights of zero, on its kink wherever a sample is."""
    rng = np.random.default_rng(2)
    net = Network([np.vstack([rng.normal(size=(3, 2)), np.zeros((1, 2))]), np.ones((1, 4))], activation="leaky_relu")
    return given(net, [[1.0, 2.0], [2.0, 4.0]], [[1.0], [2.0]], [(True, False)] * 2)


def behind_a_later_bias(activation: str, last: bool) -> idf.Report:
    """No first bias, and a second one whose update was not observed; with the last update scales are known."""
    rng = np.random.default_rng(5)
    drawn = [np.round(4 * rng.normal(size=shape)) / 4 for shape in ((10, 2), (4, 10), (1, 4), (4,), (2, 2), (2, 1))]
    net = Network(drawn[:3], biases=[None, drawn[3], None], activation=activation)
    return given(net, *drawn[4:], [(True, False), (True, False), (last, False)])


CASES = {
    "sizes": (lambda: generic(4, 3, (8, 5), "gelu", outputs=2), UNIQUE, (GENERIC, RANK), "separation"),
    "sizes, backward": (lambda: system(3, 2, 8, "sigmoid", layers="first"), UNIQUE, (GENERIC, RANK), "separation"),
    "sizes, second layer": (
        lambda: system(2, 3, 12, "softplus", layers="second", bias=False, outputs=3),
        UNIQUE,
        (GENERIC, RANK_APART),
        "separation",
    ),
    "multipliers beforehand": (lambda: generic(3, 2, 7, "silu", layers="first", outputs=3), UNIQUE, (GENERIC, RANK), "separation"),
    "separation": (lambda: data(4, 3, (9, 4), "gelu", outputs=2), UNIQUE, (GENERIC, THIS_DATA), "ranks separation"),
    "separation, more samples than inputs": (
        lambda: data(2, 4, (10, 6), "tanh", outputs=2, layers=(2, 3)),
        UNIQUE,
        (GENERIC, THIS_DATA),
        "ranks separation",
    ),
    "separation, sign": (lambda: data(3, 2, 9, "erf", bias=False), UNIQUE, (GENERIC, THIS_DATA), "ranks separation"),
    "signs by sums": (lambda: data(3, 2, 7, "sigmoid", bias=False), UNIQUE, (GENERIC, THIS_DATA), "signs ranks separation"),
    "signs by features": (
        lambda: data(3, 2, (7, 4), "sigmoid", bias=False),
        UNIQUE,
        (GENERIC, THIS_DATA),
        "ranks signs separation",
    ),
    "signs by signals": (with_second_bias, UNIQUE, (GENERIC, THIS_DATA), "ranks signs separation"),
    "separation, pattern of a deeper layer": (
        lambda: two_kinds("gelu", "relu"),
        UNIQUE,
        (PATTERN, THIS_DATA),
        "ranks separation",
    ),
    "sizes, some layers": (lambda: generic(3, 2, (6, 7), "tanh", outputs=3, layers=(3,)), UNIQUE, (GENERIC, RANK), "some-layers"),
    "some layers": (lambda: data(3, 2, (6, 7), "gelu", outputs=3, layers=(3,)), UNIQUE, (GENERIC, THIS_DATA), "ranks some-layers"),
    "some layers, in the span of the samples": (
        lambda: data(5, 2, (3, 4), "tanh", outputs=3, layers=(1, 3)),
        UNIQUE,
        (GENERIC, THIS_DATA),
        "ranks some-layers",
    ),
    "kernel": (lambda: data(5, 2, (4, 3), "tanh", layers=(2, 3)), NOT_UNIQUE, (THIS, THIS_DATA), "kernel"),
    "sizes, kernel": (lambda: generic(5, 2, (4, 3), "relu", layers=(2, 3)), NOT_UNIQUE, (GENERIC, GENERIC_DATA), "kernel"),
    "pattern": (lambda: by_pattern(4, 2, (16, 6), "relu"), UNIQUE, (PATTERN, THIS_DATA), "ranks pattern"),
    "pattern, two slopes": (lambda: by_pattern(3, 2, (24, 4), "leaky_relu"), UNIQUE, (PATTERN, THIS_DATA), "ranks pattern"),
    "bases, forward": (lambda: by_pattern(2, 4, (30, 6), "relu", outputs=2, layers=(2, 3)), UNIQUE, (PATTERN, THIS_DATA), "ranks bases"),
    "bases, backward": (
        lambda: by_pattern(4, 3, 16, "relu", outputs=2, layers="first"),
        UNIQUE,
        (PATTERN, THIS_DATA),
        "ranks bases",
    ),
    "cell": (lambda: data(3, 2, 12, "relu", layers="first"), UNIQUE, (THIS, CELL), "ranks quadrics"),
    "columns": (lambda: data(3, 2, 20, "hard_tanh", outputs=2, layers="first"), UNIQUE, (THIS, THIS_DATA), "ranks quadrics"),
    "columns of two layers": (lambda: data(3, 2, (20, 8), "relu", outputs=2), UNIQUE, (THIS, THIS_DATA), "ranks quadrics"),
    "features": (lambda: data(3, 2, (16, 4), "abs", outputs=2), UNIQUE, (THIS, THIS_DATA), "ranks quadrics"),
    "cell, off kinks": (lambda: data(3, 2, 14, "abs", layers="first"), UNIQUE, (THIS, CELL_OFF_KINKS), "ranks quadrics"),
    "columns, off kinks": (lambda: data(3, 2, 24, "abs", outputs=2, layers="first"), UNIQUE, (THIS, OFF_KINKS), "ranks quadrics"),
    "scale": (lambda: data(3, 2, 20, "leaky_relu(1/4)", bias=False), UNIQUE, (THIS, CELL), "ranks quadrics"),
    "slopes": (lambda: by_enumeration(4, 2, 12, "relu", layers="first"), UNIQUE, (THIS, THIS_DATA), "ranks enumeration"),
    "slopes, kinks": (lambda: by_enumeration(3, 2, 24, "abs", layers="first"), UNIQUE, (THIS, THIS_DATA), "ranks enumeration"),
    "slopes, two kinks": (lambda: by_enumeration(4, 2, 8, "hard_tanh", outputs=2), UNIQUE, (THIS, THIS_DATA), "ranks enumeration"),
    "slopes, two layers": (
        lambda: by_enumeration(3, 2, (16, 8), "hard_tanh", outputs=2),
        UNIQUE,
        (THIS, THIS_DATA),
        "ranks enumeration",
    ),
    "slopes, features": (
        lambda: by_enumeration(3, 2, (8, 6), "relu", outputs=2),
        UNIQUE,
        (THIS, THIS_DATA),
        "ranks enumeration",
    ),
    "slopes, features without the update of the bias": (
        lambda: without_first_bias(3, 2, (9, 6), "relu", outputs=2),
        UNIQUE,
        (THIS, THIS_DATA),
        "ranks enumeration",
    ),
    "isolated": (lambda: data(3, 2, 3, "tanh"), LOCAL, (THIS, THIS_DATA), "ranks local"),
    "isolated, second layer": (lambda: data(1, 2, 5, "gelu_tanh", layers="second"), LOCAL, (THIS, THIS_DATA), "local"),
    "isolated, pieces": (lambda: isolated_only(3, 2, 5, "leaky_relu", seed=2), LOCAL, (THIS, THIS_DATA), "ranks local"),
    "isolated, deep polynomial": (lambda: data(3, 2, (4, 3), "z + z^2"), LOCAL, (THIS, THIS_DATA), "ranks local"),
    "isolated up to scale": (lambda: generic(3, 2, (4, 3), "z^3", bias=False), LOCAL, (GENERIC, GENERIC_DATA), "ranks local"),
    "isolated, generic": (lambda: generic(3, 2, 3, "mish"), LOCAL, (GENERIC, GENERIC_DATA), "ranks local"),
    "isolated, generic data": (lambda: system(3, 2, 3, "arctan"), LOCAL, (THIS, GENERIC_DATA), "ranks local"),
    "count": (lambda: generic(5, 4, 2, "gelu"), NOT_UNIQUE, (GENERIC, GENERIC_DATA), "count"),
    "count, network": (lambda: system(5, 4, 2, "relu"), NOT_UNIQUE, (THIS, GENERIC_DATA), "count"),
    "fibre": (lambda: data(5, 4, 2, "gelu"), NOT_UNIQUE, (THIS, THIS_DATA), "fibre"),
    "fibre of the pieces": (lambda: without_lines(*FLAT), NOT_UNIQUE, (THIS, THIS_DATA), "constant-rank"),
    "fibre of the pieces, in span": (
        lambda: without_lines(3, 2, 4, "hard_tanh", outputs=3, layers="first"),
        NOT_UNIQUE,
        (THIS, THIS_DATA),
        "ranks constant-rank",
    ),
    "fibre in span": (
        lambda: data(3, 2, 3, "gelu", outputs=3, bias=False, layers="first"),
        NOT_UNIQUE,
        (THIS, THIS_DATA),
        "ranks fibre-in-span",
    ),
    "slopes, lines put together": (
        lambda: data(2, 2, 4, "leaky_relu(1/4)", layers="first"),
        UNIQUE,
        (THIS, THIS_DATA),
        "ranks realisation",
    ),
    "scales that are known": (lambda: behind_a_later_bias("relu", True), UNIQUE, (THIS, THIS_DATA), "ranks images quadrics"),
    "other data": (parallel, NOT_UNIQUE, (THIS, THIS_DATA), "other"),
    "lines": (lambda: data(*FLAT), NOT_UNIQUE, (THIS, THIS_DATA), "other"),
    "second, joint": (lambda: data(3, 2, 2, "tanh", layers="first"), NOT_UNIQUE, (THIS, THIS_DATA), "second"),
    "second, exchange": (
        lambda: data(3, 2, 5, "tanh", outputs=2, layers="second"),
        NOT_UNIQUE,
        (THIS, THIS_DATA),
        "second",
    ),
    "region": (region, NOT_UNIQUE, (THIS, THIS_DATA), "region"),
    "invisible": (lambda: data(3, 2, 4, "relu", seed=1), NOT_UNIQUE, (THIS, THIS_DATA), "invisible"),
}
"""Name: the report, its verdict and scope, and the steps of its certificate."""


@cache
def report(name: str) -> idf.Report:
    return CASES[name][0]()


@cache
def certificate(name: str) -> idf.Certificate:
    return report(name).certificate()


def content(name: str) -> dict:
    return certificate(name).to_dict()


def rehash(body: dict, names: bool = True) -> dict:
    """With the hash of the content set right, and by default also those of the network and of the data that it names."""
    body = body | {"sha256": dict(body["sha256"])}
    if names:
        body["sha256"] |= named_hashes(body["claim"], body["numbers"])
    body["sha256"]["content"] = canonical_hash({name: value for name, value in body.items() if name != "sha256"})
    return body


def forged(name: str, **changed) -> idf.Verification:
    """The verification of a certificate with parts of the claim replaced, and all hashes right."""
    body = content(name)
    body["claim"] |= changed
    return idf.verify(rehash(body))


def with_steps(name: str, *steps: dict, **claim) -> idf.Verification:
    body = content(name)
    body["claim"] |= claim
    return idf.verify(rehash(body | {"steps": list(steps)}))


class TestEveryProvedVerdict:
    @pytest.mark.parametrize("name", CASES)
    def test_is_certified(self, name, tmp_path):
        _, verdict, scope, steps = CASES[name]
        proof = certificate(name)
        assert report(name).verdict is verdict and (report(name).scope.network, report(name).scope.data) == scope
        answer = idf.verify(proof.save(tmp_path / "proof.json"))
        assert answer and answer.claim.startswith(f"{verdict} for {scope[0]}, {scope[1]} (gradient, ")
        assert " ".join(step["kind"] for step in proof.content["steps"]) == steps
        assert len(answer.reasons) == len(proof.content["steps"])

    @pytest.mark.parametrize("name", CASES)
    def test_names_its_network_and_data(self, name):
        question, answer = report(name).question, idf.verify(certificate(name))
        assert answer.network == (None if question.system is None else network_hash(question.system.network))
        assert (answer.data is None) == (question.data is None)

    @pytest.mark.parametrize("scope", SCOPES)
    def test_every_scope_has_one(self, scope):
        assert scope in {case[2] for case in CASES.values()}

    def test_one_report_one_certificate(self):
        assert CASES["columns"][0]().certificate().to_json() == certificate("columns").to_json()

    def test_multipliers_are_part_of_the_claim(self):
        assert "multipliers given before the network" in idf.verify(certificate("multipliers beforehand")).claim
        assert "multipliers given" not in idf.verify(certificate("sizes")).claim

    def test_matchings_where_pairs_do_not_suffice(self):
        """Every sample activates too few neurons for the counts, but each set of samples enough."""
        found = None
        for seed in range(40):
            judged = data(5, 3, (13, 5), "relu", seed=seed)
            if judged["pattern"].is_proved and judged["pattern"].evidence["sets"] == "all":
                found = only(judged, "pattern", (PATTERN, THIS_DATA))
                break
        assert found is not None
        found = replace(found, conditions=tuple(c for c in found.conditions if c.name != "quadrics"))
        proof = found.certificate()
        assert proof.content["steps"][-1] == {"kind": "pattern", "sets": "all"} and idf.verify(proof)
        body = proof.to_dict()
        body["steps"][-1]["sets"] = "pairs"
        assert not idf.verify(rehash(body))


WORDS = {
    "format": ["other"],
    "kind": ["verdict", "solution", "ranks", "local", "count", "enumeration", "polynomial", "analytic", "piecewise-linear"],
    "verdict": ["UNIQUE", "LOCALLY_UNIQUE", "NOT_UNIQUE", "UNDECIDED"],
    "network": [GENERIC, THIS, PATTERN, "any network"],
    "data": [GENERIC_DATA, THIS_DATA, OFF_KINKS, CELL, CELL_OFF_KINKS, RANK, RANK_APART, "any data"],
    "regime": ["gradient", "lazy", "weight-decay", "max-margin"],
    "loss": ["logistic"],
    "multipliers": ["any", "given beforehand"],
    "group": ["none", "sign", "scaling", "positive scaling", "even scaling"],
    "name": ["tanh", "gelu", "cos", "softplus", "relu"],
    "route": ["forward", "backward"],
    "equations": ["forward", "backward", "both_signals"],
    "sets": ["pairs", "all"],
    "system": ["joint", "exchange"],
    "by": ["sums", "features", "signals"],
}


def changes(path, value) -> list:
    """Other values of one leaf."""
    return [other for other in candidates_for(path, value) if other != value or type(other) is not type(value)]


def candidates_for(path, value) -> list:
    where = [key for key in path if isinstance(key, str)][-1]
    if isinstance(value, bool):
        return [not value, None]
    if isinstance(value, int):
        return [value + 1, value - 1, -value or 2, None]
    if path[0] == "steps" and where in ("X", "c"):
        return [str(Fraction(value) + 1), str(-Fraction(value)) if Fraction(value) else "1/7", None]
    if where in WORDS and path[0] != "sha256":
        return [*WORDS[where], None]
    if value is None:
        return [0, "0x1.0000000000000p+0", []]
    if path[0] == "sha256":
        return ["0" * 64, None]
    if path[0] == "claim":
        return [str(Fraction(value) + 1), str(-Fraction(value)) if Fraction(value) else "1/7", None]
    return [(1.5 * float.fromhex(value) + 0.25).hex(), (-float.fromhex(value)).hex(), (0.0).hex()]


def activation_of(value: dict) -> Activation:
    if value["kind"] == "analytic":
        return Analytic(value["name"])
    if value["kind"] == "polynomial":
        return Activation([Fraction(s) for s in value["coefficients"]])
    points, slopes, kinks = ([Fraction(v) for v in value[name]] for name in ("breakpoints", "slopes", "kinks"))
    return PiecewiseLinear(points, slopes, Fraction(value["value"]), kinks=kinks)


def floats(value):
    return None if value is None else np.vectorize(float.fromhex)(value)


def question_of(body: dict) -> NetworkQuestion:
    """The question that a certificate answers, at its numbers or at its point."""
    claim = body["claim"]
    numbers = {name: body["numbers"][name] for name in NUMBERS}
    for name in NUMBERS:
        if numbers[name] is None and body["point"] is not None:
            numbers[name] = body["point"][name]
    sizes, observed = tuple(claim["sizes"]), tuple(map(tuple, claim["observed"]))
    activations = tuple(map(activation_of, claim["activations"]))
    asked = NetworkQuestion(sizes, activations, tuple(claim["biases"]), observed, claim["samples"], 0, claim["regime"])
    complete = claim["loss"] is None and claim["regime"] != "max-margin"
    asked = replace(asked, equations_are_complete=complete)
    if numbers["weights"] is None or numbers["X"] is None:
        return asked
    net = Network([floats(W) for W in numbers["weights"]], biases=[floats(b) for b in numbers["biases"]], activation=activations)
    X, c = floats(numbers["X"]), floats(numbers["c"])
    return replace(asked, system=replace_regime(observing(net, X, c, observed), claim), data=(X, c))


def replace_regime(planted: idf.KKTSystem, claim: dict) -> idf.KKTSystem:
    return replace(planted, updates=planted.updates, regime=claim["regime"], loss=claim["loss"])


def is_confirmed(body: dict) -> bool:
    """Whether the conditions themselves, on other ways, prove the claim of this certificate."""
    claim, step = body["claim"], body["steps"][-1]
    kind = step["kind"]
    try:
        asked = question_of(body)
    except ShapeError:  # an update of zeros, which is not a problem; but no sample of it is seen
        return kind == "invisible"
    group, degree = claim["ambiguity"]["group"], claim["ambiguity"]["degree"]
    weaker = asked.images is Images.FIXED and group in ("positive scaling", "even scaling") and degree == 1
    if (asked.ambiguity.group, asked.ambiguity.degree) != (group, degree) and not weaker:
        return False
    if kind == "separation":
        at = asked if claim["data"] == THIS_DATA else replace(asked, system=None, data=None)
        found = separation(at)
        wanted = (step["route"].upper(), tuple(step["layers"]), claim["multipliers"] == "any")
        possible = {(each.route.name, each.ranks, each.any_multipliers) for each in needs(at) if each.neurons <= at.neurons}
        if found.evidence["with_this_pattern"] != (claim["network"] == PATTERN):
            return False
        left_out = claim["data"] == RANK_APART or claim["data"] == THIS_DATA or at.biases[0] or 1 in step["layers"]
        return found.is_proved and wanted in possible and left_out
    if kind == "some-layers":
        at = asked if claim["data"] == THIS_DATA else replace(asked, system=None, data=None)
        layers = ((1,) if step["spanned"] else ()) + (step["layer"],)
        possible = {each.ranks for each in samples_needs(parts_of(at)) if each.reason is ExposedBy.FORWARD}
        return some_layers(at).is_proved and layers in possible and claim["multipliers"] == "any"
    if kind == "kernel":
        return kernel_family(asked) is not None
    if kind == "pattern":
        return pattern(asked).is_proved
    if kind == "bases":
        found = pattern(asked)
        return found.is_proved and (claim["multipliers"] == "given beforehand" or found.evidence.get("any_multipliers", True))
    if kind == "quadrics":
        found = quadrics(asked)
        kinds = {each.equations.name.lower() for each in candidates(asked)}
        return found.is_proved and step["equations"] in kinds and (claim["data"] in (THIS_DATA, OFF_KINKS) or found.evidence["whole_cell"])
    if kind == "enumeration":
        kinds = {each.equations.name.lower() for each in (*choices(asked), *candidates(asked))}
        return enumeration(asked).is_proved and step["equations"] in kinds
    if kind == "realisation":
        return realisation(asked)[0].is_proved
    if kind == "other":
        return rulings(asked)[0] is not None
    if kind == "second":
        return second_solution(asked) is not None
    if kind in ("region", "invisible"):
        return families(asked)[0].is_proved
    if kind == "count":
        return count(asked).holds is False and asked.equations_are_complete and not asked.is_self_trained
    found = isolated(asked)
    if kind == "constant-rank":
        flat = found.holds is False and found.arithmetic.is_rigorous and asked.equations_are_complete
        return flat and found.evidence["dimension"] == step["dimension"] and found.evidence["in_span"] == step["in_span"]
    if kind in ("fibre", "fibre-in-span"):
        return found.holds is False and found.evidence["dimension"] == step["dimension"] and asked.equations_are_complete
    return found.is_proved


def is_a_choice(path) -> bool:
    """Whether another value of this leaf may give another proof of the same claim."""
    return path[0] == "point" or path[-1] == "seed"


class TestTampering:
    @pytest.mark.parametrize("every", [6, slow(1)])
    @pytest.mark.parametrize("name", CASES)
    def test_any_change_shows(self, name, every):
        """Without new hashes every change is refused. With all hashes new, what is accepted is another true statement, or another
        proof of the same. A sixth of the leaves, another sixth of the next certificate; all if slow tests are run."""
        original, rng, confirmed = content(name), np.random.default_rng(0), {}
        found = list(leaves(original))
        numbers = [leaf for leaf in found if leaf[0][0] in ("numbers", "point") and isinstance(leaf[1], str)]
        chosen = [leaf for leaf in found if leaf not in numbers]
        chosen += [numbers[k] for k in rng.choice(len(numbers), min(len(numbers), 12), replace=False)] if numbers else []
        for turn, (path, value) in list(enumerate(chosen))[list(CASES).index(name) % every :: every]:
            others = changes(path, value)
            for other in [others[turn % len(others)]] if path[0] == "numbers" or is_a_choice(path) else others:  # one kind each, in turn
                changed = replaced(original, path, other)
                assert not idf.verify(changed), path
                if path[0] in ("numbers", "sha256"):
                    assert not idf.verify(rehash(changed, names=False)) or path == ("sha256", "content"), path
                if path[0] == "sha256":
                    continue
                try:
                    answer = idf.verify(rehash(changed))
                except (KeyError, TypeError, ValueError):
                    continue
                if not answer or is_a_choice(path):
                    continue
                key = canonical_hash([changed["claim"], changed["numbers"]])
                if key not in confirmed:
                    confirmed[key] = is_confirmed(changed)
                assert confirmed[key], (path, value, other, answer.claim)

    @pytest.mark.parametrize("name", CASES)
    def test_every_step_is_needed(self, name):
        original = content(name)
        for at in range(len(original["steps"])):
            shorter = copy.deepcopy(original)
            del shorter["steps"][at]
            assert not idf.verify(rehash(shorter))
        assert len(original["steps"]) == 1 or not idf.verify(rehash(original | {"steps": original["steps"][::-1]}))

    @pytest.mark.parametrize("name", CASES)
    def test_the_scope_follows_from_the_steps(self, name):
        claim = content(name)["claim"]
        for scope in SCOPES:
            within = {CELL: THIS_DATA, CELL_OFF_KINKS: OFF_KINKS}.get(claim["data"]) == scope[1]
            if scope != (claim["network"], claim["data"]) and not within:
                assert not forged(name, network=scope[0], data=scope[1])
        for verdict in {"UNIQUE", "LOCALLY_UNIQUE", "NOT_UNIQUE"} - {claim["verdict"]}:
            assert not forged(name, verdict=verdict)

    @pytest.mark.parametrize("name", CASES)
    def test_other_numbers_of_neurons_layers_or_samples(self, name):
        claim = content(name)["claim"]
        for at, size in enumerate(claim["sizes"]):
            sizes = [*claim["sizes"][:at], size + 1, *claim["sizes"][at + 1 :]]
            answer = forged(name, sizes=sizes)
            assert not answer or content(name)["numbers"]["weights"] is None
        for n in (claim["samples"] - 1, claim["samples"] + 1):
            answer = forged(name, samples=n)
            assert not answer or name.startswith(("sizes", "count", "multipliers"))


class TestForgedClaims:
    def test_too_few_neurons(self):
        """n = 3, d = 4: five neurons are enough for the features, four are not."""
        for neurons, valid in ((5, True), (4, False)):
            assert bool(forged("sizes", sizes=[4, neurons, 5, 2])) is valid

    def test_multipliers_of_a_loss(self):
        assert "neurons for" in forged("multipliers beforehand", multipliers="any").reasons[0]

    def test_a_trained_network_is_not_generic(self):
        assert "not generic for them" in forged("sizes", regime="max-margin").reasons[0]
        assert not forged("count, network", regime="weight-decay")

    def test_a_deeper_layer_may_hide_multipliers(self):
        gelu, relu = ({"kind": "analytic", "name": "gelu"}, written(Activation.parse("relu")))
        assert "slope of zero" in forged("sizes", activations=[gelu, relu]).reasons[0]
        assert "slope of zero" in forged("sizes", sizes=[4, 8, 5, 6]).reasons[0]
        assert forged("sizes", activations=[gelu, written(Activation.parse("leaky_relu"))])

    def test_scales_that_no_step_shows(self):
        """Without the update of the last layer the step proves less, and the claim must not say more."""
        body = behind_a_later_bias("abs", False).certificate().to_dict()
        assert idf.verify(body) and body["claim"]["ambiguity"]["group"] == "even scaling"
        body["claim"] |= {"ambiguity": {"group": "sign", "degree": 2}}
        assert not idf.verify(rehash(body))
        known = content("scales that are known")
        known["steps"] = [step for step in known["steps"] if step["kind"] != "images"]
        assert not idf.verify(rehash(known))

    def test_signs_that_deeper_layers_do_not_see(self):
        """tanh without a first bias leaves a sign, which a second bias, or GELU, does not pass on."""
        tanh, gelu = ({"kind": "analytic", "name": name} for name in ("tanh", "gelu"))
        sign = {"group": "sign", "degree": 1}
        wide = {"sizes": [4, 20, 5, 2], "biases": [False] * 3, "observed": [[True, False]] * 3, "ambiguity": sign}
        assert forged("sizes", **wide, activations=[tanh, tanh])
        assert "images of a sample" in forged("sizes", **wide, activations=[tanh, gelu]).reasons[0]
        assert "images of a sample" in forged("sizes", **wide | {"biases": [False, True, False]}, activations=[tanh, tanh]).reasons[0]

    def test_families_are_complete_only_without_further_equations(self):
        for name in ("fibre", "fibre in span", "fibre of the pieces", "region", "invisible"):
            assert "beyond (S)" in forged(name, regime="max-margin").reasons[0]
            assert "beyond (S)" in forged(name, regime="weight-decay", loss="logistic").reasons[0]
        for name in ("other data", "lines", "second, joint", "second, exchange"):
            assert "nothing else is in force" in forged(name, regime="max-margin").reasons[0]

    def test_quadrics_of_absolute_values_say_nothing_of_samples_on_kinks(self):
        """Two data sets with the same update; the samples of the second lie on kinks, where PyTorch's slope of abs is 0."""
        net = Network([np.array([[0, 1.0], [1, 0], [2, 0]]), np.ones((1, 3))], activation="abs")
        judged = given(net, [[1, 1], [-1, 1]], [[1], [1]], [(True, False), (False, False)])
        other = judged.question.system.right_hand_side([[0, 2.0], [2, 0]], [[1.0], [1]])
        assert np.array_equal(other, judged.question.system.target) and judged.scope.data == CELL_OFF_KINKS
        body = judged.certificate().to_dict()
        for scope in (CELL, THIS_DATA):
            body["claim"]["data"] = scope
            assert "slope is neither of the two" in idf.verify(rehash(body)).reasons[0]

    @pytest.mark.parametrize("name", ["isolated", "isolated, deep polynomial", "count", "fibre", "region"])
    def test_unique_by_any_step(self, name):
        for step in (
            {"kind": "separation", "route": "forward", "layers": [1, 2]},
            {"kind": "separation", "route": "backward", "layers": [1]},
            {"kind": "pattern", "sets": "pairs"},
            {"kind": "quadrics", "equations": "backward"},
            {"kind": "quadrics", "equations": "forward"},
            {"kind": "enumeration", "equations": "backward"},
            {"kind": "enumeration", "equations": "forward"},
        ):
            ranked = [{"kind": "ranks", "layers": [1], "seed": 0}] * (content(name)["numbers"]["X"] is not None)
            assert not with_steps(name, *ranked, step, verdict="UNIQUE")

    def test_families_of_determined_data(self):
        for name in ("cell", "columns", "isolated", "isolated, pieces", "pattern"):
            body = content(name)
            claim = {"verdict": "NOT_UNIQUE", "network": THIS, "data": THIS_DATA}
            for step in (
                {"kind": "region", "samples": [0, 1]},
                {"kind": "invisible", "sample": 0},
                {"kind": "fibre", "dimension": 1, "seed": 0},
                *({"kind": "constant-rank", "rank": r, "in_span": False, "dimension": 8 - r, "seed": 0} for r in (5, 7)),
                {"kind": "count", "unknowns": 8, "equations": 7},
            ):
                assert not with_steps(name, step, **claim), (name, step, body["claim"])

    def test_directions_that_depend_on_each_other(self):
        """Four samples in two dimensions are isolated. The directions towards the samples are dependent, which is not a family."""
        assert report("bases, forward")["local"].is_proved
        step = {"kind": "constant-rank", "rank": 16, "in_span": True, "dimension": 8, "seed": 0}
        answer = with_steps("bases, forward", step, verdict="NOT_UNIQUE", network=THIS)
        assert not answer and "the rank of the first update is not proved" in answer.reasons[-1]

    def test_a_rank_that_is_not_full(self):
        """Two neurons give columns of rank 2 at most; equal neurons give less."""
        body = content("isolated")
        body["numbers"]["weights"][0] = [body["numbers"]["weights"][0][0]] * 3
        body["numbers"]["biases"][0] = [body["numbers"]["biases"][0][0]] * 3
        assert "not proved to be independent" in idf.verify(rehash(body)).reasons[0]

    def test_a_dead_neuron_more_or_less(self):
        """A changed sign of one weight changes the pattern, and the quadrics with it: fewer patterns than products of samples."""
        body = content("cell")
        body["numbers"]["weights"][0] = [body["numbers"]["weights"][0][0]] * 12
        body["numbers"]["biases"][0] = [body["numbers"]["biases"][0][0]] * 12
        assert not idf.verify(rehash(body))

    def test_equal_and_missing_samples(self):
        body = content("cell")
        body["numbers"]["X"] = [body["numbers"]["X"][0]] * 2
        assert "two samples coincide" in idf.verify(rehash(body)).reasons[0]
        body = content("cell")
        body["numbers"]["c"][1] = [(0.0).hex()]
        assert "a multiplier is zero" in idf.verify(rehash(body)).reasons[0]

    def test_the_prime(self):
        for prime, message in ((2**31 + 1, "not an odd prime"), (7, "prime: expected"), (None, "needs a prime")):
            body = content("columns")
            body["point"]["prime"] = prime
            assert message in idf.verify(rehash(body)).reasons[0]

    def test_a_point_in_place_of_given_numbers(self):
        body = content("isolated, generic data")
        body["point"] |= {name: body["numbers"][name] for name in ("weights", "biases")}
        assert "are given already" in idf.verify(rehash(body)).reasons[0]


class TestItsOwnArithmetic:
    @pytest.mark.parametrize("name", ANALYTIC)
    def test_the_table_of_functions(self, name):
        """Values, slopes and curvatures against numerical derivatives in arbitrary precision."""
        sigma = read({"kind": "analytic", "name": name})
        with ctx.workprec(160), mpmath.workdps(60):
            for z in (-30.0, -3.25, -0.5, 0.0, 1e-3, 0.75, 4.0, 25.0):
                found = sigma.derivatives(arb(z), arb)
                for order, value in enumerate(found):
                    expected = mpmath.diff(REFERENCE[name], mpmath.mpf(z), order) if order else REFERENCE[name](mpmath.mpf(z))
                    assert abs(mpmath.mpf(value.mid().str(50, radius=False)) - expected) < mpmath.mpf(10) ** -15 * (1 + abs(expected))
                    assert float(value.rad()) < 1e-30

    def test_the_table_is_complete(self):
        assert set(SERIES) == set(ANALYTIC)
        for name in ANALYTIC:
            assert read({"kind": "analytic", "name": name}).parity == Analytic(name).parity

    @pytest.mark.parametrize(
        "text", ["relu", "leaky_relu", "abs", "relu6", "hard_tanh", "hard_sigmoid", "soft_shrink(1/4)", "z + z^3", "z^4"]
    )
    def test_properties_of_activations(self, text):
        sigma = Activation.parse(text)
        found = read(written(sigma))
        assert found.parity == sigma.parity and found.kind == sigma.kind
        assert found.is_odd == (sigma.parity == -1 and sigma(0.0) == 0)

    @pytest.mark.parametrize("seed", range(30))
    def test_matchings(self, seed):
        """Hall's condition by augmenting paths is that by maximum flows."""
        rng = np.random.default_rng(seed)
        n, m = rng.integers(2, 6), rng.integers(3, 11)
        high = rng.random((n, m)) < rng.choice([0.4, 0.7])
        rows, m = [sum(1 << j for j in np.flatnonzero(row).tolist()) for row in high], int(m)
        for seen in range(-1, 5):
            for apart in (1, 2):
                own = _has_neighbours(rows, m, seen)
                own = own and all(_has_neighbours([u ^ v for k, u in enumerate(rows) if k != i], m, apart) for i, v in enumerate(rows))
                assert own == holds_for_all_sets(high, seen, apart)


class TestAnotherProof:
    """A verdict may have more proofs than one: the certificate takes one that the checker takes."""

    def test_of_the_report(self, monkeypatch):
        judged = data(3, 2, 16, "relu", layers="first")
        assert judged["quadrics"].is_proved and judged["enumeration"].is_proved and judged.scope.data == CELL
        monkeypatch.setattr(quadrics_step, "need_fit", refuse)
        proof = judged.certificate()
        assert [step["kind"] for step in proof.content["steps"]] == ["ranks", "enumeration"]
        assert proof.content["claim"]["data"] == THIS_DATA and idf.verify(proof)

    @pytest.mark.parametrize("left_out", [(), ("quadrics", "pattern")])
    def test_of_a_weaker_scope_and_evaluated_on_demand(self, monkeypatch, left_out):
        judged = data(4, 2, (16, 6), "relu")
        judged = replace(judged, conditions=tuple(c for c in judged.conditions if c.name not in left_out))
        monkeypatch.setattr(quadrics_step, "need_fit", refuse)
        monkeypatch.setattr(enumeration_step, "MAX_SUBSPACES", 1)
        proof = judged.certificate()
        assert proof.content["steps"][-1] == {"kind": "pattern", "sets": "pairs"} and proof.content["claim"]["network"] == PATTERN

    def test_of_lines_that_nobody_asked_for(self, monkeypatch):
        """Quadrics leave samples on kinks out. Lines are put together on demand only, and then say more."""
        judged = data(2, 2, 8, "abs", layers="first", seed=2)
        assert judged.scope.data == CELL_OFF_KINKS and not judged["enumeration"].is_proved
        assert "realisation" not in [c.name for c in judged.conditions]
        monkeypatch.setattr(quadrics_step, "need_fit", refuse)
        content = judged.certificate().content
        assert content["steps"][-1] == {"kind": "realisation"} and content["claim"]["data"] == THIS_DATA

    def test_in_place_of_lines_that_are_too_many(self, monkeypatch):
        """Lines that are left out because no point has their slopes do not matter, if the checker can put all of them together."""
        judged = data(3, 4, 7, "hard_tanh", layers="first", seed=2)
        found = judged["realisation"].evidence
        assert judged.verdict is UNIQUE and "of_points" in found and found["equations"] == "backward"
        assert judged.certificate().content["steps"][-1] == {"kind": "realisation"}
        monkeypatch.setattr(networks, "MAX_SETS", 1)
        monkeypatch.setattr(networks, "MAX_CHOICES", 0)
        with pytest.raises(NoCertificateError):
            judged.certificate()

    def test_for_which_there_is_time(self, monkeypatch):
        judged = data(3, 2, 16, "relu", layers="first")
        spent = {"quadrics": 50.0, "enumeration": 0.1}
        monkeypatch.setattr(certify, "network_seconds", lambda report, question, route: spent[route])
        assert judged.certificate(budget=20.0).content["steps"][-1]["kind"] == "enumeration"
        assert judged.certificate().content["steps"][-1]["kind"] == "quadrics"
        spent["enumeration"] = 40.0
        with pytest.raises(idf.OutOfTimeError, match="takes about 40 s"):
            judged.certificate(budget=20.0)

    def test_none_is_taken(self, monkeypatch):
        judged = data(3, 2, 12, "relu", layers="first")
        monkeypatch.setattr(quadrics_step, "need_fit", refuse)
        monkeypatch.setattr(enumeration_step, "MAX_SUBSPACES", 1)
        assert judged.certificate().content["steps"][-1] == {"kind": "joint-slopes"}
        monkeypatch.setattr(networks, "MAX_CHOICES", 0)
        with pytest.raises(idf.CertificateTooLargeError, match="a matrix"):  # of the first proof
            judged.certificate()


def refuse(rows: int, columns: int) -> None:
    raise TooLarge("a matrix")


class TestEnumeration:
    """The search of the checker against that of the condition, and where it must not prove."""

    @pytest.mark.parametrize("slopes", [(0, 1), (-1, 0, 1), (Fraction(1, 4), 1)], ids=["relu", "abs", "leaky"])
    @pytest.mark.parametrize("seed", range(8))
    def test_the_same_lines(self, slopes, seed):
        rng, q = np.random.default_rng(seed), 2147483629
        n, k, m = 2, int(rng.integers(1, 3)), 5
        slopes = tuple(map(Fraction, slopes))
        pattern = np.array([int(4 * s) for s in slopes])[rng.integers(0, len(slopes), (m, n))]
        G = rng.integers(100, 400, (m, k)) * rng.choice([-1, 1], (m, 1))
        F = pattern * (G @ rng.integers(1, 4, (n, k)).T)
        expected = lines_of(F % q, 4 * G % q, Choice(Equations.BACKWARD, n, k, slopes, (1,)), q)
        search = Search((F % q).tolist(), (4 * G % q).tolist(), list(slopes), [residue(s, q) for s in slopes], q)
        if expected is None:
            with pytest.raises(Rejected):
                search.lines(False)
        else:
            assert search.lines(False)[0] == expected

    def test_other_samples_that_have_a_column(self):
        """Two samples whose columns add up to a column with the slopes of ReLU."""
        net = Network([np.array([[1.0, 0.0], [1.0, 0.5], [-1.0, 0.0], [-1.0, 0.5]]), np.ones((1, 4))], activation="relu")
        judged = given(net, [[2.0, 1.0], [-2.0, 1.0]], [[1.0], [1.0]], [(True, False), (False, False)])
        found = judged["enumeration"]
        assert found.holds is False
        found = replace(found, holds=True, arithmetic=Arithmetic.PROOF, evidence={"equations": "backward", "rank_of_layers": [1]})
        judged = replace(judged, verdict=UNIQUE, scope=type(judged.scope)(THIS, THIS_DATA), witness=None, conditions=(found,))
        answer = idf.verify(NetworkDraft(judged, judged.question, 0, "enumeration").content())
        assert not answer and "not a sample" in answer.reasons[0]

    def test_neurons_that_say_nothing(self):
        """Without weights to the output, or to deeper neurons that see no sample, a neuron has the equation 0 = 0."""
        body = content("slopes")
        for j in (0, 3):
            body["numbers"]["weights"][1][0][j] = (0.0).hex()
        asked = question_of(body)
        assert bool(idf.verify(rehash(body))) is enumeration(asked).is_proved

    def test_slopes_that_are_equal_modulo_the_prime(self):
        body = content("slopes")
        q = body["point"]["prime"]
        body["claim"]["activations"][0]["slopes"] = [str(-q), "1"]
        body["claim"]["activations"][0]["kinks"] = ["0"]
        assert not idf.verify(rehash(body))


class TestErrors:
    @pytest.mark.parametrize(("name", "number"), [("MAX_NODES", 3), ("MAX_SETS", 1)])
    def test_more_lines_than_the_checker_puts_together(self, name, number, monkeypatch):
        """If nothing else proves the verdict, the error says so; it is no fault of the checker."""
        judged = report("slopes, lines put together")
        monkeypatch.setattr(networks, name, number)
        assert judged.certificate().content["steps"][-1] == {"kind": "joint-slopes"}
        monkeypatch.setattr(networks, "MAX_CHOICES", 0)
        with pytest.raises(NoCertificateError, match="than the checker goes through") as raised:
            judged.certificate()
        assert raised.value.reason is Lacking.LINES and raised.value.rests_on == ("realisation",)

    def test_a_sample_on_a_kink_among_kinds(self):
        """leaky ReLU, then tanh: z = 0 exactly, but balls are never exactly anything."""
        net = Network([np.array([[1.0, -1.0], [0.5, 2.0]]), np.eye(2) + 0.5, np.ones((1, 2))], activation=["leaky_relu", "tanh"])
        judged = given(net, [[0.5, 0.5]], [[1.0]], [(True, False)] * 3)
        if judged.verdict is idf.Verdict.UNDECIDED:
            judged = replace(judged, verdict=LOCAL)
        with pytest.raises(NoCertificateError, match="kink") as raised:
            judged.certificate()
        assert raised.value.reason is Lacking.KINK

    def test_undecided(self):
        with pytest.raises(idf.InputError, match="UNDECIDED"):
            replace(report("columns"), verdict=idf.Verdict.UNDECIDED).certificate()

    def test_too_large(self, monkeypatch):
        monkeypatch.setitem(local.MAX_UNKNOWNS, False, 3)
        with pytest.raises(idf.CertificateTooLargeError, match="too large for this checker"):
            report("isolated").certificate()
        monkeypatch.setitem(examination.MAX_PRODUCTS, True, 3)
        monkeypatch.setattr(networks, "MAX_CHOICES", 0)
        with pytest.raises(idf.CertificateTooLargeError, match="too much for this checker"):
            report("columns").certificate()


NAMES = (*PIECEWISE, *ANALYTIC, "z^2", "z^3", "z + z^3")


def random_case(seed: int) -> list[idf.Report]:
    """Reports about a random network, observed in part, with data in general position or in small integers."""
    rng = np.random.default_rng(seed)
    depth, n, d, C = (int(rng.choice(sizes)) for sizes in ([2, 2, 3, 3, 4], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3]))
    sizes = [d, *(int(rng.choice([2, 3, 5, 8, 14, 24])) for _ in range(depth - 1)), C]
    kinds = [str(rng.choice(NAMES)) for _ in range(depth - 1)]
    kinds = kinds if rng.random() < 0.3 else kinds[:1] * (depth - 1)
    kinds = ["relu"] if kinds[0].startswith("z") and depth == 2 else kinds
    integers = rng.random() < 0.5

    def draw(*shape):
        return rng.integers(-2, 3, size=shape).astype(float) if integers else rng.normal(size=shape)

    weights = [draw(out, inside) for inside, out in pairwise(sizes)]
    biases = [draw(out) if rng.random() < 0.5 else None for out in sizes[1:]]
    X, c = draw(n, d), draw(n, C)
    observed = [(bool(rng.random() < 0.8), b is not None and bool(rng.random() < 0.6)) for b in biases]
    if len(np.unique(X, axis=0)) < n or not np.abs(c).max(axis=1).all():
        return []
    try:
        planted = observing(Network(weights, biases=biases, activation=kinds), X, c, observed)
    except idf.InputError:  # an update of zeros, or none
        return []
    return [idf.check(planted, data=(X, c)), idf.check(planted, samples=n)]


@pytest.mark.parametrize("seed", [*range(30), *map(slow, range(30, 90))])
def test_of_random_networks(seed):
    """Two derivations of every verdict: what the conditions prove the checker accepts, or the error says why it cannot."""
    for judged in random_case(seed):
        if judged.verdict is idf.Verdict.UNDECIDED:
            continue
        try:
            assert idf.verify(judged.certificate())
        except NoCertificateError as error:
            assert error.reason in (Lacking.KINK, Lacking.LINES)


class TestMalformed:
    @pytest.mark.parametrize("name", ["separation", "columns", "isolated, generic"])
    def test_one_value_replaced_by_anything(self, name):
        original, rng = content(name), np.random.default_rng(5)
        paths = sorted({path[:k] for path, _ in leaves(original) for k in range(1, len(path) + 1)}, key=str)
        for path in [paths[k] for k in rng.choice(len(paths), 40, replace=False)]:
            for value in (None, True, -1, 2**70, "x", [], {}, [[]], {"kind": "analytic"}, 1.5):
                changed = replaced(original, path, value)
                if changed == original or path[0] == "sha256":
                    continue
                try:
                    changed = rehash(changed)
                except (AttributeError, KeyError, TypeError, ValueError):
                    continue
                answer = idf.verify(changed)
                assert not answer or is_a_choice(path) or path[0] == "claim"

    def test_steps_of_the_other_kind_of_certificate(self):
        assert "no such kind" in with_steps("columns", {"kind": "interpolation", "rows": [0]}).reasons[0]


class TestCommandLine:
    @pytest.mark.parametrize(("activation", "word"), [("relu", "this network, all data"), ("gelu", "generic network, this data")])
    def test_write_and_verify(self, activation, word, monkeypatch, capsys, tmp_path):
        paths = []
        for seed in (0, 1):
            planted, truth = size(4, 2, 24, activation).plant(seed)
            paths.append(idf.save_problem(tmp_path / f"p{seed}.npz", planted, truth.X, truth.c))
        proof = tmp_path / "proof.json"
        status, out, _ = run(monkeypatch, capsys, "check", paths[0], "--known-data", "--certificate", proof)
        assert status == 0 and out.startswith("UNIQUE")
        status, out, _ = run(monkeypatch, capsys, "verify", proof)
        assert status == 0 and out.startswith(f"VALID: UNIQUE for {word}") and "network sha256" in out
        assert run(monkeypatch, capsys, "verify", proof, "--problem", paths[0])[0] == 0
        status, out, _ = run(monkeypatch, capsys, "verify", proof, "--problem", paths[1], "--json")
        assert status == 1 and "not about the network of" in json.loads(out)["reasons"][-1]

    def test_of_recovered_samples(self, monkeypatch, capsys, tmp_path):
        planted, _ = size(20, 5, (40, 32), "relu", outputs=4).plant(0)
        path, proof = idf.save_problem(tmp_path / "p.npz", planted), tmp_path / "proof.json"
        status, out, _ = run(monkeypatch, capsys, "recover", path, "--certificate", proof)
        assert status == 0 and "about the update of exactly these samples" in out
        assert idf.verify(proof) and idf.verify(proof).network == network_hash(planted.network)
        status, out, err = run(monkeypatch, capsys, "recover", path, "--certificate", proof, "--relative-error", 1e-7)
        assert status == 2 and "--relative-error" in err

    def test_no_certificate(self, monkeypatch, capsys, tmp_path):
        monkeypatch.setattr(lines, "MOST_ENTRIES", 0)
        planted, truth = size(*FLAT).plant(0)
        path = idf.save_problem(tmp_path / "p.npz", planted, truth.X, truth.c)
        monkeypatch.setitem(local.MAX_UNKNOWNS, True, 3)
        status, out, err = run(monkeypatch, capsys, "check", path, "--known-data", "--certificate", tmp_path / "proof.json")
        assert status == 1 and out.startswith("NOT_UNIQUE") and "too large" in err and not (tmp_path / "proof.json").exists()


def test_hashes_of_networks():
    """Of two polynomial layers as always; of other networks all of it counts."""
    W, a = np.eye(2), np.ones((1, 2))
    relu = Network([W, a], biases=[[0.0, 0.0], None], activation="relu")
    others = [
        Network([W, a], biases=[[0.0, 0.0], None], activation="leaky_relu"),
        Network([W, a], activation="relu"),
        Network([2 * W, a], biases=[[0.0, 0.0], None], activation="relu"),
        Network([W, W, a], activation="relu"),
        Network([W, W, a], activation=["relu", "gelu"]),
        Network([W, a], activation="z^3"),
        Network([W, a], biases=[None, [1.0]], activation="z^3"),
    ]
    assert len({network_hash(net) for net in (relu, *others)}) == 1 + len(others)
    assert network_hash(relu) == network_hash(Network([W, a], biases=[np.zeros(2), None], activation="piecewise_linear([0], [0, 1], 0)"))
    assert network_hash(Network([W, a], activation="z^3")) == network_hash(idf.TwoLayerNetwork(W, [1.0, 1.0], "z^3"))


def test_time_is_kept():
    for name in ("sizes", "columns", "isolated", "fibre"):
        assert certificate_seconds(report(name)) < 1
    large = replace(report("columns").question, sizes=(784, 1000, 10), samples=30)
    slow = replace(report("columns"), question=large)
    assert certificate_seconds(slow) > 1
    with pytest.raises(idf.OutOfTimeError, match="the certificate"):
        slow.certificate(budget=0.1)
