"""Certificates: every proved verdict has one, nothing false can be certified, and what is tampered with is refused."""

import ast
import copy
import json
import sys
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.command_line import run
from support.integer_systems import SYSTEMS
from support.marks import slow, thinned
from support.oracles import random_network, small_integer_problems, system_of
from support.tampering import leaves, replaced
from support.zoo import CUBE, CUBIC, ODD, TRUTH_TABLE

import identify as idf
from identify.base.errors import InternalError
from identify.certificates.certify import network_hash
from identify.checker import matrices
from identify.checker.examination import Examination
from identify.checker.moments import generic_decomposition, kruskal, scale
from identify.checker.reading import CLAIM, NETWORK, Claim, Rejected, canonical_hash, hashes
from identify.checker.verify import open_content
from identify.conditions.check import decide
from identify.conditions.generic_global import generic_global
from identify.conditions.question import setting_of
from identify.conditions.witnesses.witness import witness
from identify.problem.gradients import Observed, visible_degrees
from identify.problem.verdict import Arithmetic, Condition

SMOOTH = "z + z^2/2 + z^3"
UNIQUE, LOCAL, NOT_UNIQUE = idf.Verdict.UNIQUE, idf.Verdict.LOCALLY_UNIQUE, idf.Verdict.NOT_UNIQUE


def size(d: int, n: int, m: int, activation: str = SMOOTH, **options) -> idf.Configuration:
    return idf.Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


def generic(*sizes, **options) -> idf.Report:
    return idf.check(size(*sizes, **options))


def network(*sizes, **options) -> idf.Report:
    config = size(*sizes, **options)
    return idf.check(config.plant(0)[0], samples=config.samples)


def data(*sizes, **options) -> idf.Report:
    system, truth = size(*sizes, **options).plant(0)
    return idf.check(system, data=(truth.X, truth.c))


def by_moments(report: idf.Report) -> idf.Report:
    """The same report without generic global uniqueness, which makes shorter certificates."""
    return replace(report, conditions=tuple(c for c in report.conditions if c.name != "generic-global"))


def repeated_neuron(given: bool) -> idf.Report:
    """The rank of the Jacobian is below every count, at the data and anywhere."""
    net = idf.TwoLayerNetwork(np.repeat([[1.0, 0.5]], 3, axis=0), [1.0, 2.0, -1.5], CUBIC)
    X, c = np.array([[1.0, 2.0], [-0.5, 0.25]]), np.array([1.0, -0.75])
    system = system_of(net, X, c)
    return idf.check(system, data=(X, c)) if given else idf.check(system, samples=2)


def second(config: idf.Configuration | None = None, seed: int = 0) -> idf.Report:
    """A report whose witness is an isolated second solution; by default of an instance in integers."""
    if config is not None:
        system, truth = config.plant(seed)
        return idf.check(system, data=(truth.X, truth.c))
    each = SYSTEMS["z+z^2+z^3-both-2x2x2"]
    net = idf.TwoLayerNetwork(np.array(each.W, float), np.array(each.a, float), each.activation)
    return idf.check(system_of(net, each.X, each.c, each.layers), data=(each.X, each.c))


def integers(activation: str, layers: str, W, A, X, c, b=None) -> idf.Report:
    """Degenerate data in integers."""
    W, A, X, c = (np.array(part, float) for part in (W, A, X, c))
    net = idf.TwoLayerNetwork(W, A if len(A) > 1 else A[0], activation, None if b is None else np.array(b, float))
    return idf.check(system_of(net, X, c, layers), data=(X, c))


def opposite_lines() -> idf.Report:
    """Two parallel samples that three neurons of two outputs do not tell apart."""
    return integers(ODD, "first", [[-2, 2], [0, -2], [-2, 0]], [[1, -1, 2], [-2, -2, -1]], [[1, -1], [2, -2]], [[2, 1], [2, 1]])


def unseen_zero() -> idf.Report:
    """A first output without weights, and a zero sample."""
    return integers("z + z^2", "first", [[1, 1], [-2, 2], [2, 1]], [[0, 0, 0], [2, -2, -1]], [[0, 0], [-1, 2]], [[2, 1], [1, 2]])


def part_with_parallel_multipliers() -> idf.Report:
    W, A = [[2, 1], [-2, 0], [1, 0]], [[-2, -1, -1], [0, 2, -1]]
    return integers("z + z^2", "both", W, A, [[-2, 2], [-1, 2], [-2, -1]], [[1, 2], [2, 1], [2, 1]], [-1, 2, 2])


def part_on_a_line() -> idf.Report:
    W, A = [[1, 2], [2, 0], [-2, 1], [-1, 1]], [[0, 1, -2, -2], [2, 2, -1, -1]]
    return integers(ODD, "both", W, A, [[1, 0], [2, -2], [1, -1]], [[2, 2], [1, 2], [1, 1]])


