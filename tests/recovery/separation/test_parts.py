"""Batches behind some of the layers: what the table of ``exposed`` says, recoveries do, with digits; and what it excludes is refused."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from support.marks import once, slow

import identify as idf
from identify.base.limits import Clock, Stopped
from identify.conditions.networks.parts import Way
from identify.problem.exposure import Exposed, ExposedBy, Method
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.recovery.separation.inversion import inverted_through
from identify.recovery.solution import Failure, Family, InapplicableError, NotDeterminedError, ResidualError
from identify.recovery.starts import ENOUGH_CONVERGED

datasets = pytest.importorskip("sklearn.datasets")
CLASSES = 10


def digits(n, seed=1):
    data = datasets.load_digits()
    chosen = np.random.default_rng(seed).choice(len(data.data), n, replace=False)
    return data.data[chosen] / 16, data.target[chosen]


def network(activation, *widths, inputs=64, seed=0):
    """With PyTorch's default initialisation."""
    sizes, rng = (inputs, *widths, CLASSES), np.random.default_rng(seed)
    pairs = list(pairwise(sizes))
    weights = [rng.uniform(-1, 1, (out, inside)) / inside**0.5 for inside, out in pairs]
    return idf.Network(weights, biases=[rng.uniform(-1, 1, out) / inside**0.5 for inside, out in pairs], activation=activation)


def updates_of(net, X, y):
    """Of the mean cross-entropy, by layer, with its multipliers."""
    c = (np.eye(CLASSES)[y] - softmax(net(X), axis=1)) / len(X)
    passed, signals = net.forward(X), net.signals(X, c)
    return {k + 1: (u.T @ h, u.sum(axis=0)) for k, (u, h) in enumerate(zip(signals, passed.entering, strict=True))}, c


def recovered(net, n, layers, **options):
    """Data, multipliers, and what comes back from some of the layers."""
    X, y = digits(n)
    updates, c = updates_of(net, X, y)
    found = idf.recover(idf.KKTSystem.gradient(net, layers={k: updates[k] for k in layers}), **({"judge": False} | options))
    return X, y, c, found


GELU, RELU, WIDE = network("gelu", 128, 96), network("relu", 200, 160), network("relu", 256, 192)
ROWS = [
    once(GELU, 8, (1,), Method.BACKWARD, Exposed.POSSIBLE),
    (GELU, 8, (2,), Method.HEAD, Exposed.PROVED_GENERIC),
    (GELU, 5, (3,), Method.FEATURES, Exposed.PROVED_GENERIC),
    once(GELU, 8, (2, 3), Method.HEAD, Exposed.PROVED_GENERIC),
    once(GELU, 5, (1, 3), Method.FEATURES, Exposed.PROVED_GENERIC),
    (GELU, 8, (1, 2), Method.FORWARD, Exposed.PROVED_GENERIC),
    (RELU, 6, (1,), Method.ZEROS, Exposed.POSSIBLE),
    once(RELU, 6, (2,), Method.FEATURES, Exposed.POSSIBLE),
    slow(WIDE, 5, (3,), Method.FEATURES, Exposed.POSSIBLE),
    once(RELU, 6, (2, 3), Method.HEAD, Exposed.POSSIBLE),
    slow(RELU, 6, (1, 3), Method.FEATURES, Exposed.POSSIBLE),
    once(RELU, 6, (1, 2, 3), Method.FORWARD, Exposed.POSSIBLE),
]


@pytest.mark.parametrize(("net", "n", "layers", "method", "status"), ROWS)
def test_each_row_of_the_table_is_recovered(net, n, layers, method, status):
    row = idf.exposed(net, layers, samples=n).rows[0]
    X, y, c, found = recovered(net, n, layers)
    assert found.n_samples == n and found.match(X, c).errors.max() < 1e-8 and found.residual < 1e-9
    assert row.samples.status is status and row.count.status is not Exposed.NO
    match = found.match(X, c)
    assert np.allclose(match.c, c, atol=1e-6 * np.abs(c).max())
    assert sorted(found.labels) == sorted(y)
    assert (found.relative_error_bars > 0).all() and found.relative_error_bars.max() < 1e-8
    assert found.uniqueness.status is UniquenessStatus.EVIDENCE
    assert row.samples.method is method
    if layers == (2,) and method is Method.HEAD:
        assert found.evidence["inversion"] == {"features": n, "inverted": n, "ambiguous": 0}


