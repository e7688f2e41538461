"""The batch behind one update: planted instances of every kind, what cannot be told apart, and what must be refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from support.marks import alone, slow

import identify as idf
from identify.conditions.judgement import PATTERN_SCOPE
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.recovery.separation.dense import _refined_multipliers
from identify.recovery.separation.precision import signal_rank
from identify.recovery.solution import Failure, InapplicableError, ResidualError

SIZES = {"inputs": 30, "samples": 8, "width": (48, 40), "outputs": 4, "bias": True}


def planted(seed=0, **changes):
    return idf.Configuration(**{"activation": "relu", **SIZES, **changes}).plant(seed)


def changed(system, change):
    """The same question about updates that went through ``change``."""
    layers = {k: tuple(None if part is None else change(part) for part in update) for k, update in system.layers.items()}
    return idf.KKTSystem.gradient(system.network, layers=layers)


def updated(net, X, c):
    """The question about the exact updates that these data give."""
    pairs = zip(net.signals(X, c), net.forward(X).entering, net.biases, strict=True)
    layers = {k: (u.T @ h, None if b is None else u.sum(axis=0)) for k, (u, h, b) in enumerate(pairs, 1)}
    return idf.KKTSystem.gradient(net, layers=layers)


def worst(found, truth):
    return found.match(truth.X, truth.c).errors.max()


class TestPlanted:
    @pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.1)", "abs", "gelu", "tanh", "silu", "softplus", "sigmoid", "z + z^2/2"])
    @pytest.mark.parametrize("width", [(48, 40), (48, 40, 32)], ids=["three layers", "four layers"])
    def test_every_activation_and_depth(self, activation, width):
        system, truth = planted(activation=activation, width=width)
        found = idf.recover(system, data=(truth.X, truth.c), judge=False)
        assert found.method == "forward separation" and found.n_samples == 8
        assert worst(found, truth) < 1e-10 and found.residual < 1e-10
        match = found.match(truth.X, truth.c)
        assert np.abs(match.c - truth.c).max() < 1e-9 * np.abs(truth.c).max()
        assert found.uniqueness.status is UniquenessStatus.EVIDENCE and found.uniqueness.reason is UniquenessReason.SEPARATED
        assert found.evidence["errors"] == pytest.approx(match.errors.tolist())

    @pytest.mark.once
    def test_more_samples_than_inputs(self):
        system, truth = planted(inputs=6, samples=25, width=(120, 90), activation="gelu")
        found = idf.recover(system, judge=False)
        assert found.n_samples == 25 and worst(found, truth) < 1e-9

    @pytest.mark.parametrize(
        ("options", "seed"),
        [
            ({"inputs": 4, "samples": 5, "width": (29, 20, 22), "outputs": 4}, 894),  # G_1 has five columns
            ({"inputs": 3, "samples": 5, "width": (9, 10), "outputs": 1}, 172),  # G_1 has four
            ({"inputs": 4, "samples": 3, "width": 9, "outputs": 3}, 725),  # G_2 has three rows
        ],
    )
    def test_an_update_with_no_more_rows_or_columns_than_samples(self, options, seed):
        """All its singular values belong to samples, however much they differ: none is noise."""
        system, truth = idf.Configuration(**options, activation="gelu", bias=True).plant(seed)
        found = idf.recover(system, judge=False)
        assert found.n_samples == options["samples"] and worst(found, truth) < 1e-9

    def test_a_layer_without_signals(self):
        system, _ = planted(samples=2)
        zeros = {k: tuple(None if part is None else part * (k > 1) for part in update) for k, update in system.layers.items()}
        with pytest.raises(idf.RecoveryError, match="every number of one of the first two updates is zero"):
            idf.recover(idf.KKTSystem.gradient(system.network, layers=zeros))

    def test_a_deeper_layer_counts_the_samples_where_the_second_does_not(self):
        system, truth = idf.Configuration(inputs=2, samples=5, width=(3, 24, 29), outputs=5, bias=True, activation="tanh").plant(98)
        found = idf.recover(system, judge=False)
        assert found.n_samples == 5 and worst(found, truth) < 1e-9

    def test_two_layers_with_as_many_outputs_as_samples(self):
        system, truth = planted(width=48, samples=4, outputs=6)
        assert worst(idf.recover(system, judge=False), truth) < 1e-10

    def test_first_two_layers_are_enough(self):
        system, truth = planted()
        two = idf.KKTSystem.gradient(system.network, layers={k: system.layers[k] for k in (1, 2)})
        found = idf.recover(two, judge=False)
        assert worst(found, truth) < 1e-10 and np.abs(found.match(truth.X, truth.c).c - truth.c).max() < 1e-9

    @pytest.mark.parametrize(("activation", "group"), [("relu", "positive scaling"), ("tanh", "sign"), ("gelu", "none")])
    def test_networks_without_biases(self, activation, group):
        system, truth = planted(bias=False, activation=activation)
        found = idf.recover(system)
        assert found.ambiguity.group == group and worst(found, truth) < 1e-9
        assert found.residual < 1e-10 and found.error_bars.max() < 1e-6

    def test_biases_that_were_not_observed(self):
        system, truth = planted(activation="gelu")
        found = idf.recover(
            idf.KKTSystem.gradient(system.network, layers={k: update.W for k, update in system.layers.items()}), judge=False
        )
        assert worst(found, truth) < 1e-9

    def test_labels_of_a_softmax_loss(self):
        rng = np.random.default_rng(5)
        system, truth = planted()
        net, labels = system.network, rng.integers(0, 4, 8)
        p = np.exp(net(truth.X))
        c = (np.eye(4)[labels] - p / p.sum(axis=1, keepdims=True)) / 8
        found = idf.recover(updated(net, truth.X, c), judge=False)
        assert np.array_equal(found.labels[found.match(truth.X, c).order], labels)
        minus = idf.recover(updated(net, truth.X, -c), judge=False)
        with pytest.raises(idf.InputError, match="minus the gradient"):
            _ = minus.labels

    @pytest.mark.once
    def test_same_seed_same_bits(self):
        system, _ = planted()
        one, two = (idf.recover(system, seed=3) for _ in range(2))
        assert np.array_equal(one.X, two.X) and np.array_equal(one.c, two.c) and one.evidence == two.evidence

    def test_a_change_of_weights_in_lazy_training(self):
        system, truth = planted(activation="tanh")
        net = system.network
        names = {f"{letter}{k}": part for k, update in system.layers.items() for letter, part in zip("Wb", update, strict=True)}
        final = net.with_parameters({name: net.parameters[name] + names[name] for name in net.parameters})
        assert worst(idf.recover(idf.KKTSystem.lazy(net, final), judge=False), truth) < 1e-7


class TestPrecision:
    """Errors against error bars: root mean square between 0.5 and 2 for each class."""

    @pytest.mark.once
    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("float64", lambda part, rng: part),
            ("float32", lambda part, rng: part.astype(np.float32).astype(float)),
            ("noise", lambda part, rng: part + 1e-4 * np.sqrt(np.mean(part**2)) * rng.standard_normal(part.shape)),
        ],
    )
    def test_error_bars_are_calibrated(self, name, change):
        ratios = []
        for seed in range(6):
            system, truth = planted(seed, activation="gelu" if seed % 2 else "relu", samples=6, width=(80, 60))
            rng = np.random.default_rng(seed)
            found = idf.recover(changed(system, lambda part, rng=rng: change(part, rng)), samples=6, judge=False)
            match = found.match(truth.X, truth.c)
            ratios.extend(match.errors * np.linalg.norm(truth.X, axis=1) / found.error_bars[match.order])
        assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 2, name

    @pytest.mark.once
    def test_small_signals(self):
        """Multipliers over nine orders of magnitude: every sample is found, the weak ones to fewer digits, as their bars say."""
        system, truth = planted(width=(80, 60), activation="gelu")
        c = truth.c * np.logspace(0, -9, 8)[:, None]
        net = system.network
        found = idf.recover(updated(net, truth.X, c), judge=False)
        match = found.match(truth.X, c)
        assert found.n_samples == 8 and match.errors.max() < 1e-4
        assert (match.errors * np.linalg.norm(truth.X, axis=1) < 10 * found.error_bars[match.order]).all()
        assert found.evidence["separation"]["smallest_signal"] < 1e-8


class TestMultipliers:
    def test_refinement_is_least_squares_on_all_layers(self):
        system, truth = planted(samples=4)
        rng = np.random.default_rng(0)
        noisy = changed(system, lambda part: part + 1e-3 * rng.standard_normal(part.shape))
        columns = []
        for k in range(truth.c.size):
            layers = updated(system.network, truth.X, np.eye(truth.c.size)[k].reshape(truth.c.shape)).layers
            columns.append(np.concatenate([part.reshape(-1) for update in layers.values() for part in update if part is not None]))
        target = np.concatenate([part.reshape(-1) for update in noisy.layers.values() for part in update if part is not None])
        oracle = np.linalg.lstsq(np.array(columns).T, target, rcond=None)[0]
        refined = _refined_multipliers(noisy, truth.X, np.zeros_like(truth.c))
        assert np.allclose(refined.reshape(-1), oracle, rtol=1e-9, atol=1e-12)


class TestNotDetermined:
    def twins(self, told_apart_by):
        """Two samples with the same activation pattern in the first hidden layer; the second tells them apart if it is to."""
        system, truth = planted(width=(48, 40))
        net = system.network
        X = truth.X.copy()
        for seed in range(20):
            direction = np.random.default_rng(seed).standard_normal(30)
            passed = [net.forward(X[:1] + t * direction).before[:2] for t in np.linspace(0, 1, 2001)]
            differ = np.array([[np.sum((z > 0) != (start > 0)) for z, start in zip(step, passed[0], strict=True)] for step in passed])
            told = differ[:, 1] >= 1 if told_apart_by == 2 else differ[:, 1] == 0
            wanted = np.flatnonzero((differ[:, 0] == 0) & told)
            if len(wanted) and wanted[-1]:
                break
        X[1] = X[0] + wanted[-1] / 2000 * direction
        whole = updated(net, X, truth.c)
        return idf.KKTSystem.gradient(net, layers={k: whole.layers[k] for k in (1, 2)}), X, truth.c

    def test_samples_on_one_pattern_are_named_and_the_others_returned(self):
        system, X, c = self.twins(told_apart_by=None)
        found = idf.recover(system)
        assert found.n_samples == 6 and found.evidence["separation"]["mixed"] > 0
        assert found.uniqueness.status is UniquenessStatus.EVIDENCE and found.uniqueness.reason is UniquenessReason.ONE_REGION
        assert found.uniqueness.numbers["together"] == 2
        errors = found.match(X, c).errors
        assert np.isinf(errors[:2]).all() and errors[2:].max() < 1e-9

    def test_a_layer_above_whose_slopes_differ_tells_them_apart_although_its_rows_do_not(self):
        """The equations leave both of them the same line; their signals differ, and each is orthogonal to the other's dual."""
        system, X, c = self.twins(told_apart_by=2)
        found = idf.recover(system)
        assert found.n_samples == 8 and found.evidence["separation"]["held"] == 2
        match = found.match(X, c)
        assert match.errors.max() < 1e-8
        assert (match.errors * np.linalg.norm(X, axis=1) < 10 * found.error_bars[match.order]).all()

    @pytest.mark.once
    def test_parallel_signals_hide_samples_from_the_second_layer(self):
        """One output: samples with the same slopes above the first hidden layer count once there. If that is too narrow to find them by its
        own update, the others are returned."""
        system, _ = planted(outputs=1, samples=5, width=(14, 6), inputs=12, seed=4)
        found = idf.recover(system)
        ranks = found.evidence["ranks"]
        assert ranks[1] < ranks[0] == 5
        assert found.n_samples <= ranks[1] and found.uniqueness.reason is UniquenessReason.PARTIAL

    def test_copies_count_once(self):
        system, truth = planted()
        X, c = np.vstack([truth.X, truth.X[:1]]), np.vstack([truth.c, truth.c[:1]])
        net = system.network
        found = idf.recover(updated(net, X, c), judge=False)
        assert found.n_samples == 8 and found.residual < 1e-10

    def test_a_budget_returns_what_there_is(self):
        system, _ = planted(samples=30, inputs=60, width=(90, 80))
        try:
            found = idf.recover(system, budget=1e-6)
        except ResidualError as error:
            assert error.obstacle.kind is Failure.NO_SAMPLE
        else:
            assert found.uniqueness.status is UniquenessStatus.UNKNOWN


