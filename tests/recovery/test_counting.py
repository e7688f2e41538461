"""How many samples an update holds: weak samples are no noise, and a number that is not told is said to be open."""

from __future__ import annotations

from itertools import pairwise

import jax
import numpy as np
import pytest
from support.marks import slow

import identify as idf
from identify.problem.rank import SURE, Rest, is_count_open, rest_behind
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.report import brief

SUPPORTED = (UniquenessStatus.PROVED, UniquenessStatus.EVIDENCE)


def values_of(rng, shape, rank, rest):
    """Singular values of a signal of this rank and a rest."""
    signal = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    return np.linalg.svd(signal + rest, compute_uv=False)


class TestRest:
    @pytest.mark.parametrize("shape", [(30, 8), (60, 40), (200, 14)])
    @pytest.mark.parametrize("level", [1e-9, 1e-4, 1e-2])
    def test_noise(self, shape, level):
        rng = np.random.default_rng(0)
        kinds = [rest_behind(values_of(rng, shape, 4, level * rng.standard_normal(shape)), 4, shape, 1e-12) for _ in range(40)]
        assert kinds.count(Rest.NOISE) >= 36 and set(kinds) <= {Rest.NOISE, Rest.OPEN}

    @pytest.mark.parametrize("shape", [(30, 8), (60, 40), (7, 5)])
    def test_weak_samples(self, shape):
        """Their strengths spread over some decades, as those of a trained network do."""
        rng, kinds = np.random.default_rng(1), []
        for _ in range(40):
            strengths = 10 ** rng.uniform(-6, -3, (12, 1))
            weak = (rng.standard_normal((shape[0], 12)) @ (strengths * rng.standard_normal((12, shape[1])))) / 12
            kinds.append(rest_behind(values_of(rng, shape, 3, weak), 3, shape, 1e-12))
        assert kinds.count(Rest.OPEN) >= 38

    def test_rounding_and_nothing(self):
        rng = np.random.default_rng(2)
        values = values_of(rng, (20, 6), 3, 0.0)
        assert rest_behind(values, 3, (20, 6), 1e-12) is Rest.ROUNDING and rest_behind(values, 6, (20, 6), 1e-12) is Rest.NONE
        assert rest_behind(values, 2, (20, 6), 1e-12) is Rest.OPEN

    def test_one_update_that_shows_noise_is_enough(self):
        assert is_count_open([Rest.OPEN]) and is_count_open([Rest.OPEN, Rest.ROUNDING, Rest.NONE])
        assert not is_count_open([Rest.OPEN, Rest.NOISE]) and not is_count_open([Rest.NONE]) and not is_count_open([])


def classifier(sizes, samples, seed, activation):
    """An exact update by a softmax loss."""
    rng = np.random.default_rng(seed)
    W = [rng.standard_normal((b, a)) / a**0.5 for a, b in pairwise(sizes)]
    net = idf.Network(W, biases=[rng.standard_normal(k) * 0.1 for k in sizes[1:]], activation=activation)
    X, y = rng.standard_normal((samples, sizes[0])), rng.integers(sizes[-1], size=samples)
    outputs = net.forward(X).before[-1]
    p = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    c = np.eye(sizes[-1])[y] - p / p.sum(axis=1, keepdims=True)
    return idf.KKTSystem.gradient(net, layers=net.update(X, c)), X


@pytest.mark.parametrize(
    ("sizes", "samples", "activation", "seeds"),
    [
        slow((6, 2, 20, 3), 4, "gelu", (4, 6)),
        ((6, 2, 20, 3), 4, "gelu", (11,)),  # the largest singular value is three to sixteen times the others
        slow((3, 22, 5), 6, "tanh", (30, 31)),
        ((5, 4, 4, 4), 6, "tanh", (1,)),
        slow((5, 4, 4, 4), 6, "tanh", (2,)),
        ((6, 3, 3, 5), 4, "relu", (4,)),
        slow((6, 3, 3, 5), 4, "relu", (11,)),
    ],
)
def test_a_drop_among_few_singular_values_is_no_rank(sizes, samples, activation, seeds):
    """Exact updates of full rank: their samples are more than any rank shows, and fewer of them are never said to be the batch."""
    for seed in seeds:
        system, X = classifier(sizes, samples, seed, activation)
        try:
            found = idf.recover(system, budget=2)
        except idf.RecoveryError:
            continue
        distances = np.linalg.norm(X[:, None] - found.X, axis=2).min(axis=0)
        assert distances.max() < 1e-6 or found.uniqueness.status not in SUPPORTED


