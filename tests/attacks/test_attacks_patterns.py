"""Samples from activation patterns: planted ones, all vectors of zeros and ones by a mixed-integer program, and layers without patterns."""

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from identify import InputError, Network
from identify.attacks import patterns, random_network, train
from identify.attacks.binary import BinarySearch, distinct
from identify.attacks.sparse import SparseSearch


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def simplex(rng, n, d):
    """Samples so far apart that a neuron with weights of any pattern has this pattern."""
    left, _, right = np.linalg.svd(rng.standard_normal((n, d)), full_matrices=False)
    X = 3 * n * (left @ right)
    return X - X.mean(axis=0)


def trained(rng, X, S, noise=0.0):
    """One output at max margin: rows are sums of the samples, and their multipliers are positive."""
    a, multipliers = rng.uniform(0.5, 1.5, len(S)), rng.uniform(0.9, 1.1, len(X))
    layer = a[:, None] * (S @ (multipliers[:, None] * np.column_stack([X, np.ones(len(X))])))
    layer += noise * rng.standard_normal(layer.shape)
    return Network([layer[:, :-1], a[None]], biases=[layer[:, -1], None], activation="relu")


def errors(found, X):
    return np.array([np.linalg.norm(found - x, axis=1).min(initial=np.inf) / np.linalg.norm(x) for x in X])


def steps(rng, n, d, width, depth=1, outputs=5, count=3, rate=0.1, noise=0.0):
    """Two networks, between which there are so many steps of gradient descent with signals of ReLU, and the samples."""
    X = rng.standard_normal((n, d))
    weights = [rng.standard_normal((width, d)) / d**0.5, *(rng.standard_normal((width, width)) / width**0.5 for _ in range(depth - 1))]
    weights.append(rng.standard_normal((outputs, width)) / width**0.5)
    first = Network(weights, biases=[0.1 * rng.standard_normal(width), *[None] * depth], activation="relu")
    W, b = first.weights[0].copy(), first.biases[0].copy()
    for _ in range(count):
        z = X @ W.T + b
        u = rng.standard_normal((n, outputs)) @ rng.standard_normal((outputs, width)) * (z > 0)
        W += rate * u.T @ X / n
        b += rate * u.sum(axis=0) / n
    W += noise * rng.standard_normal(W.shape)
    return X, first, Network([W, *weights[1:]], biases=[b, *[None] * depth], activation="relu")


# ---------------------------------------------------------------- one trained network


@pytest.mark.parametrize("share", [0.0, 0.15])
def test_planted_samples_are_decoded_in_spite_of_errors(rng, share):
    X, S = simplex(rng, 5, 20), rng.integers(0, 2, (60, 5)).astype(float)
    S = np.where(rng.uniform(size=S.shape) < share, rng.uniform(-0.5, 1.5, S.shape), S)
    net = trained(rng, X, S)
    found = patterns(net, starts=8)
    assert found.dimension == 5 and found.independent >= 4
    assert errors(found.X, X).max() < 1e-9
    assert found.credible.all()
    layer = np.column_stack([net.weights[0], net.biases[0]])
    np.testing.assert_allclose(found.signals @ np.column_stack([found.X, np.ones(5)]), layer, atol=1e-8 * abs(layer).max())


def test_with_noise_in_the_weights_samples_are_near(rng):
    X, S = simplex(rng, 4, 20), rng.integers(0, 2, (60, 4)).astype(float)
    found = patterns(trained(rng, X, S, noise=1e-3), noise=1e-3, starts=16)
    assert found.dimension == 4
    assert 1e-8 < errors(found.X, X).max() < 1e-2


