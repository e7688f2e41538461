"""Every choice of slopes: against all patterns over the rationals, and where other conditions do not reach."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from flint import fmpq, fmpq_mat

import identify as idf
from identify.conditions.networks.enumeration import MOST_NODES, choices, enumeration, enumeration_seconds, lines_of
from identify.conditions.networks.question import NetworkQuestion

Q = 2147483629


def question(seed=0, **options):
    sizes = {"inputs": 5, "samples": 2, "width": 6, "activation": "relu", "outputs": 1, "bias": True, "layers": "first"} | options
    system, truth = idf.Configuration(**sizes).plant(seed)
    return NetworkQuestion.of_system(system, len(truth.X), 0, (truth.X, np.reshape(truth.c, (len(truth.X), -1))))


def over_the_rationals(F, G, slopes):
    """All lines F = s G with F not zero, by every one of the patterns; None if one of them leaves more."""
    m, n = F.shape
    found = set()
    for pattern in product(slopes, repeat=m):
        rows = [[fmpq(int(v)) for v in F[j]] + [-fmpq(s.numerator, s.denominator) * int(v) for v in G[j]] for j, s in enumerate(pattern)]
        matrix = fmpq_mat(rows)
        reduced, rank = matrix.rref()
        free = [j for j in range(matrix.ncols()) if not any(_lead(reduced, r) == j for r in range(rank))]
        vectors = []
        for j in free:
            vector = [fmpq(0)] * matrix.ncols()
            vector[j] = fmpq(1)
            for r in range(rank):
                vector[_lead(reduced, r)] = -reduced[r, j]
            vectors.append(vector)
        if not any(any(vector[:n]) for vector in vectors):
            continue
        if len(vectors) > 1:
            return None
        lead = next(v for v in vectors[0] if v)
        found.add(tuple(Fraction(int((v / lead).p), int((v / lead).q)) for v in vectors[0]))
    return found


def _lead(matrix, row):
    return next(j for j in range(matrix.ncols()) if matrix[row, j])


@pytest.mark.parametrize("slopes", [(0, 1), (-1, 0, 1), (Fraction(1, 4), 1)], ids=["relu", "abs", "leaky"])
@pytest.mark.parametrize("seed", range(12))
def test_the_lines_are_those_of_all_patterns(slopes, seed):
    """Multipliers are small integers, so that several patterns may leave lines."""
    rng = np.random.default_rng(seed)
    n, k, m = 2, int(rng.integers(1, 3)), 5
    slopes = tuple(Fraction(s) for s in slopes)
    gamma = rng.integers(1, 4, (n, k))
    G = rng.integers(100, 400, (m, k)) * rng.choice([-1, 1], (m, 1))
    pattern = np.array([[int(4 * s) for s in slopes]])[0][rng.integers(0, len(slopes), (m, n))]
    F = pattern * (G @ gamma.T)  # in quarters, so that all are integers
    if np.linalg.matrix_rank(F) < n:
        F[:n] += np.eye(n, dtype=int)
    G = 4 * G
    expected = over_the_rationals(F, G, slopes)

    class Given:
        tied, samples = False, n

    Given.slopes = slopes
    found = lines_of(F % Q, G % Q, Given, Q)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found == {tuple(v.numerator * pow(v.denominator, -1, Q) % Q for v in line) for line in expected}


@pytest.mark.parametrize(
    "options",
    [
        {"width": 30, "samples": 4, "inputs": 8},
        {"width": 40, "samples": 4, "inputs": 8, "outputs": 3},
        {"activation": "leaky_relu(0.2)", "width": 12},
        {"activation": "abs", "width": 24},
        {"activation": "hard_tanh", "width": 14, "samples": 3},
        {"activation": "piecewise_linear([0, 1], [0, 1, 2])", "width": 14},
        {"width": (14, 12), "outputs": 3, "samples": 4, "layers": "both", "bias": False},
        {"activation": "abs", "width": (16, 12), "outputs": 3, "samples": 3, "layers": "both"},
    ],
)
def test_what_it_decides(options):
    asked = question(1, **options)
    found = enumeration(asked)
    report = idf.check(asked.system, data=asked.data)
    assert found.is_proved and report.verdict is idf.Verdict.UNIQUE and report.scope.network == "this network"
    assert found.evidence["lines"] in (asked.samples, 2 * asked.samples)


def test_one_neuron_says_nothing():
    found = enumeration(question(width=3, samples=2))
    assert found.holds is False and not found.arithmetic.is_rigorous


def test_its_cost_is_known_before():
    large = question(samples=20, inputs=30, width=60, outputs=3)
    assert choices(large)[0].unknowns == 23 and choices(large)[0].nodes > MOST_NODES
    assert enumeration_seconds(large) == 0  # far too many subspaces, so that it is not tried
    assert enumeration_seconds(question()) > 0
    report = idf.check(large.system, data=large.data, budget=5)
    assert report["enumeration"].holds is None or report["quadrics"].is_proved


def test_hidden_other_samples_are_found():
    """Two samples whose columns add up to a column with the slopes of ReLU: another sample may have it."""
    net = idf.TwoLayerNetwork(np.array([[1.0, 0.0], [1.0, 0.5], [-1.0, 0.0], [-1.0, 0.5]]), np.ones(4), "relu")
    X, c = np.array([[2.0, 1.0], [-2.0, 1.0]]), np.ones((2, 1))  # slopes 1 1 0 0 and 0 0 1 1
    system = idf.KKTSystem.gradient(net, W=np.ones((4, 2)))
    system = system.with_target(system.right_hand_side(X, c))
    found = enumeration(NetworkQuestion.of_system(system, 2, 0, (X, c)))
    assert found.holds is False and found.evidence["lines"] > 2