CASES = {
    "tangents": (lambda: generic(3, 3, 4, CUBIC), UNIQUE, "generic-global"),
    "tangents in reduced coordinates": (lambda: network(5, 3, 4, CUBIC), UNIQUE, "reduction generic-global"),
    "tangents with an affine span": (lambda: generic(6, 4, 4, "z^2 + z^3 + z^4", bias=True), UNIQUE, "reduction generic-global"),
    "tangents, second layer": (lambda: generic(3, 2, 30, layers="second"), UNIQUE, "generic-global"),
    "tangents, several outputs": (lambda: generic(3, 3, 8, "z^2 + z^4", outputs=2, layers="first"), UNIQUE, "generic-global"),
    "reduced moments": (lambda: data(3, 2, 3, ODD), UNIQUE, "reduction interpolation kruskal scale"),
    "joint moments": (lambda: data(2, 3, 3, CUBIC), UNIQUE, "interpolation kruskal scale"),
    "bias": (lambda: data(2, 2, 5, "z^3", bias=True), UNIQUE, "reduction interpolation kruskal scale"),
    "several outputs": (lambda: data(2, 2, 6, "z + z^2", outputs=2), UNIQUE, "reduction interpolation kruskal scale"),
    "one sample": (lambda: data(2, 1, 6, "1 + z^2"), UNIQUE, "reduction interpolation single-sample scale"),
    "subgeneric": (lambda: by_moments(generic(4, 7, 10, "z^4")), UNIQUE, "interpolation generic-decomposition scale"),
    "perfect": (lambda: generic(3, 7, 8, "z^5"), UNIQUE, "interpolation generic-decomposition scale"),
    "subgeneric, lifted": (lambda: by_moments(generic(3, 7, 10, "z^4", bias=True)), UNIQUE, "interpolation generic-decomposition scale"),
    "planted, its data": (lambda: generic(3, 3, 7, CUBE, regime="max-margin"), UNIQUE, "reduction interpolation kruskal scale"),
    "planted, its target": (lambda: network(3, 3, 7, CUBE, regime="max-margin"), UNIQUE, "reduction interpolation kruskal scale"),
    "weight decay": (lambda: generic(3, 3, 7, CUBE, regime="weight-decay"), UNIQUE, "reduction interpolation kruskal scale"),
    "macaulay": (lambda: data(2, 2, 4, CUBIC, outputs=2), UNIQUE, "reduction macaulay scale"),
    "macaulay, second layer": (lambda: data(2, 1, 6, "z^3", bias=True, layers="second"), UNIQUE, "macaulay scale"),
    "macaulay, generic data": (lambda: network(2, 1, 3, "z^3", outputs=3, layers="second"), UNIQUE, "macaulay scale"),
    "completion": (lambda: data(2, 2, 4, CUBIC, layers="first"), UNIQUE, "reduction completion kruskal scale"),
    "completion, generic data": (lambda: network(2, 2, 4, CUBIC, layers="first"), UNIQUE, "reduction completion kruskal scale"),
    "one unknown": (lambda: data(3, 1, 1, ODD, outputs=2), UNIQUE, "reduction one-sample"),
    "one unknown, generic data": (lambda: network(3, 1, 1, ODD, outputs=2), UNIQUE, "reduction one-sample"),
    "isolated": (lambda: data(3, 3, 4, ODD, outputs=2), LOCAL, "reduction local"),
    "isolated, generic data": (lambda: network(2, 2, 2, CUBIC), LOCAL, "reduction local"),
    "isolated, second layer": (lambda: network(2, 1, 3, CUBIC, bias=True, layers="second"), LOCAL, "local"),
    "count": (lambda: network(2, 3, 4, CUBE, layers="first"), NOT_UNIQUE, "count"),
    "fibre by a count": (lambda: data(2, 3, 4, CUBE, layers="first"), NOT_UNIQUE, "fibre"),
    "fibre by random points": (lambda: repeated_neuron(True), NOT_UNIQUE, "fibre"),
    "fibre of generic data": (lambda: repeated_neuron(False), NOT_UNIQUE, "fibre"),
    "dependent gradients": (opposite_lines, NOT_UNIQUE, "multipliers"),
    "dependent gradients, a zero sample": (unseen_zero, NOT_UNIQUE, "multipliers"),
    "part with parallel multipliers": (part_with_parallel_multipliers, NOT_UNIQUE, "part"),
    "part on a line": (part_on_a_line, NOT_UNIQUE, "part"),
    "rotation": (lambda: data(2, 3, 5, "z + z^2"), NOT_UNIQUE, "rotation"),
    "rotation of any data": (lambda: generic(3, 3, 20, "z^2", regime="max-margin"), NOT_UNIQUE, "rotation"),
    "scaling": (lambda: data(1, 3, 2, "z^2 + z^5", outputs=2), NOT_UNIQUE, "scaling"),
    "another multiple": (lambda: data(2, 1, 2, CUBIC, layers="first"), NOT_UNIQUE, "multiple"),
    "second solution": (second, NOT_UNIQUE, "second-solution"),
    "second solution, scaled": (lambda: second(size(3, 3, 3, CUBE, layers="first")), NOT_UNIQUE, "second-solution"),
}
"""Name: the report, its verdict, and the steps of its certificate."""


@cache
def certificate(name: str) -> idf.Certificate:
    return CASES[name][0]().certificate()


def content(name: str) -> dict:
    return certificate(name).to_dict()


def rehash(body: dict, names: bool = True) -> dict:
    """With the hash of the content set right, and by default also those of the network and of the data that it names."""
    numbers, body = body["numbers"], body | {"sha256": dict(body["sha256"])}
    if names:
        body["sha256"] |= hashes(body["claim"], numbers, [name for name in numbers if numbers[name] is not None])
    body["sha256"]["content"] = canonical_hash({name: value for name, value in body.items() if name != "sha256"})
    return body


class TestEveryProvedVerdict:
    @pytest.mark.parametrize("name", CASES)
    def test_is_certified(self, name, tmp_path):
        _, verdict, steps = CASES[name]
        proof = certificate(name)
        answer = idf.verify(proof.save(tmp_path / "proof.json"))
        assert answer and answer.claim.startswith(f"{verdict} for ")
        assert " ".join(step["kind"] for step in proof.content["steps"]) == steps
        assert len(answer.reasons) == len(proof.content["steps"])
        assert proof.content["claim"]["verdict"] == verdict

    @pytest.mark.parametrize("known", TRUTH_TABLE, ids=str)
    def test_of_the_truth_table(self, known):
        config = known.configuration
        system, truth = config.plant(1)
        for report in (
            idf.check(config, seed=1),
            idf.check(system, samples=config.samples, seed=1),
            idf.check(system, data=(truth.X, truth.c), seed=1),
        ):
            answer = idf.verify(report.certificate())
            assert answer and answer.claim.startswith(f"{report.verdict} for {report.scope.network}, {report.scope.data} (gradient")

    @pytest.mark.slow
    @given(small_integer_problems((4, 4, 9), ["z^2", "z^3", "z + z^3", "1 + z^2", "z^2 + z^4", "z + z^2 + z^3"]))
    @settings(max_examples=15)
    def test_of_random_problems_with_degenerate_data(self, problem):
        system, X, c = problem
        for report in (idf.check(system, data=(X, c)), idf.check(system, samples=len(X))):
            assert report.verdict is idf.Verdict.UNDECIDED or idf.verify(report.certificate())

    @pytest.mark.parametrize(
        ("config", "seed"),
        [
            (size(2, 2, 2, CUBIC), 0),
            (size(3, 2, 2, CUBIC), 1),
            (size(3, 3, 3, ODD), 4),
            (size(4, 2, 3, CUBIC, layers="first", outputs=2, bias=True), 3),
            (size(3, 3, 3, CUBIC, layers="first", bias=True), 4),
            (size(2, 2, 2, CUBIC, outputs=2), 2),
        ],
    )
    def test_second_solutions(self, config, seed):
        assert idf.verify(second(config, seed).certificate())

    def test_one_report_one_certificate(self):
        assert data(2, 3, 3, CUBIC).certificate().to_json() == certificate("joint moments").to_json()

    def test_names_its_network_and_data(self):
        system, _ = size(2, 3, 3, CUBIC).plant(0)
        answer = idf.verify(certificate("joint moments"))
        assert answer.network == network_hash(system.network) and answer.data is not None
        answer = idf.verify(certificate("count"))
        assert answer.network is not None and answer.data is None
        assert idf.verify(certificate("tangents")).network is None


