"""Lines of data with the same update, and the lines of an enumeration that are nobody's: against the complete search of the oracle."""

import time

import numpy as np
import pytest
from flint import fmpq

import identify as idf
from identify.base.limits import limit_time
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.realisation import realisation
from identify.conditions.networks.rulings import rulings
from identify.exact import rational_kernel
from identify.exact.modular import fraction_residues
from identify.exact.rational_kernel import kernel_vectors
from identify.exact.updates import exact_updates, rationals
from identify.problem.network import TwoLayerNetwork
from identify.problem.signals import layer_updates
from identify.problem.verdict import Arithmetic
from identify.theory.oracle.cells import Category, count_all
from identify.theory.oracle.pieces import Question

W = np.array([[3, -1], [-2, 4], [1, 2], [4, 1], [-1, -3], [2, -3], [-4, 1], [1, -1], [-3, -2]], float)
b = np.array([1, -2, 3, 0, 2, -1, 4, -3, 1], float)
ZERO = {"weights": np.vstack([W, 0 * W[:1]]), "outputs": np.ones((1, 10))}
"""With a neuron whose weights are zero."""
A = np.array([[1, -2, 3, -1, 2, 4, -3, 1, 2], [2, 1, -1, 3, -2, 1, 1, -4, 3]], float)


def system(activation, X, c, bias=False, layers="both", weights=W, outputs=A):
    """The network and its data, as a question for the checker and for the oracle."""
    X, c = np.array(X, float), np.array(c, float)
    offsets = b[: len(weights)] if bias else None
    a = outputs[: c.shape[1], : len(weights)]
    net = TwoLayerNetwork(weights, a[0] if len(a) == 1 else a, activation, bias=offsets)
    (first, beta), (second, _) = layer_updates(net.weights, net.biases, net.activations, X, c)
    seen = {"W": first} | ({"bias": beta} if bias else {}) | ({"a": second[0] if len(second) == 1 else second} if layers == "both" else {})
    asked = Question.of(activation, weights, offsets, a, X, c, layers)
    return idf.KKTSystem.gradient(net, **seen), (X, c), asked


CASES = {
    "a zero sample": ({"X": [[1, 2], [0, 0]], "c": [[1], [2]]}, "unseen", 0),
    "a zero sample, two outputs": ({"X": [[1, 2], [0, 0]], "c": [[1, 2], [2, -1]]}, "unseen", 1),
    "parallel samples": ({"X": [[1, 2], [2, 4]], "c": [[1], [2]], **ZERO}, "lines", 2),
    "two outputs": ({"X": [[1, 2], [2, 4]], "c": [[1, 2], [1, -1]], "layers": "first"}, "multipliers", 2),
    "more samples than inputs": (
        {"X": [[1], [2], [-3]], "c": [[1], [2], [1]], "layers": "first"} | ZERO | {"weights": ZERO["weights"][:, :1]},
        "lines",
        1,
    ),
    "on a kink": ({"X": [[1, 3], [2, 6]], "c": [[1], [2]]}, "lines", 1),
    "on a kink, to one side": ({"X": [[1, 3], [2, 6]], "c": [[1], [-2]]}, "lines", 1),
}  # fmt: skip


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(1/4)", "abs"])
@pytest.mark.parametrize("name", CASES)
def test_lines(name, activation):
    options, kind, dimension = CASES[name]
    problem, data, asked = system(activation, **options)
    report = idf.check(problem, data=data)
    assert report.verdict is idf.Verdict.NOT_UNIQUE
    assert count_all(asked, nodes=2000, leaves=50, whole=False).category is Category.FAMILY
    assert report.witness.residual < 1e-12
    if report.witness.kind not in ("region", "invisible"):
        assert report["witness"].arithmetic is Arithmetic.PROOF
        assert report.witness.kind == kind and report.witness.dimension >= dimension
    if report.witness.kind == "unseen":
        assert len(report.witness.example[0]) == len(data[0]) - 1


def test_members_are_exact():
    """Every member of a family has the same update, in fractions too; the multipliers and samples differ."""
    problem, (X, c), _ = system("leaky_relu(1/4)", [[1, 2], [2, 4]], [[1.0, 2], [1, -1]], layers="first")
    question = NetworkQuestion.of_system(problem, 2, 0, (X, c))
    condition, witness = rulings(question)
    assert condition.is_proved and witness.kind == "multipliers"
    target = exact_updates(problem.network, rationals(X), rationals(c), question.observed)
    for s in (0.25, 0.5, 1.0):  # dyadic: no rounding
        Y, e = witness.family(s)
        assert exact_updates(problem.network, rationals(Y), rationals(e), question.observed) == target
        assert not np.array_equal(e, c)