class TestOneSample:
    @pytest.mark.parametrize("net", [GELU, RELU], ids=["gelu", "relu"])
    def test_first_layer(self, net):
        X, y, c, found = recovered(net, 1, (1,))
        assert found.method == "row" and found.match(X, c).errors.max() < 1e-12 and found.labels == y
        assert idf.exposed(net, (1,), samples=1).rows[0].samples.method is Method.ROW

    def test_biases(self):
        small = network("gelu", 24, 9, inputs=8)
        X, y = np.random.default_rng(2).standard_normal((1, 8)), np.array([3])
        updates, c = updates_of(small, X, y)
        system = idf.KKTSystem.gradient(small, layers={k: (None, part[1]) for k, part in updates.items()})
        found = idf.recover(system)
        assert found.method == "signals" and found.match(X, c).errors.max() < 1e-9 and found.labels == y
        assert found.uniqueness.reason is UniquenessReason.ONE_SOLUTION and found.uniqueness.numbers["converged"] == ENOUGH_CONVERGED
        assert idf.exposed(small, "biases", samples=1)["biases"].samples.method is Method.SIGNALS

    def test_biases_when_the_time_is_spent(self, monkeypatch):
        """A sample that too few starts confirm is returned, and nothing is claimed for it."""
        small = network("gelu", 24, 9, inputs=8)
        X, y = np.random.default_rng(2).standard_normal((1, 8)), np.array([3])
        updates, c = updates_of(small, X, y)
        system = idf.KKTSystem.gradient(small, layers={k: (None, part[1]) for k, part in updates.items()})
        calls = []

        def go_on(clock):
            calls.append(clock)
            if len(calls) > 40:
                clock.interrupted = Stopped.OUT_OF_TIME
            return not clock.interrupted

        monkeypatch.setattr(Clock, "go_on", go_on)
        found = idf.recover(system)
        assert found.match(X, c).errors.max() < 1e-9 and found.uniqueness.numbers["converged"] < ENOUGH_CONVERGED
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN and found.uniqueness.reason is UniquenessReason.FEW_STARTS

    def test_biases_of_two_samples_are_those_of_no_single_one(self):
        small = network("tanh", 12, 9, inputs=5)
        X = np.random.default_rng(0).standard_normal((2, 5))
        updates, _ = updates_of(small, X, np.array([1, 4]))
        system = idf.KKTSystem.gradient(small, layers={k: (None, part[1]) for k, part in updates.items()})
        with pytest.raises(ResidualError, match="biases alone show one sample only") as caught:
            idf.recover(system)
        assert caught.value.obstacle.kind is Failure.NO_SAMPLE