WORDS = {
    "format": ["other"],
    "kind": ["verdict", "interpolation", "local", "single-sample", "rotation", "count"],
    "verdict": ["UNIQUE", "LOCALLY_UNIQUE", "NOT_UNIQUE", "UNDECIDED"],
    "network": ["generic network", "this network", "any network"],
    "data": ["generic data", "this data", "this target", "any data"],
    "regime": ["gradient", "lazy", "weight-decay", "max-margin"],
    "observed": ["W", "bias", "a"],
    "ambiguity": ["none", "sign", "scaling"],
    "loss": ["logistic"],
}


def changes(path, value) -> list:
    """Other values of one leaf."""
    return [other for other in candidates(path, value) if other != value or type(other) is not type(value)]


def in_turn(changes: list, path, turn: int) -> list:
    """All changes of a claim or a step; of a network's or data's many numbers, and of what may be chosen, one kind each, in turn."""
    return [changes[turn % len(changes)]] if path[0] == "numbers" or is_a_choice(path) else changes


def candidates(path, value) -> list:
    where = [key for key in path if isinstance(key, str)][-1]
    if where in WORDS and path[0] != "sha256":
        return [*WORDS[where], None]
    if value is None:
        return [0, "0x1.0000000000000p+0"]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, -value or 2]
    if where == "activation":
        return [str(Fraction(value) + 1), "0", "1/7"]
    if path[0] == "sha256":
        return ["0" * 64, None]
    return [(1.5 * float.fromhex(value) + 0.25).hex(), (-float.fromhex(value)).hex(), (0.0).hex()]


def is_confirmed(body: dict) -> bool:
    """Whether the conditions prove the claim of this certificate as well; generic networks are represented by a random one."""
    claim, numbers = body["claim"], {k: v and np.vectorize(float.fromhex)(v) for k, v in body["numbers"].items()}
    activation = idf.Activation([Fraction(s) for s in claim["activation"]])
    d, n, m, C = (claim[name] for name in ("inputs", "samples", "width", "outputs"))
    if claim["data"] == "any data":
        setting = setting_of(size(d, n, m, activation, outputs=C, bias=claim["bias"], regime=claim["regime"]), n, 0)
        complete = claim["loss"] is None if claim["regime"] == "weight-decay" else setting.equations_are_complete
        return (
            witness(replace(setting, equations_are_complete=complete), Condition("local", None, "", {}, Arithmetic.NONE, ""))[1] is not None
        )
    net = random_network(np.random.default_rng(0), activation, inputs=d, width=m, outputs=C, bias=claim["bias"])
    if claim["network"] == "this network":
        net = idf.TwoLayerNetwork(numbers["W"], numbers["A"] if C > 1 else numbers["A"][0], activation, numbers["bias"])
    rng = np.random.default_rng(1)
    X, c = (numbers["X"], numbers["c"]) if claim["data"] == "this data" else (rng.normal(size=(n, d)), rng.normal(size=(n, C)))
    system = system_of(net, X, c)
    targets = [
        numbers[f"target_{name}"] if claim["data"] == "this target" else getattr(system, f"target_{name}") for name in ("W", "bias", "a")
    ]
    targets = [t if name in claim["observed"] else None for t, name in zip(targets, ("W", "bias", "a"), strict=True)]
    if C == 1 and targets[2] is not None:
        targets[2] = targets[2].reshape(-1)
    system = replace(system, updates={1: (targets[0], targets[1]), 2: targets[2]}, regime=claim["regime"])
    if claim["labels"] is not None or claim["loss"] is not None:
        system = replace(system, labels=None if claim["labels"] is None else np.array(claim["labels"]), loss=claim["loss"])
    report = decide(system, data=(X, c)) if claim["data"] == "this data" else decide(system, samples=n)
    right = report.verdict == claim["verdict"] or (claim["verdict"], report.verdict) == ("LOCALLY_UNIQUE", UNIQUE)
    return right and report.question.ambiguity.group == claim["ambiguity"]


OTHER_PROOFS = {"rows", "gauss", "moments", "neurons", "kruskal_ranks", "columns", "basis", "forms", "lowest"}
"""Parts of steps that may be chosen in many ways: equations of full rank, ranks that are large enough."""


def is_a_choice(path) -> bool:
    """Whether another value of this leaf may give another proof of the same claim: another random point, or what a step may choose."""
    return path[0] == "point" or (path[0] == "steps" and len(path) > 2 and path[2] in OTHER_PROOFS)


TAMPERED = sorted(
    set(CASES)
    - {"subgeneric", "perfect", "tangents, second layer", "weight decay", "planted, its target", "second solution, scaled"}
    - {"isolated"}
    - {"dependent gradients, a zero sample"}  # a change makes the target zero, about which check says nothing
)
"""The others have no kind of step, of claim or of number that these do not have."""


class TestTampering:
    @pytest.mark.parametrize("every", [6, slow(1)])
    @pytest.mark.parametrize("name", TAMPERED)
    def test_any_change_shows(self, name, every):
        """Without new hashes every change is refused. With a new hash of the content only, the claim is still about the network and
        data that it names. With all hashes new, what is accepted is another true statement, or another proof of the same. A sixth of
        the leaves, another sixth of the next certificate; all if slow tests are run."""
        original = content(name)
        confirmed = {}
        for turn, (path, value) in list(enumerate(leaves(original)))[TAMPERED.index(name) % every :: every]:
            for other in in_turn(changes(path, value), path, turn):
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
                assert path[0] in ("claim", "numbers"), path
                key = canonical_hash([changed["claim"], changed["numbers"]])
                if key not in confirmed:
                    confirmed[key] = is_confirmed(changed)
                assert confirmed[key], (path, value, other, answer.claim)

    @pytest.mark.parametrize("name", CASES)
    def test_every_step_and_every_row_is_needed(self, name):
        original = content(name)
        for at, step in enumerate(original["steps"]):
            shorter = copy.deepcopy(original)
            del shorter["steps"][at]
            answer = idf.verify(rehash(shorter))
            assert not answer or (step["kind"] == "reduction" and at == 0)
            for key in ("rows", "neurons"):
                if key in step:
                    fewer = copy.deepcopy(original)
                    del fewer["steps"][at][key][0]
                    assert not idf.verify(rehash(fewer)) or len(step[key]) > 1500

    @pytest.mark.parametrize("name", CASES)
    def test_steps_in_another_order_or_twice_prove_no_more(self, name):
        original = content(name)
        for steps in (original["steps"][::-1], original["steps"] * 2):
            answer = idf.verify(rehash(original | {"steps": steps}))
            assert not answer or answer.claim == idf.verify(certificate(name)).claim


