"""The complete oracle for piecewise-linear networks: against brute force over cells, known families, and floats."""

from __future__ import annotations

from itertools import combinations_with_replacement, permutations, product

import numpy as np
import pytest
import scipy
from flint import fmpq
from support.marks import slow

from identify.base.errors import InputError
from identify.theory.oracle.cells import Category, count_all, distinct, ordered
from identify.theory.oracle.pieces import Atom, Question, states_of
from identify.theory.oracle.polyhedra import Row, feasible, maximum

ZERO = fmpq(0)


def random_question(seed: int, activation: str, *, d=2, n=2, m=5, C=1, bias=True, layers="first") -> Question:
    """With integers up to 4, and an update of the first layer that is not zero."""
    rng = np.random.default_rng([seed, d, n, m])
    while True:
        A = rng.choice([-3, -2, -1, 1, 2, 3], (C, m))
        c = rng.choice([-2, -1, 1, 2], (n, C))
        b = rng.integers(-4, 5, m) if bias else None
        question = Question.of(activation, rng.integers(-4, 5, (m, d)), b, A, rng.integers(-4, 5, (n, d)), c, layers)
        if any(map(any, question.first)):
            return question


# --- the exact linear programs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_maximum_against_scipy(seed):
    rng = np.random.default_rng(seed)
    size, rows = int(rng.integers(1, 5)), int(rng.integers(1, 9))
    G = rng.integers(-3, 4, (rows, size))
    h, aim = rng.integers(-3, 4, rows), rng.integers(-3, 4, size)
    G, h = np.vstack([G, np.eye(size, dtype=int), -np.eye(size, dtype=int)]), np.concatenate([h, [5] * (2 * size)])
    found = maximum(row(aim, 0), [row(g, c) for g, c in zip(G, h, strict=True)])
    wanted = scipy.optimize.linprog(-aim, A_ub=-G, b_ub=h, bounds=(None, None))
    assert (found is None) == (wanted.status == 2)
    if found is not None:
        assert all(row(g, c).at(found) >= 0 for g, c in zip(G, h, strict=True))
        assert abs(float(row(aim, 0).at(found)) + wanted.fun) < 1e-8


def row(coefficients, constant) -> Row:
    return Row([fmpq(int(v)) for v in coefficients], fmpq(int(constant)))


def test_sets_with_their_dimension():
    square = [row([1, 0], 0), row([0, 1], 0), row([-1, 0], 1), row([0, -1], 1)]
    assert len(feasible([], square, [], 2).directions) == 2
    assert len(feasible([], [], [*square, row([-1, -1], 0)], 2).directions) == 0
    assert len(feasible([], [], [*square, row([-1, 1], 0), row([1, -1], 0)], 2).directions) == 1
    assert feasible([], [row([-1, -1], 0)], square, 2) is None
    assert feasible([row([1, 1], 1)], [], square, 2) is None
    edge = feasible([], [row([0, 1], 0)], [row([1, 0], 0), row([-1, 0], 0)], 2)
    assert edge.point[0] == 0 and edge.point[1] > 0 and len(edge.directions) == 1


# --- the states of neurons -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "number"), [("relu", 2), ("leaky_relu(1/4)", 2), ("abs", 3), ("hard_tanh", 3), ("soft_shrink", 3)])
def test_states_have_the_slopes_of_the_activation(activation, number):
    question = random_question(0, activation)
    assert len(states_of(question.sigma)) == number
    for z in (fmpq(k, 4) for k in range(-10, 11)):
        (state,) = [state for state in question.states if state.contains(z)]
        value = question.sigma.exact(int(z.p) / int(z.q)), question.sigma.exact(int(z.p) / int(z.q), 1)
        assert (state.slope * z + state.intercept, state.slope) == tuple(fmpq(*map(int, v.as_integer_ratio())) for v in value)


# --- brute force: every cell of every sample -------------------------------------------------------------------------------


def cells_of(question: Question) -> list[tuple[int, ...]]:
    """All sign vectors of the arrangement with a sample that is not zero, neuron by neuron."""
    s = len(question.W[0]) + (not question.is_homogeneous)
    found = [()]
    for _ in range(len(question.W)):
        found = [
            cell for start in found for k in range(len(question.states)) if feasible(*constraints(question, cell := (*start, k), s), s)
        ]
    if question.is_homogeneous:
        found = [
            cell for cell in found if any(map(any, (lambda h: [h.point, *h.directions])(feasible(*constraints(question, cell, s), s))))
        ]
    return found


