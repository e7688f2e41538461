"""Certificates below the interpolation width: the nearest violations of macaulay, completion and one-sample are refused."""

import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from support.marks import alone, slow
from support.oracles import system_of

import identify as idf
from identify.certificates import certify, routes
from identify.certificates import draft as draft_of_moments
from identify.checker import completion, macaulay, moments
from identify.checker.reading import TooLarge, canonical_hash, hashes
from identify.checker.univariate import real_roots
from identify.checker.verify import open_content

CUBIC, ODD = "z + z^2 + z^3", "z + z^3"
PRIME = 2**31 - 1


def report_of(net, X, c, layers="both") -> idf.Report:
    return idf.check(system_of(net, X, c, layers), data=(X, c))


def planted(d, n, m, activation, seed=0, **options) -> idf.Report:
    system, truth = idf.Configuration(inputs=d, samples=n, width=m, activation=activation, **options).plant(seed)
    return idf.check(system, data=(truth.X, truth.c))


def forged(report: idf.Report, verdict: str = "UNIQUE") -> dict:
    """The certificate of a report with another verdict, and no steps."""
    body = report.certificate().to_dict()
    body["claim"]["verdict"] = verdict
    body["point"] = {"prime": PRIME} | dict.fromkeys(("W", "A", "bias", "X", "c"))
    return body | {"steps": []}


def with_steps(body: dict, *steps: dict) -> dict:
    body = body | {"steps": list(steps)}
    given = [name for name, value in body["numbers"].items() if value is not None]
    body["sha256"] = hashes(body["claim"], body["numbers"], given)
    body["sha256"]["content"] = canonical_hash({name: value for name, value in body.items() if name != "sha256"})
    return body


def opened(body: dict, neurons: list[int] | None):
    examination = open_content(with_steps(body))
    if neurons is not None:
        moments.reduction(examination, neurons)
    return examination


def with_every_row(body: dict, layers: list[int], degree: int, lowest: int, neurons=None, basis=None) -> idf.Verification:
    """A macaulay step with all multiples of the equations, and scale."""
    count = len(macaulay.system_of(opened(body, neurons), layers, basis, degree, lowest).multiples)
    step = {"kind": "macaulay", "layers": layers, "basis": basis, "degree": degree, "lowest": lowest, "rows": [*range(count)]}
    reduction = [] if neurons is None else [{"kind": "reduction", "neurons": neurons}]
    return idf.verify(with_steps(body, *reduction, step, {"kind": "scale", "degrees": []}))