def forged(name: str, **changed) -> idf.Verification:
    """The verification of a certificate with parts of the claim replaced, and all hashes right."""
    body = content(name)
    body["claim"] |= changed
    return idf.verify(rehash(body))


def generic_claim(d, n, m, activation, *, outputs=1, bias=False, observed=("W", "a"), given=None, verdict="UNIQUE") -> dict:
    """A certificate without steps, about generic data; ``given``: a network, or None for a generic one."""
    sigma = idf.Activation.parse(activation)
    seen = Observed("W" in observed, "bias" in observed, "a" in observed)
    degrees = visible_degrees(sigma, bias, seen)
    rng = np.random.default_rng(0)
    q = 2**31 - 1

    def draw(*shape):
        return rng.integers(1, q, shape).tolist()

    net = given is None
    hexed = {} if net else {name: np.vectorize(float.hex)(getattr(given, name)).tolist() for name in ("W", "A")}
    if not net and bias:
        hexed["bias"] = [float(v).hex() for v in given.bias]
    claim = {
        "verdict": verdict,
        "network": "generic network" if net else "this network",
        "data": "generic data",
        "regime": "gradient",
        "inputs": d,
        "samples": n,
        "width": m,
        "outputs": outputs,
        "bias": bias,
        "observed": list(observed),
        "activation": [str(s) for s in sigma.coefficients],
        "loss": None,
        "labels": None,
        "ambiguity": idf.Ambiguity.of(degrees, degrees == tuple(range(sigma.degree + 1))).group,
    }
    assert set(claim) == set(CLAIM)
    drawn = {"W": draw(m, d), "A": draw(outputs, m), "bias": draw(m) if bias else None} if net else dict.fromkeys(NETWORK)
    return {
        "format": "identify-certificate",
        "version": 1,
        "kind": "verdict",
        "claim": claim,
        "numbers": dict.fromkeys(("W", "A", "bias", "X", "c", "target_W", "target_bias", "target_a")) | hexed,
        "point": {"prime": q, "X": draw(n, d), "c": draw(n, outputs)} | drawn,
        "steps": [],
        "sha256": {},
    }


def with_steps(body: dict, *steps: dict) -> idf.Verification:
    return idf.verify(rehash(body | {"steps": list(steps), "sha256": {}}))


def by_tangents(body: dict, moments: bool = False) -> idf.Verification:
    """With every equation in the step."""
    claim = body["claim"]
    each = claim["inputs"] * ("W" in claim["observed"]) + ("bias" in claim["observed"]) + claim["outputs"] * ("a" in claim["observed"])
    rows = list(range(each * claim["width"]))
    return with_steps(body, {"kind": "generic-global", "rows": rows, "gauss": rows, "moments": rows if moments else None})


class TestForgedClaims:
    def test_unique_for_isolated_data(self):
        """(2,2,2): eight orbits of complex solutions. No step that proves uniqueness can be had."""
        body = content("isolated, generic data")
        body["claim"]["verdict"] = "UNIQUE"
        assert "do not suffice for UNIQUE" in idf.verify(rehash(body)).reasons[0]
        reduction, rows = body["steps"][0], list(range(6))
        moments = [{"kind": "kruskal", "degree_sets": [[0, 1], [0, 1], [1]], "kruskal_ranks": [2, 2, 2]}, {"kind": "scale", "degrees": []}]
        for first in ({"kind": "interpolation", "rows": rows}, {"kind": "generic-global", "rows": rows, "gauss": rows, "moments": None}):
            assert not idf.verify(rehash(body | {"steps": [reduction, first, *moments]}))
        assert not idf.verify(rehash(body | {"steps": [reduction, *moments]}))
        assert not by_tangents(generic_claim(2, 2, 2, CUBIC)) and not by_tangents(generic_claim(3, 3, 3, ODD))

    def test_unique_for_a_family(self):
        for name in ("count", "rotation", "scaling", "fibre by a count", "fibre by random points"):
            for verdict in ("UNIQUE", "LOCALLY_UNIQUE"):
                assert not forged(name, verdict=verdict)
        assert not by_tangents(generic_claim(2, 3, 4, CUBE, observed=["W"])) and not by_tangents(generic_claim(3, 3, 9, "z + z^2"))

    def test_not_unique_for_unique_data(self):
        for name in ("tangents", "joint moments", "reduced moments", "isolated"):
            body = content(name)
            claim = body["claim"] | {"verdict": "NOT_UNIQUE"}
            parameters = claim["samples"] * (claim["inputs"] + 1)
            for step in (
                {"kind": "count", "coordinates": claim["inputs"], "parameters": parameters, "bound": parameters - 1},
                {"kind": "fibre", "rank": parameters - 1, "dimension": 1, "rows": list(range(parameters - 1))},
                {"kind": "rotation", "example": None},
                {"kind": "scaling", "dimension": 1, "example": None},
            ):
                assert not idf.verify(rehash(body | {"claim": claim, "steps": [step]}))

    @pytest.mark.parametrize("name", CASES)
    def test_wrong_number_of_samples_group_or_scope(self, name):
        claim = content(name)["claim"]
        for n in (claim["samples"] - 1, claim["samples"] + 1):
            assert not forged(name, samples=n) or claim["data"] == "any data" or name == "count"
        for group in {"none", "sign", "scaling"} - {claim["ambiguity"]}:
            assert "ambiguity" in forged(name, ambiguity=group).reasons[0]
        for scope in (
            ("generic network", "generic data"),
            ("this network", "generic data"),
            ("this network", "this data"),
            ("this network", "this target"),
            ("any network", "any data"),
        ):
            if scope != (claim["network"], claim["data"]):
                assert not forged(name, network=scope[0], data=scope[1])

    def test_generic_data_of_a_trained_network(self):
        assert "not generic for the data it was trained on" in forged("tangents", regime="max-margin").reasons[0]

    def test_equations_beyond_the_stationarity(self):
        assert (
            forged("rotation of any data", bias=True, observed=["W", "bias", "a"], ambiguity="none")
            .reasons[0]
            .endswith("may restrict the family")
        )
        assert "may restrict the family" in forged("fibre by a count", regime="weight-decay", loss="logistic").reasons[0]
        assert "(S) as the only equations" in forged("second solution, scaled", regime="max-margin").reasons[0]

    def test_labels_that_are_not_those_of_the_data(self):
        claim = content("planted, its data")["claim"]
        assert claim["labels"] is not None
        assert "labels: not the signs" in forged("planted, its data", labels=[1] * 3, ambiguity="none").reasons[0]
        body = content("planted, its data")
        body["numbers"]["c"] = [[(2 * float.fromhex(v)).hex() for v in row] for row in body["numbers"]["c"]]
        body["numbers"]["X"] = [[(2 * float.fromhex(v)).hex() for v in row] for row in body["numbers"]["X"]]
        assert idf.verify(rehash(body)).reasons == ("labels: a margin is not 1",)