def constraints(question: Question, cell, s):
    equations, positive, nonnegative = [], [], []
    for j, k in enumerate(cell):
        state, weights = question.states[k], question.weights(j)[:s]
        for end, side in ((state.low, 1), (state.high, -1)):
            if end is not None:
                gap = list(weights)
                if not question.is_homogeneous:
                    gap[-1] -= end.at
                where = equations if state.is_point else nonnegative if end.closed else positive
                where.append(Row([side * v for v in gap], ZERO))
    if not question.is_homogeneous:
        positive.append(Row([ZERO] * (s - 1) + [fmpq(1)], ZERO))
    return equations, positive, nonnegative


def brute_force(question: Question):
    """Isolated solutions and the dimensions of families, from a linear program for every tuple of cells and signs of one output."""
    s, columns = len(question.W[0]) + (not question.is_homogeneous), len(question.first[0])
    own, cells = ordered(question, distinct(question)), cells_of(question)
    isolated, dimensions = set(), set()
    for n in range(1, len(own) + 1):
        for tried in combinations_with_replacement(list(product(cells, (1, -1))), n):
            equations, positive, nonnegative = [], [], []
            for i, (cell, sign) in enumerate(tried):
                for target, rows in zip((equations, positive, nonnegative), constraints(question, cell, s), strict=True):
                    target += [Row([ZERO] * (i * s) + [sign * v for v in r.coefficients] + [ZERO] * ((n - 1 - i) * s), ZERO) for r in rows]
            for j, a in enumerate(question.A[0]):
                slopes = [question.states[cell[j]].slope for cell, _ in tried]
                equations += [
                    Row([a * slope if k == q else ZERO for slope in slopes for k in range(s)], -question.first[j][q])
                    for q in range(columns)
                ]
                if question.layers == "both":
                    line = [slope * v for slope in slopes for v in question.weights(j)[:s]]
                    for i, (cell, _) in enumerate(tried):
                        if not question.is_homogeneous:
                            line[i * s + s - 1] += question.states[cell[j]].intercept
                    equations.append(Row(line, -question.second[0][j]))
            hull = feasible(equations, positive, nonnegative, n * s)
            if hull is None:
                continue
            shift = (
                [sum(v[q] * (k + 2) for k, v in enumerate(hull.directions)) for q in range(n * s)] if hull.directions else [ZERO] * n * s
            )
            parts = [[p + v / 10**6 for p, v in zip(hull.point, shift, strict=True)][i * s : (i + 1) * s] for i in range(n)]
            if not all(any(part) for part in parts):
                continue
            if question.is_homogeneous:
                atoms = [Atom(tuple(sign * v for v in part), (fmpq(sign),)) for part, (_, sign) in zip(parts, tried, strict=True)]
            else:
                atoms = [Atom(tuple(v / part[-1] for v in part[:-1]), (part[-1],)) for part in parts]
            if len({question.canonical(atom).x for atom in atoms}) < n:
                continue
            if hull.directions:
                dimensions.add(len(hull.directions))
            else:
                isolated.add(ordered(question, atoms))
    return isolated, dimensions


SMALL = [
    *[("relu", {"d": 1, "n": n, "m": m, "bias": True, "layers": layers}) for n, m in ((1, 3), (2, 4)) for layers in ("first", "both")],
    *[("leaky_relu(1/4)", {"d": 1, "n": 2, "m": 4, "bias": True}), ("leaky_relu(1/4)", {"d": 2, "n": 2, "m": 4, "bias": False})],
    *[("relu", {"d": 2, "n": n, "m": 4, "bias": False, "layers": layers}) for n in (1, 2) for layers in ("first", "both")],
    *[("abs", {"d": 2, "n": 2, "m": 3, "bias": False, "layers": layers}) for layers in ("first", "both")],
    *[("abs", {"d": 1, "n": 2, "m": 3, "bias": True}), ("relu", {"d": 2, "n": 2, "m": 3, "bias": True})],
    *[("hard_tanh", {"d": 1, "n": n, "m": 3, "bias": bias, "layers": "both"}) for n, bias in ((1, False), (2, True))],
    *[("relu", {"d": 2, "n": 2, "m": 6, "bias": True, "layers": layers}) for layers in ("first", "both")],
    *[("relu", {"d": 2, "n": 3, "m": 5, "bias": False}), ("relu", {"d": 1, "n": 3, "m": 4, "bias": True})],
    *[("abs", {"d": 2, "n": 2, "m": 4, "bias": True, "layers": "both"}), ("abs", {"d": 2, "n": 3, "m": 3, "bias": False})],
    *[("relu", {"d": 3, "n": 2, "m": 5, "bias": False}), ("relu", {"d": 1, "n": 2, "m": 3, "bias": False})],
]