def polynomial(d, m, n, C, activation, seed):
    """An exact update of samples of which some are a hundred times weaker."""
    rng = np.random.default_rng(seed)
    net = idf.Network([rng.standard_normal((m, d)), rng.standard_normal((C, m))], activation=activation)
    X, strengths = rng.standard_normal((n, d)), np.where(np.arange(n) < d - 1, 1.0, 3e-3)
    c = rng.standard_normal((n, C)) * strengths[:, None]
    return idf.KKTSystem.gradient(net, layers=net.update(X, c))


class TestPolynomials:
    @pytest.mark.parametrize(
        ("d", "m", "n", "C", "activation"), [slow(3, 30, 4, 2, "z^4 + z"), (2, 20, 3, 2, "z^3"), slow(3, 24, 4, 3, "z + z^2/2 + z^3")]
    )
    def test_weak_samples_are_no_noise(self, d, m, n, C, activation):
        counts = []
        for seed in range(6):
            system = polynomial(d, m, n, C, activation, seed)
            try:
                found = idf.recover(system, budget=4)
            except idf.RecoveryError:
                continue
            counts.append(found.n_samples)
            assert found.n_samples == n or found.uniqueness.status not in SUPPORTED
            if found.n_samples < n and found.residual > 1e-9:
                assert found.uniqueness.reason in (UniquenessReason.REST, UniquenessReason.RESIDUAL)
        assert counts

    def test_a_full_rank_leaves_the_number_open(self):
        """Five numbers have the same cubic moment as one: the data are those of one sample or of more, and both are said."""
        system = polynomial(1, 18, 5, 2, "z^3", 0)
        found = idf.recover(system)
        assert found.n_samples == 1 and found.residual < 1e-12 and found.uniqueness.is_proved and found.uniqueness.is_lower_bound
        assert "it may be that of more samples" in found.uniqueness.explain()
        assert "if there were no more than 1 sample: if the numbers given are right" in brief.of_recovery(found, "")
        given = idf.recover(system, samples=1)
        assert given.uniqueness.is_proved and not given.uniqueness.is_lower_bound


def test_noise_that_is_seen_leaves_the_evidence():
    system, truth = idf.Configuration(inputs=20, samples=4, width=30, activation="z + z^2/2 + z^3").plant(0)
    noise = np.random.default_rng(0).standard_normal(system.target.shape)
    found = idf.recover(system.with_target(system.target + 1e-7 * np.linalg.norm(system.target) / noise.size**0.5 * noise))
    assert found.uniqueness.is_supported and not found.uniqueness.is_lower_bound and found.match(truth.X, truth.c).errors.max() < 1e-3


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize(("sizes", "n"), [((10, 30, 20, 4), 3), ((64, 50, 3), 2), ((784, 128, 64, 10), 5)], ids=str)
def test_a_gradient_in_single_precision_leaves_less_than_one_unit(sizes, n, activation):
    """Computed in float32 by JAX, behind as many singular values as samples: far below what :data:`SURE` takes for rounding."""
    rng = np.random.default_rng(0)
    act = getattr(jax.nn, activation)
    layers = [
        (rng.uniform(-1, 1, (out, into)).astype("f4") / np.float32(into**0.5), rng.uniform(-1, 1, out).astype("f4") / np.float32(into**0.5))
        for into, out in pairwise(sizes)
    ]
    X, y = rng.random((n, sizes[0]), "f4"), rng.integers(sizes[-1], size=n)

    def loss(layers):
        h = X
        for k, (W, b) in enumerate(layers):
            h = h @ W.T + b
            h = act(h) if k + 1 < len(layers) else h
        return -jax.nn.log_softmax(h)[np.arange(n), y].mean()

    for W, b in jax.grad(loss)(layers):
        assert W.dtype == b.dtype == np.float32
        values = np.linalg.svd(np.column_stack([W, b]).astype(float), compute_uv=False)
        if len(values) > n:
            assert values[n] < 2.0**-24 * values[0] < SURE * 2.0**-24 * values[0]