class TestMacaulay:
    def test_a_sample_that_can_be_doubled(self):
        """sigma'(2 z) = sigma'(z) at z = 0 and 1, the only pre-activations: 2 x with half the multiplier has the same update."""
        rng = np.random.default_rng(0)
        W = np.hstack([np.arange(8)[:, None] % 2, rng.integers(-2, 3, (8, 1))]).astype(float)
        # sigma' = 3 - z + z^2/3: sigma'(2 z) - sigma'(z) = z^2 - z
        net = idf.TwoLayerNetwork(W, np.ones(8), idf.Activation([0, 3, Fraction(-1, 2), Fraction(1, 9)]))
        report = report_of(net, np.array([[1.0, 0.0]]), np.array([[1.0]]), "first")
        assert report.verdict is idf.Verdict.NOT_UNIQUE
        for degree in range(2, 7):
            for lowest in range(degree):
                answer = with_every_row(forged(report), [1], degree, lowest, [1])
                assert not answer and any(said in answer.reasons[0] for said in ("these rows have rank", "fewer than"))

    @pytest.mark.parametrize("neurons_too_few", [slow(0), alone(1)])
    def test_as_many_equations_as_unknowns(self, neurons_too_few):
        """m = 2 n, one output: eliminations in every degree leave more than n functionals."""
        report = planted(3, 3, 6 - neurons_too_few, "z + z^2 + z^4", layers="first")
        assert report["macaulay"].holds is not True
        for degree in (4, 5, 6):
            assert not with_every_row(forged(report), [1], degree, 1, [0, 1, 2])

    def test_a_reflected_sample_of_the_second_layer(self):
        """sigma = z^2 with biases: the other sample has the opposite pre-activations at every neuron."""
        W = np.array([[1, 2], [-1, 1], [2, 1], [3, -1], [1, 1], [-2, 3]], float)
        step = np.array([2.0, 4.0])
        net = idf.TwoLayerNetwork(W, np.ones(6), "z^2", bias=-(W @ step) / 2)
        report = report_of(net, np.array([[4.0, 2.0]]), np.array([[1.0]]), "second")
        assert report.verdict is not idf.Verdict.UNIQUE
        for degree in (2, 3, 4):
            assert not with_every_row(forged(report), [2], degree, 0, basis=[0])

    def test_multipliers_that_are_not_seen(self):
        """1 + z^3 and outputs in proportion: scales that the constant term alone shows, to two outputs for three samples."""
        rng = np.random.default_rng(0)
        W, a = rng.integers(-5, 6, (12, 3)).astype(float), rng.integers(1, 5, 12).astype(float)
        X, c = rng.integers(-5, 6, (3, 3)).astype(float), rng.integers(1, 5, (3, 2)).astype(float)
        report = report_of(idf.TwoLayerNetwork(W, np.stack([a, 2 * a]), "1 + z^3"), X, c)
        answer = with_every_row(forged(report), [1], 3, 2, [0, 1, 2])
        assert "the multipliers are not determined, given the samples" in answer.reasons[0]

    def test_degrees_that_prove_nothing(self):
        body = planted(2, 2, 4, CUBIC, outputs=2).certificate().to_dict()
        step = next(step for step in body["steps"] if step["kind"] == "macaulay")
        for changed, message in (
            ({"degree": 1}, "degree 1 proves nothing, 2 is the least that does"),
            ({"lowest": step["degree"]}, "proves nothing"),
            ({"layers": []}, "layers: expected some of 1 and 2"),
            ({"layers": [2, 1]}, "layers: expected some of 1 and 2"),
            ({"basis": [0, 0]}, "basis: expected increasing numbers"),
        ):
            steps = [old | changed if old["kind"] == "macaulay" else old for old in body["steps"]]
            assert message in idf.verify(with_steps(body, *steps)).reasons[0]

    def test_too_large(self, monkeypatch):
        report = planted(2, 2, 4, CUBIC, outputs=2)
        monkeypatch.setattr(macaulay, "MAX_COLUMNS", 5)
        assert "completion" in [step["kind"] for step in report.certificate().content["steps"]]  # evaluated on demand
        monkeypatch.setattr(completion, "MAX_COLUMNS", 1)
        with pytest.raises(idf.CertificateTooLargeError, match="a Macaulay matrix with"):
            report.certificate()

    def test_dependent_multipliers(self):
        """Then the second layer gives no equations, and the first layer alone decides."""
        W = [[-1, -1, 2], [-1, -1, 2], [-1, -2, 0], [-1, 1, 1], [-1, 0, 1], [2, -1, -2], [1, -2, 1], [1, 0, -1]]
        A = [[0, 2, 2, 2, 0, 1, -2, 1], [-1, 2, 1, -2, -2, -2, 0, -1], [0, 4, 4, 4, 0, 2, -4, 2]]
        net = idf.TwoLayerNetwork(np.array(W, float), np.array(A, float), "z^2 + z^4", bias=np.array([0, 0, -1, 1, 0, -1, 1, 0.0]))
        X, c = np.array([[0, 2.0, 0], [-2, -2, 0]]), np.array([[2.0, 1, 1], [2, 1, 1]])
        system = system_of(net, X, c)
        system = replace(system, updates={1: (system.target_W, None), 2: system.target_a})
        report = idf.check(system, data=(X, c))
        assert report.verdict is idf.Verdict.UNIQUE and idf.verify(report.certificate())


class TestCompletion:
    def test_one_neuron_too_few(self):
        report = planted(2, 2, 3, CUBIC, layers="first")
        assert report.verdict is not idf.Verdict.UNIQUE
        body, pairs = forged(report), [[[0, 1], [1, 2]], [[1, 2], [0, 1]]]
        more = [{"kind": "kruskal", "degree_sets": [[0, 1], [0, 1], [1]], "kruskal_ranks": [2, 2, 2]}, {"kind": "scale", "degrees": []}]
        for degree in (3, 4, 5):
            count = len(completion.system_of(opened(body, [0, 1]), pairs, 20, degree).multiples)
            step = {"kind": "completion", "flattenings": pairs, "forms": 20, "degree": degree, "rows": [*range(count)]}
            answer = idf.verify(with_steps(body, {"kind": "reduction", "neurons": [0, 1]}, step, *more))
            assert not answer and ("these rows have rank" in answer.reasons[0] or "fewer than" in answer.reasons[0])

    def test_moments_that_are_not_visible(self):
        body = planted(2, 2, 4, CUBIC, layers="first").certificate().to_dict()
        for pairs in ([], [[[0], [0]]], [[[2], [2]]], [[[1]]], [[[], [1]]], [[[1], [1, 2]], [[3], [0, 1]]]):
            steps = [old | {"flattenings": pairs} if old["kind"] == "completion" else old for old in body["steps"]]
            answer = idf.verify(with_steps(body, *steps))
            assert not answer and "flattenings: " in answer.reasons[0]

    def test_completed_moments_still_need_a_decomposition(self):
        body = planted(2, 2, 4, CUBIC, layers="first").certificate().to_dict()
        answer = idf.verify(with_steps(body, *body["steps"][:2]))
        assert "do not suffice for UNIQUE" in answer.reasons[0]