class TestRefused:
    @alone
    @pytest.mark.once
    def test_updates_of_another_network(self):
        system, _ = planted(0)
        other, _ = planted(1)
        with pytest.raises(ResidualError) as caught:
            idf.recover(idf.KKTSystem.gradient(other.network, layers=system.layers), budget=20)
        assert caught.value.obstacle.kind in (Failure.NO_SAMPLE, Failure.RESIDUAL)

    @pytest.mark.slow
    @pytest.mark.once
    def test_neurons_in_another_order(self):
        system, _ = planted()
        (W1, b1), (W2, b2) = system.layers[1], system.layers[2]
        with pytest.raises(ResidualError):
            idf.recover(idf.KKTSystem.gradient(system.network, layers={1: (W1[::-1], b1[::-1]), 2: (W2, b2)}), budget=20)

    @pytest.mark.parametrize("samples", [slow(6), 10])
    def test_a_wrong_number_of_samples_gives_no_wrong_data(self, samples):
        system, truth = planted()
        try:
            found = idf.recover(system, samples=samples, budget=20)
        except ResidualError:
            return
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN
        assert min(found.match(truth.X, truth.c).errors) < 1e-6
        nearest = [np.linalg.norm(truth.X - x, axis=1).min() for x in found.X]
        assert max(nearest) < 1e-6

    def test_too_narrow(self):
        system, _ = planted(width=(48, 6), samples=8)
        with pytest.raises(InapplicableError) as caught:
            idf.recover(system)
        assert caught.value.obstacle.kind is Failure.NARROW

    def test_methods_of_polynomial_networks(self):
        system, _ = planted()
        with pytest.raises(idf.InputError, match="method: received 'algebraic', expected one of auto, separate"):
            idf.recover(system, method="algebraic")