class TestRefused:
    @pytest.mark.parametrize("layers", [(2,), (3,), (2, 3)])
    def test_kernel(self, layers):
        narrow = network("gelu", 48, 40)
        with pytest.raises(NotDeterminedError, match="moves along the kernel of W_1") as caught:
            recovered(narrow, 4, layers)
        assert caught.value.family is Family.KERNEL and caught.value.dimension == 4 * (64 - 48)
        assert idf.exposed(narrow, layers, samples=4).rows[0].samples.reason is ExposedBy.KERNEL

    def test_what_enters_the_layer_is_found_all_the_same(self):
        narrow = network("gelu", 48, 40)
        X, y = digits(4)
        updates, c = updates_of(narrow, X, y)
        above = idf.Network(narrow.weights[1:], biases=narrow.biases[1:], activation="gelu")
        found = idf.recover(idf.KKTSystem.gradient(above, layers={1: updates[2], 2: updates[3]}))
        assert found.match(narrow.forward(X).entering[1], c).errors.max() < 1e-10
        assert idf.exposed(narrow, (2, 3), samples=4).rows[0].features.status is Exposed.PROVED_GENERIC

    def test_cells(self):
        X, y = digits(2)
        updates, _ = updates_of(RELU, X, y)
        with pytest.raises(NotDeterminedError, match="linear regions") as caught:
            idf.recover(idf.KKTSystem.gradient(RELU, layers={k: (None, part[1]) for k, part in updates.items()}))
        assert caught.value.family is Family.REGION

    def test_bottleneck_and_count(self):
        deep = network("tanh", 9, 4, 12, inputs=6)
        X, y = np.random.default_rng(0).standard_normal((2, 6)), np.array([1, 2])
        updates, _ = updates_of(deep, X, y)
        with pytest.raises(NotDeterminedError) as caught:
            idf.recover(idf.KKTSystem.gradient(deep, layers={4: updates[4]}))
        assert caught.value.family is Family.BOTTLENECK and caught.value.dimension == 2 * (6 - 4)
        wide = network("tanh", 6, inputs=6)
        X, y = np.random.default_rng(0).standard_normal((9, 6)), np.arange(9)
        updates, _ = updates_of(wide, X, y)
        with pytest.raises(NotDeterminedError) as caught:
            idf.recover(idf.KKTSystem.gradient(wide, layers={2: (updates[2][0], None)}), samples=12)
        assert caught.value.family is Family.PARTS and caught.value.dimension == 12 * 6 - 9 * 6

    def test_no_method(self):
        with pytest.raises(InapplicableError, match="identify.exposed says") as caught:
            recovered(RELU, 14, (1,))
        assert caught.value.obstacle.kind is Failure.PARTS and caught.value.evidence["samples"] == 14
        assert idf.exposed(RELU, (1,), samples=14).rows[0].samples.method is None

    @pytest.mark.parametrize("layers", [(1,), (2,), (3,)])
    def test_another_network(self, layers):
        """Negative control: the updates of one network, the weights of another."""
        small, other = (network("gelu", 30, 12, inputs=5, seed=seed) for seed in (0, 3))
        X = np.random.default_rng(0).standard_normal((3, 5))
        updates, _ = updates_of(small, X, np.array([0, 1, 2]))
        system = idf.KKTSystem.gradient(other, layers={k: updates[k] for k in layers})
        with pytest.raises(ResidualError):
            idf.recover(system, budget=1.5)

    def test_options(self, tmp_path):
        X, y = digits(3)
        updates, _ = updates_of(GELU, X, y)
        system = idf.KKTSystem.gradient(GELU, layers={3: updates[3]})
        with pytest.raises(idf.InputError, match="checkpoint: received a folder"):
            idf.recover(system, checkpoint=tmp_path)
        with pytest.raises(idf.InputError, match="starts: received 3"):
            idf.recover(system, starts=3)


def test_an_update_of_full_rank_counts_its_rows():
    """Three samples and three outputs: singular values that fall by more than a factor of three are signals all the same."""
    system, truth = idf.Configuration(inputs=7, samples=3, width=15, activation="gelu", outputs=3, bias=True, layers="second").plant(21)
    found = idf.recover(system, judge=False)
    assert found.n_samples == 3 and found.match(truth.X, truth.c).errors.max() < 1e-9


def test_a_first_layer_whose_neurons_are_all_inactive():
    system, _ = idf.Configuration(inputs=4, samples=1, width=(3, 27), activation="relu", outputs=3, bias=True, layers=(1, 3)).plant(302)
    assert not any(part.any() for part in system.layers[1])
    with pytest.raises(idf.RecoveryError):
        idf.recover(system)


def test_two_layers_of_relu_too_narrow_for_quadrics():
    """The first of two layers: 28 + 8·10 unknowns of quadrics, 90 neurons."""
    X, _, c, found = recovered(network("relu", 90), 7, (1,))
    assert found.method == Method.ZEROS and found.match(X, c).errors.max() < 1e-9


@pytest.mark.once
def test_float32_updates():
    small = network("gelu", 40, 30, inputs=10)
    X, y = np.random.default_rng(0).standard_normal((5, 10)), np.arange(5)
    updates, c = updates_of(small, X, y)
    rounded = {k: tuple(part.astype(np.float32) for part in pair) for k, pair in updates.items()}
    for layers in ((2,), (3,)):
        found = idf.recover(idf.KKTSystem.gradient(small, layers={k: rounded[k] for k in layers}), judge=False)
        errors = found.match(X, c).errors
        assert found.n_samples == 5 and errors.max() < 1e-4
        assert (np.sort(errors) < 6 * np.sort(found.relative_error_bars) + 1e-6).all()


def test_the_most_promising_way_comes_first():
    assert Way(Method.HEAD, 88, 7, 2).equations / 7 > 121 / 64  # features by two layers, or x by one
    assert idf.exposed(GELU, (2, 3), samples=8).rows[0].samples.method is Method.HEAD
    assert idf.exposed(GELU, (2, 3), samples=30).rows[0].samples.method is Method.HEAD  # signals of layer 2 alone
    assert idf.exposed(GELU, (2, 3), samples=60).rows[0].samples.method is Method.FEATURES


