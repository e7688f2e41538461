"""SMT-LIB files: read by an evaluator in exact fractions, and decided by Z3 where it is installed."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from sympy import Symbol

import identify as idf
from identify.problem.arrays import ShapeError
from identify.problem.network import Network
from identify.problem.signals import layer_updates
from identify.symbolic.posing import kkt_equations
from identify.symbolic.smt import AlikeError

TOKEN_ENDS = str.maketrans({"(": " ( ", ")": " ) "})


# --- an evaluator ----------------------------------------------------------------------------------------------------------------------


def parsed(text):
    """The commands of a file, as nested lists."""
    tokens = "\n".join(line for line in text.splitlines() if not line.startswith(";")).translate(TOKEN_ENDS).split()
    stack: list[list] = [[]]
    for token in tokens:
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    assert len(stack) == 1
    return stack[0]


def value(term, names):
    if isinstance(term, str):
        return names[term] if term in names else Fraction(term)
    head, *parts = term
    parts = [value(part, names) for part in parts]
    match head:
        case "+":
            return sum(parts)
        case "*":
            return np.prod(parts)
        case "-":
            return -parts[0]
        case "/":
            return parts[0] / parts[1]
        case "=":
            return parts[0] == parts[1]
        case "<":
            return parts[0] < parts[1]
        case "<=":
            return parts[0] <= parts[1]
        case ">":
            return parts[0] > parts[1]
        case ">=":
            return parts[0] >= parts[1]
        case "and":
            return all(parts)
        case "or":
            return any(parts)
        case "not":
            return not parts[0]
    raise AssertionError(head)


def holds(text, system, X, c):
    """Whether every assertion does at these data, in exact arithmetic."""
    names = dict(zip((symbol.name for symbol in system.unknowns), map(Fraction, system.point(X, c)), strict=True))
    results = []
    for head, *rest in parsed(text):
        if head == "declare-const":
            assert rest[1] == "Real" and rest[0] in names
        elif head == "define-fun":
            assert rest[1:3] == [[], "Real"] and rest[0] not in names
            names[rest[0]] = value(rest[3], names)
        elif head == "assert":
            results.append(bool(value(rest[0], names)))
        else:
            assert [head, *rest] in (["set-logic", "QF_NRA"], ["check-sat"])
    return all(results)


def planted(d, m, n, activation="relu", *, bias=True, outputs=1, layers=(1, 2), seed=0):
    """Small integers, with an exact target; ``m`` may be several widths."""
    widths = m if isinstance(m, tuple) else (m,)
    for trial in range(100):
        rng = np.random.default_rng((seed, trial))
        sizes = (d, *widths, outputs)
        weights = [rng.integers(-5, 6, (out, inside)).astype(float) for inside, out in pairwise(sizes)]
        biases = [rng.integers(-5, 6, k).astype(float) if bias else None for k in widths]
        net = Network(weights, biases=[*biases, None], activation=activation)
        X, c = rng.integers(-5, 6, (n, d)).astype(float), rng.choice([-2.0, -1.0, 1.0, 2.0], (n, outputs))
        if np.linalg.matrix_rank(X) < min(n, d) or len(np.unique(X, axis=0)) < n or not X.all():
            continue
        updates = layer_updates(net.weights, net.biases, net.activations, X, c)
        seen = {k: updates[k - 1] if net.biases[k - 1] is not None else (updates[k - 1][0], None) for k in layers}
        try:
            return kkt_equations(idf.KKTSystem.gradient(net, layers=seen), samples=n), X, c
        except ShapeError:  # a dead network
            continue
    raise AssertionError("no instance")


CASES = [
    (2, 4, 2, "relu", {}),
    (2, 4, 2, "relu", {"bias": False}),
    (2, 3, 2, "abs", {"bias": False, "outputs": 2}),
    (1, 3, 2, "hard_tanh(-10, 10)", {}),
    (2, 3, 1, "piecewise_linear([1/2], [2, -1], 3)", {}),
    (2, (3, 2), 2, "relu", {}),
    (1, (2, 2), 1, "relu6", {"outputs": 2}),
    (2, 3, 2, "z + z^2", {}),
    (2, 3, 2, "z^3", {"bias": False}),
    (2, (2, 2), 2, "z^2", {"bias": False}),
    (2, 3, 2, "z + z^3", {"bias": False}),
]
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[3]}, {case[1]}, {case[4]}")


def build(case, seed=0):
    d, m, n, activation, options = case
    return planted(d, m, n, activation, seed=seed, **options)


@EVERY
def test_planted_data_satisfy_every_assertion(case):
    system, X, c = build(case)
    text = system.export("smtlib")
    assert holds(text, system, X, c) and text.endswith("(check-sat)\n") and text.isascii()
    assert not holds(text, system, X + 0.25, c) and not holds(text, system, X, 2 * c)
    assert not holds(text, system, X, 0 * c) and text == system.export("smtlib", another_than=None)
    names = [symbol.name for symbol in system.unknowns]
    assert [command[1] for command in parsed(text) if command[0] == "declare-const"] == names


@EVERY
def test_another_solution_is_none_of_the_orbit(case):
    """The data in any order, and moved by the group, are excluded; nothing else is."""
    system, X, c = build(case)
    text, plain = system.export("smtlib", another_than=(X, c)), system.export("smtlib")
    last = parsed(text)[-2]
    assert [command for command in parsed(text) if command != last] == parsed(plain)
    group = system.group
    scales = {"none": [1], "sign": [1, -1], "positive scaling": [1, 2, 0.5]}.get(group.group, [1, 2, -0.5])

    def excluded(X, c):
        names = dict(zip((symbol.name for symbol in system.unknowns), map(Fraction, system.point(X, c)), strict=True))
        return not value(last[1], names)

    for order in (list(range(len(X))), list(range(len(X)))[::-1]):
        for t in scales:
            moved, factors = group.act(X[order], c[order], np.array([t] + [1] * (len(X) - 1)))
            assert holds(plain, system, moved, factors) and excluded(moved, factors) and not holds(text, system, moved, factors)
    wrong = {"none": -1.0, "sign": 2.0, "positive scaling": -1.0}.get(group.group)
    assert not excluded(X + 1, c) and not excluded(X, 2 * c)
    if wrong is not None:
        assert not excluded(*group.act(X, c, np.array([wrong] * len(X))) if group.group != "none" else (wrong * X, c))


@pytest.mark.parametrize(("activation", "derivative"), [("relu", 0.0), ("abs", 0.0), ("leaky_relu(1/4)", 0.25), ("hard_tanh(0, 5)", 0.0)])
def test_on_a_breakpoint_the_stated_derivative_counts(activation, derivative):
    net = idf.TwoLayerNetwork([[1.0, 1.0], [2.0, 1.0], [1.0, 0.0]], [1.0, 2.0, -1.0], activation)
    X, c = np.array([[1.0, -1.0]]), np.array([2.0])
    assert net.activation(0.0, order=1) == derivative
    (of_W, _), (of_a, _) = layer_updates(net.weights, net.biases, net.activations, X, c[:, None])
    system = kkt_equations(idf.KKTSystem.gradient(net, W=of_W, a=of_a), samples=1)
    assert holds(system.export("smtlib"), system, X, c)


def test_a_cell_has_its_ends():
    system, X, c = planted(2, 4, 1)
    cell = system.cell(system.pattern_at(X))
    text = cell.export("smtlib")
    assert holds(text, cell, X, c) and "; One activation cell" in text and "s_1_1" not in text
    beyond = system.cell(1 - system.pattern_at(X)[0])
    assert not holds(beyond.export("smtlib"), beyond, X, c)


def test_margins_labels_and_saturation():
    net = idf.TwoLayerNetwork(np.eye(2), [1.0, -1.0], "relu")
    given = kkt_equations(idf.KKTSystem.max_margin(net, labels=[1, -1]), samples=2)
    X, lam = np.eye(2), np.ones(2)
    assert holds(given.export("smtlib"), given, X, lam) and not holds(given.export("smtlib"), given, X, -lam)
    assert "; unsat: no other" in given.export("smtlib", another_than=(X, [1.0, -1.0]))
    assert not holds(given.export("smtlib", another_than=(X, [1.0, -1.0])), given, X, lam)
    free = kkt_equations(idf.KKTSystem.max_margin(net), samples=2).export("smtlib")
    assert "(declare-const y_1 Real)" in free and "(assert (= (* y_2 y_2) 1.0))" in free
    assert "(not (= lambda_1 0.0))" in free and "Every multiplier" in free
    bare = given.export("smtlib", saturate=False)
    assert "(not (= lambda_1 0.0))" not in bare and "Every multiplier" not in bare
    logistic = kkt_equations(idf.KKTSystem.weight_decay(net, decay=0.5, loss="logistic"), samples=2)
    assert "; Not in this file: c_i = y_i / (n (1 + exp" in logistic.export("smtlib")


def test_own_equations_and_files(tmp_path):
    system, _, _ = planted(2, 3, 1)
    x = system.unknowns[0]
    text = system.export("smtlib", equations=[x**2 - 4, x / 3 - 2], path=tmp_path / "own.smt2")
    assert (tmp_path / "own.smt2").read_text() == text
    assert "(assert (= (+ (- 4.0) (* x_1_1 x_1_1)) 0.0))" in text and "(/ 1.0 3.0)" in text
    with pytest.raises(idf.InputError, match=r"equations\[1\]: contains q; expected a polynomial"):
        system.export("smtlib", equations=[x, Symbol("q")])
    with pytest.raises(idf.InputError, match=r"equations\[0\]: is not polynomial"):
        system.export("smtlib", equations=[1 / x])


def test_refused():
    system, X, c = planted(2, 4, 2, bias=False)
    with pytest.raises(idf.InputError, match="smtlib: takes numbers only, but 12 parameters are symbols"):
        kkt_equations(idf.Configuration(inputs=2, samples=2, width=2, activation="relu", layers="first")).export("smtlib")
    with pytest.raises(idf.InputError, match="another_than: singular files state equations"):
        system.export("singular", another_than=(X, c))
    with pytest.raises(idf.InputError, match="modulus: smtlib computes with"):
        system.export("smtlib", modulus=32003)
    with pytest.raises(idf.InputError, match="another_than: received 1 samples, expected 2"):
        system.export("smtlib", another_than=(X[:1], c[:1]))
    with pytest.raises(idf.InputError, match="another_than: received int, expected a pair"):
        system.export("smtlib", another_than=3)
    for alike, samples in ((np.array([X[0], 2 * X[0]]), (1, 2)), (np.array([X[0], 0 * X[0]]), (2,))):
        with pytest.raises(AlikeError) as caught:
            system.export("smtlib", another_than=(alike, c))
        assert caught.value.samples == samples
    opposite = np.array([X[0], -X[0]])
    assert system.export("smtlib", another_than=(opposite, c))  # a scale is positive
    with pytest.raises(AlikeError):
        build(CASES[2])[0].export("smtlib", another_than=(opposite, np.ones((2, 2))))  # |z|: of either sign


# --- decided by Z3 -----------------------------------------------------------------------------------------------------------------------


def decide(text):
    """The answer of Z3, and the numbers of a model, as fractions if they are rational."""
    z3 = pytest.importorskip("z3", reason="z3-solver is not installed (extra smt)")
    solver = z3.Solver()
    solver.set("timeout", 100_000)
    solver.from_string(text)
    answer = str(solver.check())
    model = solver.model() if answer == "sat" else []
    return answer, {str(name): model[name] for name in model}


def data_of(system, model):
    numbers = []
    for symbol in (*system.names.x.ravel(), *system.names.multipliers.ravel()):
        found = model[symbol.name]
        numbers.append(float(found.as_fraction()) if hasattr(found, "as_fraction") else float(found.approx(30).as_fraction()))
    n, d = system.names.x.shape
    return np.reshape(numbers[: n * d], (n, d)), np.reshape(numbers[n * d :], (n, -1))


@pytest.mark.parametrize(
    ("d", "m", "n", "activation", "options"),
    [
        (1, 3, 1, "relu", {}),
        (1, 4, 1, "relu", {"bias": False}),
        (2, 3, 1, "relu", {}),
        (2, 4, 1, "abs", {"bias": False}),
        (2, 6, 2, "relu", {"bias": False, "seed": 1}),
        (2, 5, 2, "relu", {"seed": 3}),
        (1, 6, 2, "relu", {"seed": 2}),
        (2, 3, 1, "hard_tanh(-10, 10)", {}),
        (2, (3, 2), 1, "relu", {}),
        (2, 3, 1, "z + z^2", {}),
        (2, 3, 1, "leaky_relu(1/4)", {}),
    ],
)
def test_planted_data_are_found_and_are_the_only_ones(d, m, n, activation, options):
    system, X, c = planted(d, m, n, activation, **options)
    answer, model = decide(system.export("smtlib"))
    assert answer == "sat"
    assert np.abs(system.lambdify()(system.point(*data_of(system, model)))).max() < 1e-9
    assert decide(system.export("smtlib", another_than=(X, c)))[0] == "unsat"


@pytest.mark.parametrize(
    ("d", "m", "n", "options"),
    [
        (1, 4, 2, {"seed": 1}),
        (1, 6, 2, {}),
        (2, 6, 2, {"bias": False}),
        (2, 3, 2, {"layers": (1,), "seed": 2}),
        (2, 3, 1, {"layers": (2,), "bias": False}),
    ],
)
def test_other_data_are_found_where_there_are_some(d, m, n, options):
    """Their updates are those of the planted data, and they are not in the orbit of these."""
    system, X, c = planted(d, m, n, "relu", **options)
    answer, model = decide(system.export("smtlib", another_than=(X, c)))
    assert answer == "sat"
    other, factors = data_of(system, model)
    assert np.abs(system.lambdify()(system.point(other, factors))).max() < 1e-9
    match = system.group.match(other, factors, X, c)
    assert match.errors.max() > 1e-6 or np.abs(match.c - c).max() > 1e-6


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("d", "m", "n", "activation", "options"),
    [
        (1, 6, 2, "relu", {}),
        (2, 6, 2, "relu", {"bias": False}),
        (2, 6, 2, "abs", {"bias": False}),
        (2, 5, 1, "leaky_relu(1/4)", {"layers": (1,)}),
        (2, (4, 3), 1, "relu", {}),
    ],
)
def test_no_verdict_contradicts_the_solver(d, m, n, activation, options, seed):
    """A second opinion on ``check``: what it proves unique has no other solution, with fewer samples neither; and the other way round."""
    system, X, c = planted(d, m, n, activation, seed=seed, **options)
    verdict = idf.check(system.numbers, data=(X, c[:, 0])).verdict
    answer, _ = decide(system.export("smtlib", another_than=(X, c), saturate=False))
    assert (verdict, answer) not in ((idf.Verdict.UNIQUE, "sat"), (idf.Verdict.NOT_UNIQUE, "unsat"))
    assert answer in ("sat", "unsat")