@pytest.mark.once
@pytest.mark.parametrize("depth", [2, slow(3)])
def test_evidence_is_never_wrong_for_narrow_networks(depth):
    """Widths around the least that counts allow, where impostors and lines of mixtures exist: what is called evidence holds."""
    statuses = []
    for seed in range(15 if depth == 3 else 10):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 9))
        system, truth = planted(
            seed, inputs=int(rng.integers(2, 12)), samples=n, width=tuple(int(n + rng.integers(1, 25)) for _ in range(depth)), outputs=2
        )
        try:
            found = idf.recover(system, budget=5, seed=seed)
        except idf.RecoveryError:
            continue
        statuses.append(found.uniqueness.status)
        if found.uniqueness.is_supported:
            nearest = [np.linalg.norm(truth.X - x, axis=1).min() for x in found.X]
            assert (nearest <= 20 * found.error_bars + 1e-9).all(), seed
    assert statuses.count(UniquenessStatus.EVIDENCE) + statuses.count(UniquenessStatus.PROVED) >= 2


@pytest.mark.parametrize(
    ("activation", "scope"),
    [("gelu", "generic network"), ("relu", PATTERN_SCOPE), ("leaky_relu(0.1)", PATTERN_SCOPE), ("abs", PATTERN_SCOPE)],
)
def test_recovered_data_carry_the_proof(activation, scope):
    system, truth = planted(activation=activation, width=(48, 40))
    found = idf.recover(system)
    assert found.uniqueness.status is UniquenessStatus.PROVED and found.uniqueness.scope.network == scope
    assert scope in found.uniqueness.explain() and worst(found, truth) < 1e-10