class TestInversion:
    @pytest.mark.parametrize("activation", ["gelu", "relu", "tanh", "leaky_relu"])
    def test_of_two_layers(self, activation):
        net = network(activation, 40, 90, inputs=9)
        X = np.random.default_rng(0).standard_normal((3, 9))
        for x, h in zip(X, net.forward(X).entering[2], strict=True):
            found = inverted_through(net, 3, h, np.random.default_rng(1))
            assert np.linalg.norm(found.x - x) < 1e-9 and found.is_settled and not found.is_ambiguous and 0 < found.factor < 1e3

    def test_ambiguous_and_impossible(self):
        net = network("relu", 8, inputs=6)
        assert inverted_through(net, 2, -np.ones(8), np.random.default_rng(0)) is None
        h = net.forward(np.random.default_rng(3).standard_normal((1, 6))).entering[1][0]
        found = inverted_through(net, 2, h, np.random.default_rng(0))
        assert np.sum(h > 0) < 6 and found.is_ambiguous and found.factor == np.inf

    def test_time_that_is_spent(self):
        """Nothing is found, or it is not said to be the only one."""
        net = network("gelu", 40, inputs=9)
        h = net.forward(np.random.default_rng(0).standard_normal((1, 9))).entering[1][0]
        assert inverted_through(net, 2, h, np.random.default_rng(1), lambda: False) is None
        calls = []
        found = inverted_through(net, 2, h, np.random.default_rng(1), lambda: len(calls) < 12 and not calls.append(1))
        assert not found.is_settled and not found.is_ambiguous and found.factor < 1e3


class TestBehindExtractors:
    """A head on a frozen extractor: its features come first; then its inputs, if the extractor is known."""

    @staticmethod
    def extractor(inputs=20, features=96):
        """Patches, a residual block and LayerNorm, as a function of JAX."""
        rng = np.random.default_rng(0)
        first, inner, outer = (
            rng.standard_normal(shape) / shape[1] ** 0.5 for shape in ((features, inputs), (64, features), (features, 64))
        )

        def phi(x):
            h = jnp.tanh(first @ x)
            h = h + outer @ jax.nn.gelu(inner @ h)
            return (h - h.mean()) / jnp.sqrt(h.var() + 1e-5)

        return phi

    def test_features_by_the_head_then_inputs_by_the_map(self):
        phi, head = self.extractor(), network("relu", 128, 64, inputs=96)
        X, y = np.random.default_rng(1).standard_normal((6, 20)), np.arange(6)
        with jax.enable_x64(True):
            H = np.array([np.asarray(phi(x)) for x in X])
        updates, c = updates_of(head, H, y)
        features = idf.recover(idf.KKTSystem.gradient(head, layers=updates))
        assert features.match(H, c).errors.max() < 1e-9
        found = idf.recover(idf.KKTSystem.features(phi, 20, W=updates[1][0], bias=updates[1][1]))
        assert found.n_samples == 6 and found.uniqueness.status is UniquenessStatus.EVIDENCE
        order = [int(np.linalg.norm(X - x, axis=1).argmin()) for x in found.X]
        assert sorted(order) == list(range(6)) and np.linalg.norm(found.X - X[order], axis=1).max() < 1e-8

    def test_a_linear_head_on_wide_embeddings(self):
        """768 features and one dense layer: five samples and their labels, each from the equations of one sample."""
        rng = np.random.default_rng(0)
        W, b = rng.standard_normal((768, 16)) / 4, rng.standard_normal(768)

        def phi(x):
            h = jax.nn.gelu(W @ x + b)
            return (h - h.mean()) / jnp.sqrt(h.var() + 1e-5)

        X, y = rng.standard_normal((5, 16)), np.array([3, 1, 4, 1, 5])
        with jax.enable_x64(True):
            H = np.array([np.asarray(phi(x)) for x in X])
        head = rng.standard_normal((CLASSES, 768)) / 768**0.5
        c = (np.eye(CLASSES)[y] - softmax(H @ head.T, axis=1)) / 5
        found = idf.recover(idf.KKTSystem.features(phi, 16, W=c.T @ H, bias=c.sum(axis=0)))
        order = [int(np.linalg.norm(X - x, axis=1).argmin()) for x in found.X]
        assert sorted(order) == list(range(5)) and np.linalg.norm(found.X - X[order], axis=1).max() < 1e-8
        assert found.labels.tolist() == y[order].tolist()