@pytest.mark.parametrize("seed", [0, *map(slow, range(1, 6))])
@pytest.mark.parametrize(("activation", "sizes"), SMALL, ids=str)
def test_against_brute_force(activation, sizes, seed):
    question = random_question(seed, activation, **sizes)
    found = count_all(question)
    own = distinct(question)
    if len({question.canonical(atom).x for atom in own}) < len(own):  # parallel samples of a homogeneous network share their multipliers
        assert found.category is Category.FAMILY and found.local
        return
    isolated, dimensions = brute_force(question)
    assert found.complete
    assert {solution for solution in found.isolated if solution not in isolated} == set()
    assert bool(dimensions) == bool(found.families)
    assert max(dimensions, default=0) == max((family.dimension for family in found.families), default=0)
    if not dimensions:
        assert set(found.isolated) == isolated


# --- degenerate data -------------------------------------------------------------------------------------------------------

W = [[1, 2], [2, -1], [-1, 1], [3, 1], [-2, -1], [1, -3], [-1, 4], [2, 3], [-3, 1]]
B = [1, -2, 3, -1, 2, 1, -3, 0, 2]
SIGNS = [1, -2, 1, 3, -1, 2, 1, -1, 2]


def asked(X, c, *, activation="relu", bias=True, layers="first", width=9, A=None):
    A = [SIGNS[:width]] if A is None else A
    return Question.of(activation, W[:width], B[:width] if bias else None, A, X, np.reshape(c, (len(X), -1)), layers)


GENERIC = [[3, 1], [-1, 2]]
SMALLER = [[fmpq(1, 4), fmpq(1, 8)], [-1, fmpq(1, 2)]]


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu(1/4)", "abs", "hard_tanh"])
def test_generic_data_are_unique(activation, layers):
    question = asked(SMALLER if activation == "hard_tanh" else GENERIC, [1, 2], activation=activation, layers=layers)
    found = count_all(question)
    assert found.category is Category.UNIQUE and found.complete and found.local == 0 and len(found.isolated) == 1


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("bias", [True, False])
def test_two_samples_in_one_cell(layers, bias):
    """Only the sum of their products with (x, 1) is seen."""
    question = asked([[4, 1], [fmpq(33, 8), 1]], [1, 2], layers=layers, bias=bias)
    assert question.pattern(question.X[0]) == question.pattern(question.X[1])
    found = count_all(question)
    assert found.category is Category.FAMILY and found.local and found.local >= 1
    assert all(question.is_solved_by(family.member) for family in found.families)
    assert all(ordered(question, family.member) != ordered(question, distinct(question)) for family in found.families)


def test_duplicate_samples_are_one():
    found = count_all(asked([[2, 1], [2, 1], [-1, 2]], [1, 2, 1]))
    assert found.category is Category.UNIQUE and len(found.isolated[0]) == 2
    assert count_all(asked([[2, 1], [2, 1], [-1, 2]], [1, -1, 1])).category is Category.UNIQUE


def test_opposite_samples():
    X = [[2, 1], [-2, -1]]
    assert count_all(asked(X, [1, 2], bias=False)).category is Category.UNIQUE
    assert count_all(asked(X, [1, 2], bias=False, activation="abs")).category is Category.FAMILY  # one sample, with multiplier 3
    assert count_all(asked(X, [1, 2], activation="abs")).category is Category.UNIQUE  # the biases tell them apart


def test_a_sample_that_no_neuron_sees():
    dead = asked([[2, 1], [-2, -3]], [1, 2], width=4, bias=False)
    assert dead.pattern(dead.X[1]) == (0,) * 4
    found = count_all(dead)
    assert found.category is Category.FAMILY and found.local