def test_a_proof_within_rounding_is_withheld():
    """Samples so near to a kink that the error bars do not tell its side: the pattern of the recovered numbers proves nothing."""
    system, truth = planted(activation="relu", width=(48, 40))
    net, X = system.network, truth.X
    biases = [net.biases[0].copy(), *net.biases[1:]]
    biases[0][0] = 3e-14 - net.weights[0][0] @ X[0]
    found = idf.recover(updated(idf.Network(net.weights, biases=biases, activation="relu"), X, truth.c))
    assert found.n_samples == 8 and found.uniqueness.status is UniquenessStatus.EVIDENCE


class TestCheckpoints:
    @pytest.mark.once
    @pytest.mark.parametrize("layers", [(1, 2), (1,)], ids=["forward", "backward"])
    def test_a_search_begins_with_what_an_earlier_one_found(self, layers, tmp_path):
        system, truth = planted(activation="gelu", width=(48, 40) if len(layers) > 1 else 60)
        part = idf.KKTSystem.gradient(system.network, layers={k: system.layers[k] for k in layers})
        first = idf.recover(part, checkpoint=tmp_path, judge=False)
        (path,) = tmp_path.glob("*.npz")
        kept = np.load(path)["rows"]
        np.savez(path, rows=kept[:5])  # as an interruption leaves it
        second = idf.recover(part, checkpoint=tmp_path, judge=False)
        assert worst(second, truth) < 1e-9 and worst(first, truth) < 1e-9
        whole = idf.recover(part, checkpoint=tmp_path, judge=False)
        assert len(np.load(path)["rows"]) == 8
        numbers = next(value for value in whole.evidence.values() if isinstance(value, dict) and "rounds" in value)
        assert numbers["rounds"] == 0 and worst(whole, truth) < 1e-9

    @pytest.mark.once
    def test_a_folder_belongs_to_its_question(self, tmp_path):
        system, _ = planted()
        idf.recover(system, checkpoint=tmp_path, judge=False)
        other, _ = planted(1)
        with pytest.raises(idf.InputError, match="checkpoint"):
            idf.recover(other, checkpoint=tmp_path)

    @pytest.mark.once
    def test_rows_that_are_no_samples_do_no_harm(self, tmp_path):
        system, truth = planted()
        idf.recover(system, checkpoint=tmp_path, judge=False)
        (path,) = tmp_path.glob("*.npz")
        np.savez(path, rows=np.random.default_rng(0).standard_normal((6, 31)))
        assert worst(idf.recover(system, checkpoint=tmp_path, judge=False), truth) < 1e-10

    def test_starts_are_not_for_separation(self):
        system, _ = planted()
        with pytest.raises(idf.InputError, match="starts"):
            idf.recover(system, starts=10)