@pytest.mark.parametrize(
    "options",
    [
        {"X": [[1, 2], [0, 0]], "c": [[1], [2]], "bias": True},  # a zero sample is seen if there are biases
        {"X": [[1, 2], [-2, 5]], "c": [[1], [2]], **ZERO},  # a zero neuron
        {"X": [[2, 1], [-2, -1]], "c": [[1], [2]], "bias": True},  # opposite samples
    ],
    ids=["zero sample", "zero neuron", "opposite samples"],
)
def test_unique_in_spite_of_it(options):
    for activation in ("relu", "leaky_relu(1/4)"):
        problem, data, asked = system(activation, **options)
        assert idf.check(problem, data=data).verdict is idf.Verdict.UNIQUE
        assert count_all(asked).category is Category.UNIQUE


def test_the_kernel_is_the_whole_one():
    columns = [[fmpq(1), fmpq(2), fmpq(0)], [fmpq(2), fmpq(4), fmpq(0)], [fmpq(0), fmpq(1), fmpq(1)], [fmpq(0)] * 3]
    found = kernel_vectors(columns, 0)
    assert len(found) == 2
    for vector in found:
        assert not any(sum(v * column[row] for v, column in zip(vector, columns, strict=True)) for row in range(3))
    assert kernel_vectors(columns[1:3], 0) == []


def test_few_of_many_rows_show_that_columns_are_independent(monkeypatch):
    """And not that they are dependent: one of them may differ from another in a row that is not among the few."""
    rng = np.random.default_rng(0)
    columns = [[fmpq(int(v)) for v in rng.integers(-9, 9, 600)] for _ in range(4)]
    shown = []
    monkeypatch.setattr(rational_kernel, "fraction_residues", lambda rows, q: shown.append(len(rows[0])) or fraction_residues(rows, q))
    assert kernel_vectors(columns, 0) == [] and shown == [24]
    last = list(columns[0])
    (vector,) = kernel_vectors([*columns, last], 0)
    assert vector[0] == -vector[4] != 0 and not any(vector[1:4]) and shown[1:] == [26, 40, 600]
    for row in (0, 599):
        assert kernel_vectors([*columns, [*last[:row], last[row] + 1, *last[row + 1 :]]], 0) == []
    assert shown[3:].count(600) >= 1


def test_no_fraction_is_longer_than_the_checker_reads(monkeypatch):
    columns = [[fmpq(2**9000 + 1), fmpq(3)], [fmpq(1), fmpq(2**9000)], [fmpq(5), fmpq(7)]]
    assert kernel_vectors(columns, 0) == [], "the solutions have 18,000 bits"
    monkeypatch.setattr(rational_kernel, "LONGEST", 20_000)
    assert len(kernel_vectors(columns, 0)) == 1
    monkeypatch.setattr(rational_kernel, "SOLVE_SECONDS", 1.0)
    with limit_time(100.0):
        assert kernel_vectors(columns, 0) == []


def test_as_many_vectors_as_there_is_patience_for(monkeypatch):
    columns = [[fmpq(1), fmpq(2)], [fmpq(2), fmpq(1)], [fmpq(5), fmpq(7)], [fmpq(3), fmpq(4)]]
    assert len(kernel_vectors(columns, 0)) == 2
    monkeypatch.setattr(rational_kernel, "PATIENCE", 0.0)
    assert len(kernel_vectors(columns, 0)) == 1


@pytest.mark.parametrize("budget", [None, 5])
def test_lines_whose_fractions_are_long_are_left_to_ranks(budget):
    """43 samples of a ReLU 8-16-16-1, 387 unknowns: the vectors of the kernel have 25,000 bits, and a check with them took minutes."""
    problem, truth = idf.Configuration(inputs=8, samples=43, width=(16, 16), activation="relu", bias=True).plant(0)
    began = time.process_time()
    report = idf.check(problem, data=(truth.X, truth.c), budget=budget)
    assert time.process_time() - began < 15
    if budget is None:
        local = report["local"]
        assert report.verdict is idf.Verdict.NOT_UNIQUE and local.arithmetic is Arithmetic.MONTE_CARLO and local.evidence["dimension"] == 19


