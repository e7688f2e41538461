"""The slopes of all samples, tried together: against the complete search of the oracle, and against second solutions by hand."""

import dataclasses

import numpy as np
import pytest

import identify as idf
from identify.certificates import networks
from identify.certificates.networks import NetworkDraft
from identify.checker.networks.claim import named_hashes
from identify.checker.reading import canonical_hash
from identify.conditions.networks.joint import applies, joint, joint_seconds
from identify.conditions.networks.question import NetworkQuestion
from identify.problem.network import TwoLayerNetwork
from identify.problem.signals import layer_updates
from identify.problem.verdict import Arithmetic
from identify.theory.oracle.cells import Category, count_all
from identify.theory.oracle.pieces import Question

rng = np.random.default_rng(5)
W = rng.integers(-4, 5, (12, 3)) + 0.5
b = rng.integers(-4, 5, 12) + 0.25
A = rng.integers(1, 5, (2, 12)) * rng.choice([-1.0, 1.0], (2, 12))


def posed(activation, X, c, m=10, bias=False, layers="both", order=None, factors=None):
    """A system whose update has a rank below n, its data, and the same question for the oracle."""
    X, c = np.array(X, float), np.array(c, float).reshape(len(X), -1)
    rows = np.arange(m) if order is None else np.array(order)
    t = np.ones(m) if factors is None else np.array(factors)
    weights, a, offsets = t[:, None] * W[rows, : X.shape[1]], A[: c.shape[1], rows] / t, t * b[rows] if bias else None
    net = TwoLayerNetwork(weights, a[0] if len(a) == 1 else a, activation, bias=offsets)
    (first, beta), (second, _) = layer_updates(net.weights, net.biases, net.activations, X, c)
    seen = {"W": first} | ({"bias": beta} if bias else {}) | ({"a": second[0] if len(a) == 1 else second} if layers == "both" else {})
    asked = Question.of(net.activation, weights, offsets, a, X, c, layers)
    return idf.KKTSystem.gradient(net, **seen), (X, c[:, 0] if c.shape[1] == 1 else c), asked


def question(system, data):
    return NetworkQuestion.of_system(system, len(data[0]), 0, (data[0], data[1].reshape(len(data[0]), -1)))


def found(activation, **options):
    system, data, _ = posed(activation, **options)
    return joint(question(system, data))


MORE = {"X": [[1.5, -2.25], [0.75, 3], [-2, -1.25]], "c": [1, -2, 3]}
"""More samples than inputs."""
CASES = {
    "more samples than inputs": MORE,
    "one input, a bias": {"X": [[1.25], [-0.75], [3.5]], "c": [1, -2, 3], "bias": True, "layers": "first"},
    "collinear, a bias": {"X": [[1, 2, 1], [0, 1, -1.5], [2, 3, 3.5]], "c": [2, 1, -1], "bias": True},
    "opposite samples": {"X": [[1.5, -2.25], [-1.5, 2.25]], "c": [1, 3], "layers": "first"},
    "two outputs": {"X": [[1.5], [-2.25]], "c": [[1, 2], [-1, 3]]},
    "dependent multipliers": {"X": [[1.5, 2, 1], [-2, 1, 0.5]], "c": [[1, 2], [2, 4]], "m": 4},
}


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        (name, activation)
        for name, case in CASES.items()
        for activation in ("relu", "leaky_relu(1/4)", "abs")
        if not (case.get("bias") and activation == "abs")
    ],
)
def test_agrees_with_the_complete_search(name, activation):
    system, data, asked = posed(activation, **CASES[name])
    condition, second = joint(question(system, data))
    truth = count_all(asked, nodes=20_000, leaves=500, whole=False)
    if condition.holds is None:
        assert truth.category is not Category.UNIQUE or name == "dependent multipliers"
        return
    assert condition.arithmetic is Arithmetic.PROOF
    assert truth.category in ((Category.UNIQUE, Category.OPEN) if condition.holds else (Category.OTHERS, Category.FAMILY, Category.OPEN))
    assert condition.holds or system.residual(*second.example) < 1e-12


def test_decides_what_no_rank_allows():
    """Every other condition needs G_1 of rank n, and there are more samples than inputs."""
    system, data, _ = posed("relu", **MORE)
    report = idf.check(system, data=data)
    assert report.verdict is idf.Verdict.UNIQUE and report["joint-slopes"].is_proved
    assert str(report.scope) == "this network, this data" and not report["enumeration"].evidence.get("lines")


def test_too_few_neurons_prove_nothing():
    assert not found("relu", **MORE, m=2)[0].is_proved
    assert found("relu", **MORE | {"c": [[1, 2], [-2, 1], [3, 1]]}, m=2, layers="first")[0].holds is None