def binary_vectors(Y, tolerance=1e-6):
    """First oracle: all vectors of zeros and ones in the column space, one after the other, by a mixed-integer program."""
    m = len(Y)
    basis = np.linalg.qr(Y)[0]
    outside = np.eye(m) - basis @ basis.T
    limits = [LinearConstraint(outside, -tolerance, tolerance), LinearConstraint(np.ones((1, m)), 1, m)]
    found = []
    while True:
        answer = milp(np.linspace(1, 2, m), constraints=limits, integrality=np.ones(m), bounds=Bounds(0, 1))
        if not answer.success:
            return {tuple(s) for s in found}
        s = np.rint(answer.x).astype(int)
        found.append(s.tolist())
        limits.append(LinearConstraint((1 - 2 * s)[None], 1 - s.sum(), np.inf))  # another one


@pytest.mark.parametrize("n", [2, 3, 4])
def test_all_vectors_of_zeros_and_ones_are_those_of_a_mixed_integer_program(rng, n):
    S = np.unique(rng.integers(0, 2, (14, n)), axis=0).astype(float)
    S = S[S.any(axis=1)]
    Y = S @ rng.standard_normal((n, n))
    search = BinarySearch(np.linalg.qr(Y)[0], np.zeros(len(Y)), np.eye(n), 0.05)
    for _ in range(6):
        search.start(rng)
    exact = search.exact(np.array(search.points)).all(axis=1)
    assert {tuple(search.bits(c).astype(int)) for c in np.array(search.points)[exact]} == binary_vectors(Y)


def test_columns_that_are_not_unique_are_told_by_the_neurons(rng):
    """Samples 0 and 1 share no neuron, so columns s0, s1 and s0 + s1 span one plane: three sets of columns, by hand."""
    X, S = simplex(rng, 3, 10), np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]] * 4, float)
    assert len(binary_vectors(np.unique(S, axis=0))) == 4  # s2, too
    found = patterns(trained(rng, X, S), starts=8, tolerance=0.01)
    assert found.distinct == 5 and not found.credible.any(), "five rows do not confirm three columns against chance"
    rows = np.unique(S, axis=0)
    search = BinarySearch(rows, np.zeros(5), np.eye(3), 0.01)
    search.start(rng)
    assert search.met.count(5) == 4 > np.linalg.matrix_rank(rows)


def test_equally_good_choices_are_open(rng):
    """Two classes of neurons that see the samples in pairs: with columns in {s0, s1, s0 + s1} all choices fit, and neurons decide."""
    X = simplex(rng, 6, 20)
    S = rng.integers(0, 2, (80, 6)).astype(float)
    S[:40, :3] = S[40:, 3:] = 0
    S = S[S.any(axis=1)]
    found = patterns(trained(rng, X, S), starts=8)
    assert found.vectors > found.dimension == 6
    if found.credible.any():
        assert errors(X, found.X[found.credible]).max() < 1e-6, "what is credible is right"


@pytest.mark.parametrize("kind", ["real patterns", "Gaussian", "clusters", "not trained"])
def test_nothing_is_credible_without_patterns(rng, kind):
    """Negative controls, among them rows near five points, in which any vector is near zero and one in all rows or none."""
    X = simplex(rng, 6, 12)
    S = {
        "real patterns": rng.uniform(0, 1, (60, 6)),
        "Gaussian": rng.standard_normal((60, 6)),
        "clusters": np.repeat(rng.integers(0, 2, (5, 6)), 12, axis=0) + 0.01 * rng.standard_normal((60, 6)),
    }
    net = trained(rng, X, S[kind]) if kind in S else random_network((5, 60, 1), seed=0)
    found = patterns(net, starts=8)
    assert found.dimension == 6
    assert not found.credible.any()


# ---------------------------------------------------------------- two checkpoints