class TestDependentSignals:
    """A narrow second layer in which some samples have the same slopes, behind one output: its update does not count them."""

    @staticmethod
    def system(seed, activation="relu", outputs=1, samples=3):
        rng, sizes = np.random.default_rng(seed), (20, 100, 6, outputs)
        W = [rng.standard_normal((b, a)) / a**0.5 for a, b in pairwise(sizes)]
        net = idf.Network(W, biases=[rng.standard_normal(k) * 0.1 for k in sizes[1:]], activation=activation)
        X = rng.standard_normal(20) + 0.5 * rng.standard_normal((samples, 20))
        c = rng.standard_normal(samples) if outputs == 1 else rng.standard_normal((samples, outputs))
        return idf.KKTSystem.gradient(net, layers=net.update(X, c)), X, c

    @pytest.mark.parametrize("seed", [0, 1, 4])
    def test_found_by_the_first_layer_within_the_columns_of_the_second(self, seed):
        system, X, c = self.system(seed)
        found = idf.recover(system)
        assert found.method == "quadrics" and found.evidence["ranks"] == [3, 2, 1] and found.match(X, c).errors.max() < 1e-9
        assert "has rank 2, too small for 3 samples" in found.evidence["chosen"]
        assert found.uniqueness.is_supported

    def test_all_independent(self):
        """Then forward separation finds them, as before."""
        system, X, c = self.system(0, outputs=3)
        found = idf.recover(system)
        assert found.method == "forward separation" and found.match(X, c).errors.max() < 1e-9

    def test_another_network(self):
        system, *_ = self.system(0)
        net = system.network
        other = idf.Network([net.weights[0], net.weights[1][:, ::-1], net.weights[2]], biases=net.biases, activation="relu")
        with pytest.raises(idf.RecoveryError):
            idf.recover(idf.KKTSystem.gradient(other, layers={k: tuple(update) for k, update in system.layers.items()}), budget=5)


def test_singular_values_of_zero_are_divided_by_in_silence():
    assert signal_rank(np.array([1e3, 1e-300, 0.0]), 2.0**-53, (3, 4)) == 1 and signal_rank(np.zeros(3), 2.0**-53, (3, 4)) == 0