class TestSteps:
    @pytest.mark.parametrize(
        ("p", "D", "n"), [(3, 6, 9), (4, 4, 8), (6, 3, 9), (3, 5, 7), (4, 3, 5), (4, 4, 9), (3, 2, 3), (2, 3, 2), (4, 2, 3)]
    )
    @pytest.mark.parametrize("lifted", [False, True])
    def test_exceptions_of_the_decomposition_theorem(self, p, D, n, lifted):
        body = generic_claim(D - lifted, n, 1, f"z^{p}", bias=lifted, observed=("W", "bias", "a") if lifted else ("W", "a"))
        examination = open_content(rehash(body))
        with pytest.raises(Rejected, match="no theorem for|needs generic data"):
            generic_decomposition(examination, D)
        with pytest.raises(Rejected, match="tensor_dimension|needs generic data"):
            generic_decomposition(examination, D + 1)

    @pytest.mark.parametrize(("p", "D", "n"), [(3, 6, 8), (4, 4, 7), (6, 3, 8), (3, 4, 5), (5, 3, 7), (3, 2, 2), (5, 2, 3), (4, 2, 2)])
    def test_decomposition_theorem(self, p, D, n):
        examination = open_content(rehash(generic_claim(D, n, 1, f"z^{p}")))
        generic_decomposition(examination, D)
        assert examination.facts == {"decomposition"} and examination.fixed == {p}

    @staticmethod
    def given(X, c=None, activation=CUBIC, observed=("W", "a"), bias=False) -> Examination:
        """An examination of given data, with a network that does not matter."""
        X = np.array(X, float)
        body = content("joint moments")
        net = generic_claim(X.shape[1], len(X), 1, activation, observed=list(observed), bias=bias)
        c = np.ones((len(X), 1)) if c is None else np.array(c, float)
        group = net["claim"]["ambiguity"]
        claim = Claim(net["claim"] | {"network": "this network", "data": "this data", "outputs": c.shape[1], "ambiguity": group})
        numbers = dict.fromkeys(body["numbers"]) | {"W": [[1.0] * X.shape[1]], "A": [[1.0]] * c.shape[1], "X": X.tolist(), "c": c.tolist()}
        if bias:
            numbers["bias"] = [1.0]
        return Examination(claim, numbers, dict.fromkeys(("W", "A", "bias", "X", "c")) | {"prime": 2**31 - 1})

    @pytest.mark.parametrize(
        ("sets", "ranks", "message"),
        [
            ([[0, 1], [0, 1], [1]], [3, 3, 2], "^list 3: 2 of the vectors are dependent"),
            ([[0, 1], [0, 1], [0, 1]], [3, 3, 2], "a sum of these degrees is not visible"),  # degree 0 is not
            ([[1], [1], [2]], [3, 3, 2], "a sum of these degrees is not visible"),
            ([[0, 1], [1], [1]], [3, 2, 2], "7 < 8"),
            ([[0, 1], [0, 1], [1]], [3, 3, 4], "kruskal_ranks: expected an integer from 1 to 3"),
            ([[0, 1], [0, 1]], [3, 3, 2], "degree_sets: expected three"),
            ([[0, 1], [0, 1], []], [3, 3, 2], "a sum of these degrees"),
            ([[1, 0], [0, 1], [1]], [3, 3, 2], "increasing"),
        ],
    )
    def test_kruskal_of_collinear_samples(self, sets, ranks, message):
        """x, 2x and y: each two of the x_i (1) and each three of the (1, x_i) would be independent for samples in general position."""
        with pytest.raises(Rejected, match=message):
            kruskal(self.given([[1, 2], [2, 4], [1, 0]]), sets, ranks)

    def test_kruskal_ranks_of_subsets(self):
        good = self.given([[1, 2], [2, 5], [1, 0]])
        kruskal(good, [[0, 1], [0, 1], [1]], [3, 3, 2])
        assert good.facts == {"decomposition"} and good.fixed == {1, 2, 3}
        two = self.given([[1, 2], [2, 5], [1, 0]], [[1, 0], [2, 0], [0, 1]])
        with pytest.raises(Rejected, match="list 1: 2 of the vectors are dependent"):
            kruskal(two, [[0], [0, 1], [1]], [2, 3, 3])

    @pytest.mark.parametrize(("X", "holds"), [([[1, 0], [2, 0], [0, 1]], False), ([[1, 0], [0, 1]], True)])
    def test_scale_needs_independent_terms(self, X, holds):
        """sigma = z + z^3 and the terms of degree 3: those of degree 1 fix each scale up to a sign, if they are independent."""
        examination = self.given(X, activation=ODD)
        with pytest.raises(Rejected, match="must follow a decomposition"):
            scale(examination, [])
        examination.facts.add("decomposition")
        examination.fixed = {3}
        for degrees in ([], [2], [3]):
            with pytest.raises(Rejected, match="more freedom than is claimed|is not visible, or fixed already"):
                scale(examination, degrees)
        if holds:
            scale(examination, [1])
        else:
            with pytest.raises(Rejected, match="the terms of the moment of degree 1 are not independent"):
                scale(examination, [1])
        assert ("scale" in examination.facts) is holds

    def test_single_sample_that_is_zero(self):
        body = content("one sample")
        body["claim"] |= {"observed": ["W"], "ambiguity": "scaling"}
        body["steps"] = [{"kind": "interpolation", "rows": [*range(12)]}, {"kind": "single-sample"}, {"kind": "scale", "degrees": []}]
        assert idf.verify(rehash(body))
        body["numbers"]["X"] = [[(0.0).hex()] * 2]
        assert idf.verify(rehash(body)).reasons == ("step 2, single-sample: the sample is zero, or may be",)

    @pytest.mark.parametrize(
        ("activation", "bias", "observed", "outputs"),
        thinned(
            [
                (activation, *seen, outputs)
                for activation in ("z^2", "z^3", "z + z^3", "z^2 + z^4", "1 + z^3", "z + z^2 + z^3")
                for seen in ((False, "Wa"), (False, "W"), (True, "Wba"), (True, "Wa"), (True, "W"))
                for outputs in (1, 2)
            ]
        ),
    )
    def test_two_derivations_of_generic_global_uniqueness_agree(self, activation, bias, observed, outputs):
        seen = Observed("W" in observed, "b" in observed, "a" in observed)
        names = [name for name, present in zip(("W", "bias", "a"), seen, strict=True) if present]
        for d, n, m in ((2, 1, 2), (2, 2, 5), (3, 3, 9), (1, 2, 9)):
            config = size(d, n, m, activation, outputs=outputs, bias=bias)
            setting = setting_of(config, n, 0)
            setting = replace(setting, instance=replace(setting.instance, observed=seen))
            main = generic_global(setting, setting)
            body = generic_claim(d, n, m, activation, outputs=outputs, bias=bias, observed=names)
            answer = by_tangents(body)
            assert bool(answer) is bool(main.holds), (d, n, m, main.statement, answer.reasons)

    def test_a_gradient_that_comes_from_two_samples(self):
        """A second layer of zeros hides the first; even powers without offsets give x and -x the same second-layer rows."""
        W = np.array([[1.0], [2.0], [-3.0], [0.5], [1.5], [4.0]])
        net = idf.TwoLayerNetwork(W, np.zeros(6), "z^2 + z^4 + z^6 + z^8", np.zeros(6))
        body = generic_claim(1, 1, 6, "z^2 + z^4 + z^6 + z^8", bias=True, observed=("W", "bias", "a"), given=net)
        assert "needs first-layer rows that are not zero" in by_tangents(body).reasons[0]
        assert "of the interpolation matrix have rank" in by_tangents(body, moments=True).reasons[0]

    def test_scales_that_one_neuron_does_not_see(self):
        """One neuron, both layers: t sigma'(t z) / sigma(t z) takes its value at t = 1 again."""
        assert not by_tangents(generic_claim(2, 1, 1, CUBIC))
        net = idf.TwoLayerNetwork(np.repeat([[1.0, 2.0]], 3, axis=0), [1.0, 2.0, 3.0], CUBIC)
        assert not by_tangents(generic_claim(2, 1, 3, CUBIC, given=net))

    def test_degenerate_gauss_map(self):
        """Neurons that see one input only: a tangent space that does not turn along the other."""
        rng = np.random.default_rng(0)
        net = idf.TwoLayerNetwork(np.round(8 * rng.normal(size=(8, 2))) * [1, 0], np.round(8 * rng.normal(size=8)), CUBIC)
        reason = by_tangents(generic_claim(2, 1, 8, CUBIC, observed=("W",), given=net)).reasons[0]
        assert "rank" in reason

    def test_a_fibre_at_special_data_only(self):
        """At x = 0 the derivatives of all z^2 rows vanish, and nowhere else."""
        body = content("fibre by a count")
        body["claim"] |= {"inputs": 1, "samples": 1, "width": 3, "activation": ["0", "0", "1"], "observed": ["W", "a"]}
        hexed = {"W": [[1.0], [2.0], [3.0]], "A": [[1.0, 1.0, -1.0]], "X": [[0.0]], "c": [[1.0]]}
        body["numbers"] |= {name: np.vectorize(float.hex)(np.array(value)).tolist() for name, value in hexed.items()}
        for rows in ([], [0], [0, 1]):
            body["steps"] = [{"kind": "fibre", "rank": 0, "dimension": 1, "rows": rows}]
            assert "the rank is larger at generic data" in idf.verify(rehash(body)).reasons[0]