@pytest.mark.parametrize("depth", [1, 2])
def test_samples_between_two_checkpoints_are_decoded(rng, depth):
    X, first, last = steps(rng, 5, 12, 60, depth)
    found = patterns(last, initial=first, starts=20)
    assert found.dimension == 5 and found.credible.all()
    assert errors(found.X, X).max() < 1e-9
    before, after = (X @ net.weights[0].T + net.biases[0] > 0 for net in (first, last))
    closest = np.linalg.norm(found.X[:, None] - X, axis=2).argmin(axis=1)
    seen = found.active.T
    assert not (seen & ~(before | after)[closest]).sum() > 0.1 * seen.size
    assert (~seen & (before & after)[closest]).sum() == 0, "a neuron that sees a sample at both ends was moved by it"


def test_the_sparsest_vectors_are_found_by_all_sets_of_rows(rng):
    """Second oracle: the vectors that are zero in r - 1 rows, for all sets of rows, and of them those with most zeros."""
    from itertools import combinations

    r, signals = 3, rng.standard_normal((14, 3)) * (rng.uniform(size=(14, 3)) < 0.5)
    rows = signals[signals.any(axis=1)] @ rng.standard_normal((3, 3))
    rows = rows[distinct(rows / np.linalg.norm(rows, axis=1)[:, None], 1e-6)]
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    most = {}
    for pair in combinations(range(len(rows)), r - 1):
        c = np.linalg.svd(rows[list(pair)])[2][-1]
        if np.linalg.matrix_rank(rows[list(pair)]) == r - 1:
            zeros = frozenset(np.flatnonzero(abs(rows @ c) < 1e-9))
            most[zeros] = len(zeros)
    search = SparseSearch(rows, np.zeros(len(rows)), np.eye(r))
    for _ in range(3):
        search.start(rng)
    found = [frozenset(np.flatnonzero(search.near(c[None])[0])) for c in search.points]
    assert found and all(zeros in most for zeros in found)
    assert len(found[0]) == max(most.values())


def test_the_last_column_follows_from_the_others(rng):
    X, first, last = steps(rng, 4, 10, 60)
    from identify.attacks.columns import Columns

    layer = np.column_stack([last.weights[0] - first.weights[0], last.biases[0] - first.biases[0]])
    columns = Columns.of(layer, None, np.linalg.svd(layer)[2][:4], 0.0, 0.05)
    search = columns.search()
    for _ in range(6):
        search.start(rng)
    assert search.is_complete
    search.points, search.met = search.points[:3], search.met[:3]
    decoded = columns.decoded(search, 3, [first, last])
    assert decoded.independent == 3 and errors(decoded.X, X).max() < 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_similar_samples_are_right_or_not_credible(seed):
    """Their columns are alike, so a mixture of them may have as many zeros: of seed 0, samples are off by a tenth."""
    rng = np.random.default_rng(20 + seed)
    X = rng.standard_normal((5, 12))
    X[1], X[3] = X[0] + 0.2 * rng.standard_normal(12), X[2] + 0.4 * rng.standard_normal(12)
    first = random_network((12, 60, 3), seed=20 + seed)
    last = train(first, X, np.array([0, 0, 1, 1, 2]), loss="cross-entropy", rate=0.1, steps=1).final
    found = patterns(last, initial=first, starts=12)
    wrong = errors(X, found.X) > 1e-9
    assert not (wrong & found.credible).any()
    assert wrong.any() or seed, "the instance is of the kind that it is about"


def test_rounding_of_single_precision_is_noise(rng):
    X, first, last = steps(rng, 4, 12, 60)
    nets = [
        Network([w.astype(np.float32) for w in n.weights], biases=[n.biases[0].astype(np.float32), None], activation="relu")
        for n in (first, last)
    ]
    found = patterns(nets[1], initial=nets[0], noise=3e-8, starts=20)
    assert found.dimension == 4 and found.credible.all()
    assert 1e-9 < errors(found.X, X).max() < 1e-3