def test_second_solution_in_one_dimension():
    """|z|, first layer: each neuron says a w Σ c_i sign(x_i) = t only, so that any samples with c_1 x_1 + c_2 x_2 the same would do."""
    condition, _ = found("abs", X=[[1.0], [2.0]], c=[1.0, 1.0], layers="first")
    assert not condition.is_proved


def test_other_data_are_a_witness():
    """Two data sets with equal updates by hand: ReLU, d = 1, weights of one sign see Σ c_i x_i on their side only."""
    X, c = np.array([[1.0], [-1.0]]), np.array([2.0, 3.0])
    net = TwoLayerNetwork(np.array([[1.0], [2.0], [-1.0]]), np.array([1.0, -1.0, 2.0]), "relu")
    (first, _), (second, _) = layer_updates(net.weights, net.biases, net.activations, X, c[:, None])
    system = idf.KKTSystem.gradient(net, W=first, a=second[0])
    condition, _ = joint(question(system, (X, c)))
    assert condition.is_proved  # up to positive scales, c_i x_i is all there is, and is known
    twice = np.array([[1.0], [2.0]]), np.array([2.0, 3.0])
    (first, _), (second, _) = layer_updates(net.weights, net.biases, net.activations, twice[0], twice[1][:, None])
    condition, _ = joint(question(idf.KKTSystem.gradient(net, W=first, a=second[0]), twice))
    assert not condition.is_proved  # both on one side: 2 · 1 + 3 · 2 alone is known, one sample with c x = 8 does too


@pytest.mark.parametrize("activation", ["relu", "abs"])
def test_order_and_scales_of_neurons_do_not_matter(activation):
    """σ(t w x) a / t = σ(w x) a for t > 0; all powers of two, so that nothing is rounded."""
    options = CASES["more samples than inputs"]
    moved = {"order": [7, 2, 9, 0, 4, 1, 8, 3, 6, 5], "factors": [2.0, 4, 0.5, 1, 8, 2, 0.25, 1, 4, 2]}
    turned = options | {"X": options["X"][::-1], "c": options["c"][::-1]}
    answers = [found(activation, **each)[0].holds for each in (options, options | moved, turned)]
    assert answers == [answers[0]] * 3


def test_cost_is_known_beforehand():
    small, wide = (question(*posed("relu", **MORE, m=m)[:2]) for m in (6, 12))
    assert applies(small) and joint_seconds(small) == joint_seconds(wide) < 1
    config = idf.Configuration(inputs=2, samples=12, width=40, activation="relu")
    system, truth = config.plant(seed=0)
    many = question(system, (truth.X, truth.c))
    assert not applies(many) and joint_seconds(many) == 0.0 and joint(many)[0].arithmetic is Arithmetic.NONE
    assert not applies(dataclasses.replace(many, data=None))


class TestCertificate:
    def test_is_checked_by_a_search_of_its_own(self):
        for name in ("more samples than inputs", "one input, a bias"):
            system, data, _ = posed("leaky_relu(1/4)", **CASES[name])
            content = idf.check(system, data=data).certificate().content
            assert content["steps"] == [{"kind": "joint-slopes"}] and idf.verify(content).is_valid

    @pytest.mark.parametrize("activation", ["relu", "abs"])
    def test_of_data_that_are_not_unique_is_refused(self, activation):
        """Parallel samples in one region, in place of the given ones, with every hash right."""
        system, data, _ = posed(activation, **CASES["opposite samples"] | {"X": [[1.5, -2.25], [-2, -1.25]], "layers": "both"})
        report = idf.check(system, data=data, conditions="joint-slopes")
        content = NetworkDraft(report, report.question, 0, "joint-slopes").content()
        assert idf.verify(content).is_valid
        for X in ([["0x1.8p+0", "-0x1.2p+1"], ["0x1.8p+1", "-0x1.2p+2"]], [["0x1.8p+0", "-0x1.2p+1"]] * 2):
            numbers = content["numbers"] | {"X": X}
            body = {key: value for key, value in content.items() if key != "sha256"} | {"numbers": numbers}
            assert not idf.verify(body | {"sha256": named_hashes(body["claim"], numbers) | {"content": canonical_hash(body)}}).is_valid

    def test_of_too_many_choices(self, monkeypatch):
        system, data, _ = posed("relu", **MORE)
        report = idf.check(system, data=data)
        monkeypatch.setattr(networks, "MAX_CHOICES", 3)
        with pytest.raises(idf.NoCertificateError) as raised:
            report.certificate()
        assert raised.value.rests_on == ("joint-slopes",)