class TestDegenerateData:
    @staticmethod
    def step(name: str, **step) -> idf.Verification:
        return idf.verify(rehash(content(name) | {"steps": [step]}))

    def test_columns_that_are_independent(self):
        for columns in ([], [0], [0, 1], [0, 1, 2]):
            answer = self.step("dependent gradients", kind="multipliers", columns=columns)
            assert "these gradients are independent" in answer.reasons[0]
        assert self.step("dependent gradients, a zero sample", kind="multipliers", columns=[0, 3])

    def test_the_scale_of_a_zero_sample_is_no_witness(self):
        """sigma = z^3 without bias: the gradient at zero is zero, so its multiplier is arbitrary, but so is its scale."""
        body = content("dependent gradients, a zero sample")
        body["claim"] |= {"activation": ["0", "0", "0", "1"], "ambiguity": "scaling"}
        zero, one = (0.0).hex(), (1.0).hex()
        for multiplier, column, holds in (([zero, one], 1, False), ([zero, one], 0, True), ([one, one], 0, True)):
            body["numbers"]["c"][0] = multiplier
            body["steps"] = [{"kind": "multipliers", "columns": [column]}]
            answer = idf.verify(rehash(body))
            assert bool(answer) is holds and (holds or "the scale of a zero sample only" in answer.reasons[0])
        body["steps"] = [{"kind": "multipliers", "columns": [0, 1]}]
        assert "the scale of a zero sample only" in idf.verify(rehash(body)).reasons[0]

    def test_parts_that_do_not_qualify(self):
        step = content("part on a line")["steps"][0]
        needed = step["rank"] + step["dimension"]
        for changed, message in (
            ({"samples": []}, "no sample moves"),
            ({"span": [1]}, "a sample outside of its space"),
            ({"multipliers": [0]}, "a sample outside of its space"),
            ({"rank": step["rank"] - 1, "dimension": step["dimension"] + 1}, "the Jacobian has not rank"),
            ({"rank": step["rank"] + 1, "dimension": step["dimension"] - 1}, "the Jacobian has not rank"),
            ({"dimension": step["dimension"] + 1}, "dimension"),
            ({"rank": needed, "dimension": 0}, f"expected an integer from 0 to {needed - 1}"),
        ):
            assert message in self.step("part on a line", **step | changed).reasons[0]

    @pytest.mark.parametrize("name", ["joint moments", "reduced moments", "bias", "several outputs", "isolated", "one sample"])
    def test_parts_of_determined_data(self, name):
        """Whatever the part and its spaces, its rank is full, or larger elsewhere."""
        body = content(name)
        claim = body["claim"] | {"verdict": "NOT_UNIQUE"}
        everything = [*range(claim["samples"])]
        for samples in ([0], everything):
            for span in (None, samples):
                for line in (None, samples):
                    parameters = len(samples) * (claim["inputs"] + claim["outputs"])
                    for rank in range(parameters):
                        for dimension in range(1, parameters + 1 - rank):
                            step = {"kind": "part", "samples": samples, "span": span, "multipliers": line}
                            step |= {"rank": rank, "dimension": dimension}
                            assert not idf.verify(rehash(body | {"claim": claim, "steps": [step]}))
        for columns in ([0], [*range(claim["samples"] * claim["outputs"])]):
            assert not idf.verify(rehash(body | {"claim": claim, "steps": [{"kind": "multipliers", "columns": columns}]}))

    def test_ranks_that_drop_at_these_data_only(self):
        """At x = 0 the derivatives of all z^2 rows vanish; along its line, of dimension 0, nothing moves."""
        body = content("one sample")
        body["claim"] |= {"verdict": "NOT_UNIQUE", "activation": ["0", "0", "1"], "ambiguity": "scaling"}
        body["numbers"]["X"] = [[(0.0).hex()] * 2]
        step = {"kind": "part", "samples": [0], "multipliers": None, "rank": 0}
        answer = idf.verify(rehash(body | {"steps": [step | {"span": None, "dimension": 2}]}))
        assert "the rank is larger at generic data" in answer.reasons[0]
        assert not idf.verify(rehash(body | {"steps": [step | {"span": [0], "dimension": 1}]}))