def test_samples_on_kinks_have_the_stated_slope():
    on_kink = [[1, -1], [-1, 2]]  # the first neuron is 1 + 2 (-1) + 1 = 0 at the first sample
    for activation, slope in (("relu", 0), ("leaky_relu(1/4)", fmpq(1, 4)), ("abs", 0)):
        question = asked(on_kink, [1, 2], activation=activation)
        state = question.states[question.pattern(question.X[0])[0]]
        assert state.contains(ZERO) and state.slope == slope
        found = count_all(question)
        assert found.complete and found.category is Category.UNIQUE


def test_two_outputs_and_one_active_neuron():
    """One neuron sees one combination of the multipliers of two outputs."""
    question = asked([[2, 1]], [[1, 2]], A=[SIGNS[:1], [3]], width=1)
    found = count_all(question)
    assert found.category is Category.FAMILY and found.local == 1
    assert count_all(asked([[2, 1]], [[1, 2]], A=[SIGNS[:1], [3]], width=1, layers="both")).category is Category.UNIQUE


def test_what_cannot_be_described_is_open():
    two_outputs = random_question(0, "relu", d=2, n=3, m=8, C=2, bias=False)
    assert count_all(two_outputs).category is Category.OPEN  # three samples in the plane: rank 2
    question = random_question(0, "abs", d=1, n=3, m=6, bias=False)
    given_up = count_all(question, nodes=5)
    assert not given_up.complete and given_up.category in (Category.OPEN, Category.FAMILY)


def test_what_is_asked_must_be_piecewise_linear():
    with pytest.raises(InputError, match="piecewise-linear"):
        Question.of("tanh", W, B, [SIGNS], GENERIC, [[1], [2]], "first")
    with pytest.raises(InputError, match="'first' or 'both'"):
        asked(GENERIC, [1, 2], layers="second")


# --- two outputs: least squares in every tuple of cells ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "layers"), [slow(0, "both"), (3, "first"), slow(0, "first"), slow(1, "first"), slow(1, "both"), slow(3, "both")]
)
def test_two_outputs_against_least_squares(seed, layers):
    """The slopes of a cell hold everywhere in a start's problem; what converges inside its cell must be a solution that was counted."""
    question = random_question(seed, "relu", d=2, n=2, m=4, C=2, layers=layers)
    found = count_all(question)
    if found.category is Category.OPEN:
        pytest.skip("not decided by the oracle")
    rng = np.random.default_rng(seed)
    known = [np.array([[float(v) for part in atom for v in part] for atom in data]) for data in found.isolated]
    converged = 0
    for pair in combinations_with_replacement(cells_of(question), 2):
        for point in least_squares(question, pair, rng):
            converged += 1
            near = [min(np.abs(point[list(order)] - data).max() for order in permutations(range(2))) for data in known]
            assert found.families or min(near) < 1e-5
    assert converged or found.families


def least_squares(question, pair, rng, starts=1):
    slopes = np.array([[float(question.states[k].slope) for k in cell] for cell in pair])
    Wf, b, A = (np.array([[float(v) for v in line] for line in part]) for part in (question.W, [question.b], question.A))
    G1, G2 = (np.array([[float(v) for v in line] for line in part]) for part in (question.first, question.second))

    def residual(v):
        X, c = (part := v.reshape(2, 4))[:, :2], part[:, 2:]
        first = ((c @ A) * slopes).T @ np.hstack([X, np.ones((2, 1))]) - G1
        second = c.T @ (slopes * (X @ Wf.T + b)) - G2
        return np.concatenate([first.ravel(), second.ravel() if question.layers == "both" else []])

    given = np.hstack([np.array([[float(v) for v in line] for line in part]) for part in (question.X, question.c)]).ravel()
    for k in range(starts + 1):
        start = 2 * rng.standard_normal(8) if k else given + 0.01 * rng.standard_normal(8)
        fit = scipy.optimize.least_squares(residual, start, method="lm", max_nfev=60, xtol=1e-14, ftol=1e-14)
        point = fit.x.reshape(2, 4)
        z = point[:, :2] @ Wf.T + b
        inside = ((z > 1e-6) == (slopes > 0)).all() and np.abs(point[:, 2:]).max(axis=1).min() > 1e-6
        if 2 * fit.cost < 1e-20 and inside and np.abs(point[0] - point[1]).max() > 1e-6:
            yield point