@pytest.mark.parametrize("kind", ["other network", "weight decay", "smooth signals"])
def test_changes_without_zeros_say_nothing(rng, kind):
    """Negative controls: signals of neurons that see all samples, and weight decay, which moves every neuron."""
    X, first, last = steps(rng, 4, 12, 40)
    W, b = first.weights[0], first.biases[0]
    if kind == "other network":
        W, b = rng.standard_normal(W.shape), rng.standard_normal(b.shape)
    elif kind == "weight decay":
        W, b = 0.9 * last.weights[0], last.biases[0]
    else:
        u = rng.standard_normal((40, 4))
        W, b = W + u @ X, b + u.sum(axis=1)
    found = patterns(Network([W, first.weights[1]], biases=[b, None], activation="relu"), initial=first, starts=4)
    assert not found.credible.any()


# ---------------------------------------------------------------- both


def test_same_seed_same_result_and_a_budget_ends_the_search(rng):
    _, first, last = steps(rng, 4, 12, 40)
    one, two = (patterns(last, initial=first, starts=6, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.X, two.X)
    assert one.seed == 3 and not one.interrupted
    net = trained(rng, simplex(rng, 8, 12), rng.integers(0, 2, (60, 8)).astype(float))
    short = patterns(net, starts=10**6, budget=1e-3)
    assert short.interrupted and 1 <= short.starts < 10**6


def test_an_interrupt_returns_what_was_found(rng):
    _, first, last = steps(rng, 4, 12, 40)

    def interrupt(step):
        if step.startswith("patterns: 3"):
            raise KeyboardInterrupt

    found = patterns(last, initial=first, progress=interrupt)
    assert found.interrupted and found.starts == 3


def test_units_do_not_matter(rng):
    X = simplex(rng, 4, 10)
    net = trained(rng, X, rng.integers(0, 2, (60, 4)).astype(float))
    large = Network([1e200 * net.weights[0], 1e-200 * net.weights[1]], biases=[1e200 * net.biases[0], None], activation="relu")
    found = patterns(large, starts=8)
    assert found.credible.all() and errors(found.X, X).max() < 1e-9


def test_repr_counts_the_credible_ones(rng):
    _, first, last = steps(rng, 3, 8, 100)
    assert "of them credible" in repr(patterns(last, initial=first, starts=8))
    assert "no samples" in repr(patterns(random_network((4, 20, 1)), starts=1))


@pytest.mark.parametrize(
    "options",
    [
        {"tolerance": 0.0},
        {"tolerance": 0.3},
        {"starts": 0},
        {"budget": 0.0},
        {"noise": 1e9},
        {"noise": -1},
        {"dimension": 99},
        {"seed": -1},
    ],
)
def test_bad_options_are_refused(rng, options):
    net = trained(rng, simplex(rng, 3, 10), rng.integers(0, 2, (20, 3)).astype(float))
    with pytest.raises(InputError, match=next(iter(options))):
        patterns(net, **options)


def test_networks_that_have_no_patterns_are_refused():
    for given in ({"network": "relu"}, {"network": None}, {"network": random_network((4, 20, 1)), "initial": 1.0}):
        with pytest.raises(InputError, match=list(given)[-1]):
            patterns(**given)
    with pytest.raises(InputError, match="expected ReLU in the first layer"):
        patterns(random_network((4, 20, 1), "gelu"))
    with pytest.raises(InputError, match="and biases there"):
        patterns(random_network((4, 20, 1), biases="none"))
    with pytest.raises(InputError, match="one output, or an initial network"):
        patterns(random_network((4, 20, 3)))
    with pytest.raises(InputError, match="2\\^41 patterns are too many"):
        patterns(random_network((40, 60, 1)))
    with pytest.raises(InputError, match="initial: received"):
        patterns(random_network((4, 20, 3)), initial=random_network((4, 21, 3)))
    with pytest.raises(InputError, match="only 3 neurons"):
        W = np.vstack([np.eye(3, 5), np.ones((4, 5)), np.arange(20).reshape(4, 5) ** 2])
        patterns(Network([W, [[1, 1, 1, *[0] * 8]]], biases=[np.arange(11), None], activation="relu"))