class TestSecondSolutions:
    def step(self, name="second solution", **changed) -> idf.Verification:
        body = content(name)
        body["steps"][0] |= changed
        return idf.verify(rehash(body))

    def test_the_data_themselves_are_refused(self):
        for name in ("second solution", "second solution, scaled"):
            body = content(name)
            X, c = body["numbers"]["X"], body["numbers"]["c"]
            for order in ([*range(len(X))], [*range(len(X))][::-1]):
                centre = {"X": [X[k] for k in order], "c": [c[k] for k in order]}
                answer = self.step(name, coordinates=len(X[0]), **centre)
                assert "these may be the given data" in answer.reasons[0] or "singular" in answer.reasons[0]

    def test_images_of_the_data_are_refused(self):
        body = content("second solution, scaled")
        X, c = ([[float.fromhex(v) for v in row] for row in body["numbers"][name]] for name in "Xc")
        image = {"X": [[(2 * v).hex() for v in row] for row in X], "c": [[(v / 8).hex() for v in row] for row in c]}
        assert "these may be the given data" in self.step("second solution, scaled", **image).reasons[0]

    @pytest.mark.parametrize(
        ("radius", "message"), [(2.0**-80, "Krawczyk"), (0.5, "Krawczyk"), (1.5, "radius"), (-0.1, "radius"), (0.0, "radius")]
    )
    def test_radius(self, radius, message):
        assert message in self.step(radius=radius.hex()).reasons[0]

    def test_rows(self):
        rows = content("second solution")["steps"][0]["rows"]
        assert "expected 6 rows" in self.step(rows=rows[:-1]).reasons[0]
        assert "increasing" in self.step(rows=rows[:-1] + rows[:1]).reasons[0]

    def test_more_equations_than_unknowns(self):
        """A third neuron shows more than the six rows: the box may not solve all equations."""
        each = SYSTEMS["z+z^2+z^3-both-2x2x2"]
        body = content("second solution")
        body["claim"] |= {"width": 3}
        W, a = [*each.W, [1, 1]], [*each.a, 3]
        body["numbers"] |= {"W": [[float(v).hex() for v in row] for row in W], "A": [[float(v).hex() for v in a]]}
        body["steps"][0]["rows"] = [row if row < 4 else row + 2 for row in body["steps"][0]["rows"]]  # the second layer comes later
        assert "the interpolation matrix has rank 9, not 6" in idf.verify(rehash(body)).reasons[0]

    def test_dependent_samples_give_no_coordinates(self):
        body = content("second solution")
        body["claim"] |= {"inputs": 3}
        X = [[*row, (0.0).hex()] for row in body["numbers"]["X"]]
        body["numbers"] |= {
            "X": [X[0], [(2 * float.fromhex(v)).hex() for v in X[0]]],
            "W": [[*row, (1.0).hex()] for row in body["numbers"]["W"]],
        }
        assert "the samples are not independent" in idf.verify(rehash(body)).reasons[0]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