def drawn(seed):
    """Few neurons with small weights, so that further lines are left, and signals that vanish."""
    rng = np.random.default_rng([seed, 3])
    n, C, bias = 2, int(rng.integers(1, 3)), bool(rng.integers(2))
    weights, outputs = rng.integers(-2, 3, (6, 2)).astype(float), rng.choice([-1.0, 1, 2], (C, 6))
    X, c = rng.integers(-16, 17, (n, 2)) / 8, rng.choice([-2.0, -1, 1, 2], (n, C))
    activation = ["relu", "leaky_relu(1/4)", "abs"][seed % 3]
    layers = str(rng.choice(["first", "both"]))
    return system(activation, X, c, bias, layers, weights, outputs) if np.linalg.matrix_rank(X) == 2 else None


def test_lines_of_an_enumeration():
    """What signs decide is true by the complete search; all three answers occur."""
    answers = []
    for seed in range(40):
        found = drawn(seed)
        if found is None:
            continue
        problem, data, asked = found
        report = idf.check(problem, data=data)
        names = [condition.name for condition in report.conditions]
        truth = count_all(asked, nodes=3000, leaves=100, whole=False).category
        if report.verdict is idf.Verdict.UNIQUE and report.scope.network == "this network":
            assert truth in (Category.UNIQUE, Category.OPEN)
        if report.verdict is idf.Verdict.NOT_UNIQUE:
            assert truth is not Category.UNIQUE
        if "realisation" in names and report["realisation"].arithmetic is Arithmetic.PROOF:
            answers.append(report["realisation"].holds)
    assert answers.count(True) >= 5


@pytest.mark.parametrize("seed", [20, 40])
def test_lines_of_opposite_multipliers_are_two_if_there_is_a_bias(seed):
    """|z| with a bias: γ and -γ give two lines with the same column, only one of them a sample's, and either may come first."""
    rng = np.random.default_rng(seed)
    weights, outputs = rng.integers(-2, 3, (5, 2)).astype(float), rng.choice([-1.0, 1, 2], (1, 5))
    X, c = rng.integers(-16, 17, (2, 2)) / 8, rng.choice([-2.0, -1, 1, 2], (2, 1))
    problem, data, asked = system("abs", X, c, True, "first", weights, outputs)
    report = idf.check(problem, data=data)
    assert report["realisation"].is_proved and report["realisation"].evidence["over_the_rationals"] >= 4
    assert count_all(asked).category is Category.UNIQUE
    assert idf.verify(report.certificate())


def test_a_second_data_set_in_fractions():
    """Found by the complete search for random instances: both data sets have exactly the same update."""
    problem, (X, c), asked = second()
    report = idf.check(problem, data=(X, c))
    assert report.verdict is idf.Verdict.NOT_UNIQUE and report.witness.kind == "second solution" and report.witness.residual < 1e-12
    assert count_all(asked).category is Category.OTHERS
    other = report["realisation"].evidence["other"]
    Y, e = ([[fmpq(*map(int, [*v.split("/"), "1"][:2])) for v in row] for row in other[name]] for name in ("X", "c"))
    seen = NetworkQuestion.of_system(problem, len(X), 0, (X, c)).observed
    assert exact_updates(problem.network, Y, e, seen) == exact_updates(problem.network, rationals(X), rationals(c), seen)


def second():
    """One of a few hundred random instances."""
    rng = np.random.default_rng(0)
    for _ in range(400):
        weights, outputs = rng.integers(-3, 4, (4, 2)).astype(float), rng.choice([-1.0, 1, 2], (1, 4))
        X, c = rng.integers(-16, 17, (2, 2)) / 8, rng.choice([-2.0, -1, 1, 2], (2, 1))
        if abs(np.linalg.det(X)) < 0.1:
            continue
        found = system("leaky_relu(1/4)", X, c, False, "first", weights, outputs)
        question = NetworkQuestion.of_system(found[0], 2, 0, found[1])
        if question.counted[0] and not question.pieces.kinks and rulings(question)[0] is None and realisation(question)[1] is not None:
            return found
    raise AssertionError("none found")


def test_neurons_without_weights_are_on_no_kink_that_a_sample_can_leave():
    problem, data, _ = system("leaky_relu(1/4)", [[1, 2], [-2, 5]], [[1], [2]], **ZERO)
    local = idf.check(problem, data=data)["local"]
    assert local.is_proved and local.evidence["rank"] == local.evidence["needed"]
    problem, data, _ = system("leaky_relu(1/4)", [[1, 3], [-2, 5]], [[1], [2]])  # the first neuron, (3, -1), is on its kink
    local = idf.check(problem, data=data)["local"]
    assert local.holds is None and local.evidence == {"kinks": 1}