class TestOneSample:
    def test_another_real_multiple(self):
        """One neuron and one output less than determine the sample: the same steps count the other real factor."""
        report = planted(2, 1, 2, CUBIC, layers="first")
        assert report.witness.kind == "multiple" and idf.verify(report.certificate())
        reduction, step = {"kind": "reduction", "neurons": [0]}, {"kind": "one-sample"}
        assert "other real multiple" in idf.verify(with_steps(forged(report), reduction, step)).reasons[0]

    def test_no_other_multiple(self):
        report = planted(3, 1, 1, ODD, outputs=2)
        assert report.verdict is idf.Verdict.UNIQUE
        answer = idf.verify(with_steps(forged(report, "NOT_UNIQUE"), {"kind": "multiple"}))
        assert "no other real multiple" in answer.reasons[0]

    def test_a_network_that_is_zero_at_the_origin(self):
        """sigma(b_j) = 0 at all neurons: t = 0 is a common root of all equations, and no sample."""
        W = np.array([[-1, 1, -1], [2, -1, 1], [-2, -1, -2]], float)
        net = idf.TwoLayerNetwork(W, np.array([-2.0, -1, 1]), "1 + z^3", bias=-np.ones(3))
        system = system_of(net, np.array([[2.0, 2, 1]]), np.array([[1.0]]))
        system = replace(system, updates={1: (system.target_W, None), 2: system.target_a})
        report = idf.check(system, samples=1)
        assert report.verdict is idf.Verdict.UNIQUE and idf.verify(report.certificate())

    def test_more_than_one_sample_or_observed_biases(self):
        for report in (planted(2, 2, 9, CUBIC), planted(2, 1, 4, CUBIC, bias=True)):
            for kind, verdict in (("one-sample", "UNIQUE"), ("multiple", "NOT_UNIQUE")):
                assert "needs one sample" in idf.verify(with_steps(forged(report, verdict), {"kind": kind})).reasons[0]

    @pytest.mark.parametrize(
        ("roots", "quadratic", "real"), [([], True, 0), ([1, 1, 1], False, 1), ([2, -3], True, 2), ([0, 0, 5, 7], True, 3), ([4], False, 1)]
    )
    def test_real_roots(self, roots, quadratic, real):
        from flint import fmpq_poly

        polynomial = fmpq_poly([1, 0, 1]) ** 2 if quadratic else fmpq_poly([-3])
        for root in roots:
            polynomial *= fmpq_poly([-root, 1])
        assert real_roots(polynomial) == real


class TestTime:
    def test_of_a_macaulay_matrix(self):
        """Its columns are counted, and the certificate takes about as long as is said before."""
        report = planted(3, 3, 8, "z + z^2 + z^3 + z^4", layers="first")
        columns = routes.macaulay_columns(report, routes.Route.MACAULAY)
        assert report["macaulay"].is_proved and columns > 30
        began = time.process_time()
        proof = report.certificate()
        took, said = time.process_time() - began, certify.certificate_seconds(report)
        assert 0 < said < 8 * took + 1 and took < 8 * said + 2
        assert len(proof.content["steps"][1]["rows"]) == columns - 3


class TestAnotherProof:
    """A verdict that several conditions prove is certified by one that the checker takes."""

    def test_after_a_matrix_that_is_too_large(self, monkeypatch):
        report = planted(3, 3, 12, CUBIC)
        assert [step["kind"] for step in report.certificate().content["steps"]][1] == "interpolation"
        monkeypatch.setattr(draft_of_moments, "need_fit", refuse)
        steps = [step["kind"] for step in report.certificate().content["steps"]]
        assert steps == ["reduction", "macaulay", "scale"]  # evaluated on demand: the report has the moments only

    def test_none_is_taken(self, monkeypatch):
        report = planted(3, 3, 12, CUBIC)
        monkeypatch.setattr(draft_of_moments, "need_fit", refuse)
        monkeypatch.setattr(macaulay, "MAX_COLUMNS", 1)
        with pytest.raises(idf.CertificateTooLargeError, match="a matrix"):
            report.certificate()


def refuse(rows: int, columns: int) -> None:
    if columns > 3:
        raise TooLarge("a matrix")