class TestMalformed:
    @given(value=JSON_VALUES)
    @settings(max_examples=60)
    def test_anything_but_a_certificate(self, value):
        if not isinstance(value, str):
            assert not idf.verify(value)
        try:
            text = json.dumps(value).encode()
        except (ValueError, UnicodeEncodeError):
            return
        assert not idf.verify(text)

    @given(name=st.sampled_from(list(CASES)), pick=st.integers(0, 10**6), value=JSON_VALUES, rehashed=st.booleans())
    @settings(max_examples=150)
    def test_one_value_replaced_by_anything(self, name, pick, value, rehashed):
        original = content(name)
        paths = {path[:k] for path, _ in leaves(original) for k in range(1, len(path) + 1)}
        path = sorted(paths, key=str)[pick % len(paths)]
        changed = replaced(original, path, value)
        if changed == original or (rehashed and path[0] == "sha256"):
            return
        if rehashed:
            try:
                changed = rehash(changed)
            except (AttributeError, KeyError, TypeError, ValueError):
                return
        answer = idf.verify(changed)
        assert len(answer.reasons) >= 1 and (not answer or (rehashed and (is_a_choice(path) or path[0] == "claim")))

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"\xff\xfe",
            b"{",
            b"NaN",
            b"1e999",
            b'{"a": 1, "a": 1}',
            b"[" * 100_000,
            b"9" * 10_000,
            b"null",
            b'"certificate"',
        ],
    )
    def test_bytes(self, text, tmp_path):
        (tmp_path / "c.json").write_bytes(text)
        answer = idf.verify(tmp_path / "c.json")
        assert not answer and answer.network is None and not answer.claim

    def test_truncated_files(self, tmp_path):
        text = certificate("joint moments").to_json()
        for cut in range(0, len(text) - 1, 97):
            (tmp_path / "c.json").write_text(text[:cut])
            assert not idf.verify(tmp_path / "c.json")

    def test_huge_sizes_are_refused_at_once(self):
        for field in ("inputs", "width", "samples", "outputs"):
            assert not forged("tangents", **{field: 10**6}) and not forged("count", **{field: 10**6})
        assert not forged("rotation of any data", samples=10**7)

    @pytest.mark.parametrize("path", ["absent.json", ".", "a\0b"])
    def test_files_that_cannot_be_opened(self, path, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(idf.CertificateFileError, match="cannot be read .*expected a certificate file"):
            idf.verify(path)


class TestWriting:
    def test_nothing_proved_nothing_certified(self):
        with pytest.raises(ValueError, match="the verdict is UNDECIDED, so nothing is proved"):
            generic(3, 3, 4, "z + z^3", regime="max-margin").certificate()

    def test_a_report_of_its_own(self):
        with pytest.raises(ValueError, match="does not carry its question"):
            replace(generic(2, 2, 3), question=None).certificate()

    def test_labels_without_margins(self):
        report = data(2, 2, 4)
        setting = report.question
        labelled = replace(setting, system=replace(setting.system, labels=np.array([1, -1])))
        with pytest.raises(ValueError, match="no margins are in force in its regime"):
            replace(report, question=labelled).certificate()

    def test_too_large_for_the_checker(self, monkeypatch):
        reports = [CASES[name][0]() for name in ("tangents", "joint moments", "isolated", "fibre by random points")]
        monkeypatch.setattr(matrices, "MAX_ENTRIES", 5)
        for report in reports:
            with pytest.raises(idf.CertificateTooLargeError, match=r"certificate: .*a matrix of \d+ by \d+ is too large for this checker"):
                report.certificate()

    def test_a_false_proof_is_not_handed_out(self):
        report = data(2, 3, 3, CUBIC)
        terms = report["decomposition"]
        false = replace(terms, evidence=terms.evidence | {"kruskal_ranks": [3, 3, 3]})
        conditions = tuple(false if old.name == "decomposition" else old for old in report.conditions)
        with pytest.raises(InternalError, match=r"the checker refuses this proof \(step 2, kruskal"):
            replace(report, conditions=conditions).certificate()

    def test_saving(self, tmp_path):
        proof = certificate("isolated")
        path = tmp_path / "proof.json"
        path.write_text("something else")
        assert proof.save(path) == path and json.loads(path.read_text()) == proof.to_dict()
        assert [found.name for found in tmp_path.iterdir()] == ["proof.json"]
        with pytest.raises(idf.CertificateFileError, match="cannot be written"):
            proof.save(tmp_path / "absent" / "proof.json")
        assert repr(proof) == "Certificate(LOCALLY_UNIQUE: this network, this data; steps reduction, local)"

    def test_a_copy_is_handed_out(self):
        certificate("isolated").to_dict()["claim"]["verdict"] = "UNIQUE"
        assert certificate("isolated").content["claim"]["verdict"] == "LOCALLY_UNIQUE"

    def test_large_ranks_are_stored_as_rows(self, monkeypatch):
        from identify.certificates import draft

        monkeypatch.setattr(draft, "PIVOT_LIMIT", 5)
        report = generic(3, 3, 9, CUBIC)
        steps = report.certificate().content["steps"]
        assert idf.verify(report.certificate()) and len(steps[-1]["rows"]) == 36


def test_the_checker_imports_nothing_of_the_rest():
    folder = Path(matrices.__file__).parent
    files = [path for path in folder.rglob("*.py") if path.stem != "__init__"]
    own = {path.relative_to(folder).with_suffix("").as_posix().replace("/", ".") for path in files}
    assert {"verify", "networks.steps"} <= own
    for path in files:
        name = path.stem
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert not node.level, name
                inside = node.module in ("identify.checker", "identify.checker.networks")
                found = [f"{node.module}.{alias.name}" if inside else node.module for alias in node.names]
            for module in found:
                if module == "identify.base.errors":  # two class statements: nothing that a verdict could rest on
                    continue
                inside = module.removeprefix("identify.checker.") in own if module.startswith("identify") else None
                assert inside or (inside is None and module.split(".")[0] in {*sys.stdlib_module_names, flint.__name__}), (name, module)


class TestCommandLine:
    @pytest.fixture
    def files(self, tmp_path):
        paths = []
        for seed in (0, 1):
            system, truth = size(3, 2, 5).plant(seed)
            paths.append(idf.save_problem(tmp_path / f"p{seed}.npz", system, truth.X, truth.c))
        return paths

    def test_write_and_verify(self, monkeypatch, capsys, files, tmp_path):
        proof = tmp_path / "proof.json"
        status, out, _ = run(monkeypatch, capsys, "check", files[0], "--known-data", "--certificate", proof)
        assert status == 0 and out.startswith("UNIQUE") and proof.exists()
        status, out, _ = run(monkeypatch, capsys, "verify", proof)
        assert status == 0 and out.startswith("VALID: UNIQUE for this network, this data") and "network sha256" in out
        assert run(monkeypatch, capsys, "verify", proof, "--problem", files[0])[0] == 0
        status, out, _ = run(monkeypatch, capsys, "verify", proof, "--problem", files[1], "--json")
        answer = json.loads(out)
        assert status == 1 and answer["is_valid"] is False and "not about the network of" in answer["reasons"][-1]

    def test_tampered(self, monkeypatch, capsys, tmp_path):
        proof = tmp_path / "proof.json"
        proof.write_text(certificate("tangents").to_json().replace('"UNIQUE"', '"NOT_UNIQUE"'))
        status, out, _ = run(monkeypatch, capsys, "verify", proof)
        assert status == 1 and out.startswith("NOT VALID") and "something was changed" in out

    def test_nothing_to_certify(self, monkeypatch, capsys, tmp_path):
        sizes = ["-d", 3, "-n", 3, "-m", 4, "-a", "z + z^3", "--regime", "max-margin"]
        status, out, err = run(monkeypatch, capsys, "check", *sizes, "--certificate", tmp_path / "p.json")
        assert status == 1 and out.startswith("UNDECIDED") and "no certificate was written" in err and not (tmp_path / "p.json").exists()

    def test_too_large(self, monkeypatch, capsys, tmp_path):
        monkeypatch.setattr(matrices, "MAX_ENTRIES", 20)
        sizes = ["-d", 3, "-n", 3, "-m", 4, "-a", CUBIC]
        status, out, err = run(monkeypatch, capsys, "check", *sizes, "--certificate", tmp_path / "p.json")
        assert status == 1 and out.startswith("UNIQUE") and "too large for this checker" in err

    def test_help_has_an_example(self, monkeypatch, capsys):
        status, out, _ = run(monkeypatch, capsys, "verify", "--help")
        assert status == 0 and "Examples: identify verify proof.json " in " ".join(out.split())

    def test_bad_files(self, monkeypatch, capsys, tmp_path):
        assert run(monkeypatch, capsys, "verify", tmp_path / "absent.json")[0] == 2
        status, _, err = run(
            monkeypatch, capsys, "check", "-d", 2, "-n", 1, "-m", 3, "-a", "z^3", "--certificate", tmp_path / "no" / "p.json"
        )
        assert status == 2 and "expected a file in a folder that exists" in err
