"""The batch behind the update of the first of two layers: searched sample by sample, or read off the kernel of the quadrics."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from support.marks import alone, once, slow

import identify as idf
from identify.base.limits import TooLargeError
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.recovery.separation.columns import SignalColumns
from identify.recovery.separation.forward import Chart
from identify.recovery.separation.membership import Position, normal_equations
from identify.recovery.separation.quadrics import Quadrics, kernel_of, unknowns
from identify.recovery.solution import Failure, InapplicableError, ResidualError

SIZES = {"inputs": 30, "samples": 6, "width": 160, "bias": True}
ANALYTIC = ("gelu", "tanh", "silu", "sigmoid", "softplus", "cos", "exp")
PIECES = ("relu", "leaky_relu(0.1)", "abs", "hard_tanh", "relu6")


def planted(seed=0, *, bias=True, second=False, **changes):
    """The question about the first layer's update, and its answer. ``bias``: whether that of the biases was observed."""
    full, truth = idf.Configuration(**{"activation": "relu", **SIZES, **changes}).plant(seed)
    first, last = full.updates
    layers = {1: (first.W, first.bias if bias else None)} | ({2: last.W} if second else {})
    return idf.KKTSystem.gradient(full.network, layers=layers), truth


def changed(system, change):
    (first, _) = system.updates
    return idf.KKTSystem.gradient(system.network, layers={1: tuple(None if part is None else change(part) for part in first)})


def updated(net, X, c):
    """The question about the exact first update that these data give."""
    u = net.signals(X, c)[0]
    return idf.KKTSystem.gradient(net, layers={1: (u.T @ X, u.sum(axis=0))})


def worst(found, truth):
    match = found.match(truth.X, truth.c)
    c = truth.c.reshape(match.c.shape)
    return max(match.errors.max(), np.abs(match.c - c).max() / np.abs(c).max())


class TestPlanted:
    @pytest.mark.parametrize("outputs", [1, 3])
    @pytest.mark.parametrize("activation", ANALYTIC)
    def test_backward_separation(self, activation, outputs):
        system, truth = planted(activation=activation, outputs=outputs)
        found = idf.recover(system, judge=False)
        assert found.method == "backward separation" and found.n_samples == 6
        assert worst(found, truth) < 1e-11 and found.residual < 1e-12
        assert found.uniqueness.status is UniquenessStatus.EVIDENCE and found.uniqueness.reason is UniquenessReason.SEPARATED

    @pytest.mark.parametrize("outputs", [1, 3])
    @pytest.mark.parametrize("activation", PIECES)
    def test_quadrics(self, activation, outputs):
        system, truth = planted(activation=activation, outputs=outputs)
        found = idf.recover(system, judge=False)
        assert found.method == "quadrics" and worst(found, truth) < 1e-12 and found.residual < 1e-12
        assert found.uniqueness.status is UniquenessStatus.EVIDENCE and found.uniqueness.reason is UniquenessReason.KERNEL
        numbers = found.evidence["quadrics"]
        assert numbers["kernel"] < 1e-10 < 1e-3 < numbers["next"] and not any(numbers["beside"])

    @pytest.mark.once
    @pytest.mark.parametrize("second", [False, True])
    @pytest.mark.parametrize(
        ("activation", "groups"),
        [
            ("relu", ("positive scaling", "positive scaling")),
            ("abs", ("even scaling", "even scaling")),
            ("hard_tanh", ("scaling", "sign")),  # the first update leaves an interval of scales, the second fixes them
            ("tanh", ("sign", "sign")),
            ("cos", ("sign", "sign")),
            ("sigmoid", ("sign", "none")),  # its derivative is even, and it is not odd
            ("gelu", ("none", "none")),
        ],
    )
    def test_networks_without_biases(self, activation, groups, second):
        system, truth = unbiased(activation, second)
        found = idf.recover(system)
        assert found.ambiguity.group == groups[second] and worst(found, truth) < 1e-11

    def test_biases_that_were_not_observed(self):
        """A smooth network fixes the samples all the same; with slopes that jump, the scale of each is open within an interval."""
        system, truth = planted(activation="gelu", outputs=3, bias=False)
        assert worst(idf.recover(system, judge=False), truth) < 1e-11
        system, truth = planted(outputs=3, bias=False)
        found = idf.recover(system)
        assert found.ambiguity.group == "positive scaling" and worst(found, truth) < 1e-12 and found.residual < 1e-12
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN and found.uniqueness.reason is UniquenessReason.INTERVALS

    @pytest.mark.parametrize("activation", ["relu", "hard_tanh"])
    def test_the_second_update_fixes_scales(self, activation):
        system, truth = planted(outputs=3, bias=False, second=True, activation=activation)
        found = idf.recover(system)
        assert found.ambiguity.group == "none" and worst(found, truth) < 1e-11
        assert found.uniqueness.is_supported

    def test_labels_of_a_softmax_loss(self):
        rng = np.random.default_rng(5)
        system, truth = planted(outputs=4)
        net, labels = system.network, rng.integers(0, 4, 6)
        p = np.exp(net(truth.X))
        c = (np.eye(4)[labels] - p / p.sum(axis=1, keepdims=True)) / 6
        for sign in (1, -1):
            found = idf.recover(updated(net, truth.X, sign * c), judge=False)
            assert found.match(truth.X, sign * c).errors.max() < 1e-12
            if sign == 1:
                assert np.array_equal(found.labels[found.match(truth.X, c).order], labels)
            else:
                with pytest.raises(idf.InputError, match="minus the gradient"):
                    _ = found.labels

    @pytest.mark.once
    @pytest.mark.parametrize("activation", ["gelu", "relu"])
    @pytest.mark.parametrize("samples", [1, 2])
    def test_one_sample_and_two(self, activation, samples):
        for outputs in (1, 3):
            system, truth = planted(activation=activation, samples=samples, outputs=outputs)
            assert worst(idf.recover(system, judge=False), truth) < 1e-13
            system, truth = unbiased(activation, False, samples=samples)
            assert worst(idf.recover(system, judge=False), truth) < 1e-13

    @pytest.mark.once
    def test_same_seed_same_bits(self):
        for activation in ("relu", "gelu"):
            system, _ = planted(activation=activation)
            one, two = (idf.recover(system, seed=3) for _ in range(2))
            assert np.array_equal(one.X, two.X) and np.array_equal(one.c, two.c) and one.evidence == two.evidence

    def test_why_it_was_chosen(self):
        system, _ = planted()
        assert idf.recover(system, judge=False).evidence["chosen"] == "only the first of two layers was observed"
        system, _ = planted(outputs=3, second=True)
        assert idf.recover(system, judge=False).evidence["chosen"] == "the second update has 3 rows, too few for 6 samples"
        assert idf.recover(system, method="separate", judge=False).method == "quadrics"


def unbiased(activation, second, **changes):
    full, truth = idf.Configuration(**SIZES | {"bias": False} | changes, activation=activation, outputs=3).plant(0)
    first, last = full.updates
    return idf.KKTSystem.gradient(full.network, layers={1: first.W} | ({2: last.W} if second else {})), truth


class TestPrecision:
    @pytest.mark.parametrize("activations", [("gelu", "tanh"), ("relu", "abs")])
    @pytest.mark.parametrize(
        ("name", "change"),
        [
            once("float64", lambda part, rng: part),
            once("float32", lambda part, rng: part.astype(np.float32).astype(float)),
            once("bfloat16", lambda part, rng: part.astype(ml_dtypes.bfloat16).astype(float)),
            ("noise", lambda part, rng: part + 1e-5 * np.sqrt(np.mean(part**2)) * rng.standard_normal(part.shape)),
        ],
    )
    def test_error_bars_are_calibrated(self, name, change, activations):
        """Errors against error bars: root mean square between 0.5 and 2."""
        ratios = []
        for seed in range(6):
            system, truth = planted(seed, activation=activations[seed % 2], outputs=1 + 2 * (seed % 3 == 0))
            rng = np.random.default_rng(seed)
            found = idf.recover(changed(system, lambda part, rng=rng: change(part, rng)), samples=6, judge=False)
            match = found.match(truth.X, truth.c)
            ratios.extend(match.errors * np.linalg.norm(truth.X, axis=1) / found.error_bars[match.order])
        assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 2, name

    @pytest.mark.parametrize("activation", ["gelu", "relu"])
    def test_small_signals(self, activation):
        """Multipliers over six orders of magnitude: every sample is found, the weak ones to fewer digits."""
        system, truth = planted(activation=activation)
        c = truth.c * np.logspace(0, -6, 6)
        found = idf.recover(updated(system.network, truth.X, c[:, None]), judge=False)
        match = found.match(truth.X, c)
        assert found.n_samples == 6 and match.errors.max() < 1e-6
        assert (match.errors * np.linalg.norm(truth.X, axis=1) < 10 * found.error_bars[match.order]).all()
        assert found.evidence["separation"]["smallest_signal"] < 1e-5


class TestRefused:
    @pytest.mark.once
    @pytest.mark.parametrize("activation", ["relu", slow("gelu")])
    def test_updates_of_another_network(self, activation):
        system, _ = planted(0, activation=activation)
        other, _ = planted(1, activation=activation)
        with pytest.raises(ResidualError) as caught:
            idf.recover(idf.KKTSystem.gradient(other.network, layers=system.layers), budget=20)
        assert caught.value.obstacle.kind in (Failure.NO_SAMPLE, Failure.NOT_PIECES, Failure.NO_KERNEL)

    @pytest.mark.once
    @pytest.mark.parametrize("activation", ["relu", slow("gelu")])
    def test_neurons_in_another_order(self, activation):
        system, _ = planted(activation=activation)
        with pytest.raises(ResidualError) as caught:
            idf.recover(changed(system, lambda part: part[::-1]), budget=20)
        assert caught.value.obstacle.kind in (Failure.NO_SAMPLE, Failure.NOT_PIECES, Failure.NO_KERNEL)

    def test_slopes_of_another_network(self):
        """The same output weights and other first-layer weights: the kernel is that of the data, the slopes are not."""
        system, _ = planted()
        net = system.network
        other = idf.Network([net.weights[0][:, ::-1], net.weights[1]], biases=[net.biases[0], None], activation="relu")
        with pytest.raises(ResidualError) as caught:
            idf.recover(idf.KKTSystem.gradient(other, layers=system.layers))
        assert caught.value.obstacle.kind is Failure.NOT_PIECES and caught.value.obstacle.numbers["refused"] == 6

    @pytest.mark.parametrize(
        ("activation", "samples", "kind"),
        [("relu", 5, None), slow("gelu", 5, None), ("relu", 7, Failure.LOW_RANK), ("gelu", 7, Failure.LOW_RANK)],
    )
    def test_a_wrong_number_of_samples_gives_no_wrong_data(self, activation, samples, kind):
        system, _ = planted(activation=activation)
        with pytest.raises((ResidualError, InapplicableError)) as caught:
            idf.recover(system, samples=samples, budget=20)
        assert kind is None or caught.value.obstacle.kind is kind

    def test_too_few_neurons(self):
        system, _ = planted(width=32)
        with pytest.raises(InapplicableError, match="quadrics: 27 unknowns for 6 samples") as caught:
            idf.recover(idf.KKTSystem.gradient(planted(width=18)[0].network, layers=planted(width=18)[0].layers))
        assert caught.value.obstacle.kind is Failure.QUADRICS_NARROW and caught.value.obstacle.numbers["needed"] == 21
        system, _ = planted(width=10, activation="gelu")
        with pytest.raises(InapplicableError) as caught:
            idf.recover(system)
        assert caught.value.obstacle.kind is Failure.FEW_NEURONS and caught.value.obstacle.numbers["unknowns"] == 5

    @alone
    @pytest.mark.once
    def test_as_many_equations_as_unknowns_prove_nothing(self):
        """At m = 2n + C - 2 other points solve the equations of one sample in some instances; one neuron more, and almost none has any."""
        for width, status in ((11, UniquenessStatus.UNKNOWN), (12, UniquenessStatus.PROVED)):
            outcomes = []
            for seed in range(4):
                system, truth = planted(seed, width=width, activation="gelu", inputs=8, outputs=1)
                try:
                    found = idf.recover(system, budget=10)
                except ResidualError:
                    continue
                if found.n_samples == 6:
                    outcomes.append(found.uniqueness.status)
                    if status is UniquenessStatus.PROVED:
                        assert worst(found, truth) < 1e-4
            assert outcomes and set(outcomes) == {status}

    @pytest.mark.parametrize("signs", [1, -1])
    def test_samples_on_one_pattern(self, signs):
        """Their signals are parallel, and the rank counts them once. Their mean, with weights of one sign, is a sample as good as they are;
        with weights of both signs a point outside their segment, of other slopes: it is left out, and the others are returned."""
        system, truth = planted(seed=1)
        net, X, c = system.network, truth.X.copy(), truth.c.copy()
        direction = np.random.default_rng(0).standard_normal(30)
        z, slope = net.forward(X[:1]).before[0][0], net.weights[0] @ direction
        X[1] = X[0] + direction * 0.5 * np.abs(z / slope).min()
        c[1] = signs * 0.9 * c[0]
        found = idf.recover(updated(net, X, c[:, None]))
        assert found.n_samples == (5 if signs > 0 else 4)
        errors = found.match(X[2:], c[2:]).errors
        assert errors.max() < 1e-11
        if signs < 0:
            assert found.uniqueness.status is UniquenessStatus.UNKNOWN and found.uniqueness.reason is UniquenessReason.PARTIAL
            assert found.evidence["quadrics"]["mixed"] == 1

    @pytest.mark.parametrize("activation", ["hard_sigmoid", "soft_shrink(0.1)"])
    def test_neurons_that_never_leave_one_piece(self, activation):
        """All patterns are the same, so everything in the column space solves the quadrics."""
        system, _ = planted(activation=activation)
        with pytest.raises(InapplicableError) as caught:
            idf.recover(system)
        numbers = caught.value.obstacle.numbers
        assert caught.value.obstacle.kind is Failure.KERNEL and numbers["following"] < 1e-10 and numbers["samples"] == 6

    @pytest.mark.once
    @pytest.mark.parametrize("activation", [slow("gelu"), "relu"])
    def test_more_samples_than_the_rank_can_show(self, activation):
        """As many as columns are found; with one more, the column space is that of mixtures, and no sample lies in it."""
        sizes = {"inputs": 6, "outputs": 1, "activation": activation}
        system, truth = planted(samples=7, **sizes)
        assert worst(idf.recover(system, judge=False), truth) < 1e-11
        system, _ = planted(samples=8, **sizes)
        with pytest.raises(ResidualError) as caught:
            idf.recover(system, budget=10)
        assert caught.value.obstacle.kind is (Failure.NO_SAMPLE if activation == "gelu" else Failure.NO_KERNEL)

    @pytest.mark.parametrize("activation", ["gelu", "relu"])
    def test_samples_that_are_nearly_dependent(self, activation):
        """The update of the last one looks like noise, and is not."""
        system, truth = planted(samples=5, inputs=5, outputs=1, activation=activation, width=120)
        net, X = system.network, truth.X.copy()
        X[4] = X[:4].T @ [0.4, 0.3, 0.2, 0.1] + 1e-3 * X[4]
        u = net.signals(X, truth.c[:, None])[0]
        biased = idf.KKTSystem.gradient(net, layers={1: u.T @ X})
        found = idf.recover(updated(net, X, truth.c[:, None]) if activation == "relu" else biased, judge=False)
        assert found.n_samples == 5 and found.match(X, truth.c).errors.max() < 1e-8

    def test_three_slopes(self):
        system, _ = planted(activation="piecewise_linear([-1, 1], [0, 1, 2], 0)")
        with pytest.raises(InapplicableError) as caught:
            idf.recover(system)
        assert caught.value.obstacle.kind is Failure.SLOPES and caught.value.obstacle.numbers["slopes"] == 3

    @pytest.mark.parametrize("activation", ["relu", "gelu"])
    def test_memory_is_bounded_before_it_is_taken(self, activation, monkeypatch):
        system, _ = planted(activation=activation)
        monkeypatch.setenv("IDENTIFY_MEMORY", "0.00001")
        with pytest.raises(TooLargeError):
            idf.recover(system)

    @pytest.mark.parametrize("activation", ["relu", "gelu"])
    def test_a_budget_that_is_spent(self, activation):
        system, _ = planted(activation=activation)
        with pytest.raises(ResidualError, match="budget is spent") as caught:
            idf.recover(system, budget=1e-6)
        assert caught.value.obstacle.kind is Failure.NO_SAMPLE


class TestColumns:
    def images(self, rng, outputs):
        chart = Chart.of(rng.standard_normal((12, 5)), rng.standard_normal(12), rng.standard_normal(5), rng.standard_normal((5, 4)))
        return SignalColumns(chart, rng.standard_normal((outputs, 12)), idf.Activation.parse("tanh"))

    @pytest.mark.parametrize("outputs", [1, 3])
    def test_jacobians_are_those_of_the_values(self, outputs):
        rng = np.random.default_rng(0)
        images = self.images(rng, outputs)
        points = rng.standard_normal((3, 4 + outputs * (outputs > 1)))
        (J,) = images.jacobians(points)
        for k, e in enumerate(1e-6 * np.eye(points.shape[1])):
            difference = (images.values(points + e)[0] - images.values(points - e)[0]) / 2e-6
            assert np.allclose(J[:, :, k], difference, atol=1e-8)

    def test_multipliers_are_the_best_ones(self):
        rng = np.random.default_rng(1)
        images = self.images(rng, 3)
        space = [np.linalg.qr(rng.standard_normal((12, 4)))[0].T]
        points = images.with_multipliers(space[0], rng.standard_normal((5, 4)))
        best = Position.of(images, space, points).costs
        for _ in range(20):
            other = points.copy()
            other[:, 4:] += 0.1 * rng.standard_normal((5, 3))
            assert (Position.of(images, space, other).costs >= best - 1e-12).all()

    def test_the_scale_of_multipliers_is_held(self):
        """It changes nothing, so the normal equations would be singular without a weight on it."""
        rng = np.random.default_rng(2)
        images = self.images(rng, 3)
        space = [np.linalg.qr(rng.standard_normal((12, 3)))[0].T]
        points = rng.standard_normal((2, 7))
        matrix, gradient = normal_equations(images, space, Position.of(images, space, points))
        gauge = images.gauge(points)
        assert np.abs(np.einsum("sk,sk->s", gauge, gradient)).max() < 1e-12
        assert (np.einsum("sk,skl,sl->s", gauge, matrix, gauge) > 0.1 * np.einsum("skk->s", matrix)).all()


class TestQuadrics:
    @pytest.mark.parametrize(("slopes", "blocks"), [((0.0, 1.0), (10, 12, 0)), ((-1.0, 1.0), (10, 0, 6)), ((0.1, 1.0), (10, 12, 6))])
    def test_samples_are_in_the_kernel_and_the_kernel_is_theirs(self, slopes, blocks):
        """Against the definition, by singular values of the whole matrix."""
        rng = np.random.default_rng(0)
        n, C, m = 4, 3, 90
        S, A, gamma = rng.choice(slopes, (m, n)), rng.standard_normal((C, m)), rng.standard_normal((n, C))
        V = S * (gamma @ A).T
        left = np.linalg.svd(V, full_matrices=False)[0]
        quadrics = Quadrics.of(left, A, slopes)
        assert quadrics.blocks == unknowns(n, C, slopes) == blocks
        M = quadrics.rows(slice(None), quadrics.scales())
        values = np.linalg.svd(M, compute_uv=False)
        assert values[-n] < 1e-13 < 1e-3 < values[-n - 1]
        kernel = kernel_of(quadrics, rng, lambda: True)
        usual = np.linalg.norm(values) / len(values) ** 0.5
        assert kernel.last < 1e-13 and kernel.next == pytest.approx(values[-n - 1] / usual, rel=1e-2)
        z = left.T @ V
        squares = np.array([np.outer(z[:, i], z[:, i]).ravel() for i in range(n)])
        both = np.vstack([squares, kernel.squares.reshape(n, -1)])
        assert np.linalg.matrix_rank(both, tol=1e-9 * np.linalg.norm(both)) == n

    def test_rows_are_folded_block_by_block(self):
        rng = np.random.default_rng(1)
        left = np.linalg.qr(rng.standard_normal((200, 3)))[0]
        quadrics = Quadrics.of(left, rng.standard_normal((2, 200)), (0.0, 1.0))
        M = quadrics.rows(slice(None), quadrics.scales())
        R = quadrics.triangle(quadrics.scales(), lambda: True)
        assert R.shape == (12, 12) and np.allclose(R.T @ R, M.T @ M)
        assert quadrics.triangle(quadrics.scales(), lambda: False) is None


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_as_many_samples_as_classes_of_a_softmax_loss(activation):
    """The rows of the second update add up to zero, so it shows one sample less than it has rows: the first layer is enough."""
    rng = np.random.default_rng(0)
    net = idf.Network(
        [rng.standard_normal((60, 8)), rng.standard_normal((4, 60))],
        biases=[rng.standard_normal(60), rng.standard_normal(4)],
        activation=activation,
    )
    X, c = rng.standard_normal((4, 8)), rng.standard_normal((4, 4))
    c -= c.mean(axis=1, keepdims=True)
    sigma, z = net.activations[0], X @ net.weights[0].T + net.biases[0]
    signals = sigma(z, order=1) * (c @ net.weights[1])
    layers = {1: (signals.T @ X, signals.sum(axis=0)), 2: (c.T @ sigma(z), c.sum(axis=0))}
    found = idf.recover(idf.KKTSystem.gradient(net, layers=layers), judge=False)
    assert found.n_samples == 4 and found.match(X, c).errors.max() < 1e-8
    assert "its rank is 3, too small for 4 samples" in found.evidence["chosen"]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_multipliers_of_a_smaller_rank_than_samples_leave_the_first_layer(activation):
    """Fewer samples than outputs, but dependent multipliers: the second update has rank 2, and forward separation would find none of 4."""
    rng = np.random.default_rng(0)
    W = [rng.standard_normal((120, 15)) / 4, rng.standard_normal((6, 120)) / 11]
    net = idf.Network(W, biases=[rng.standard_normal(120) * 0.1, rng.standard_normal(6)], activation=activation)
    X, c = rng.standard_normal((4, 15)), rng.standard_normal((4, 2)) @ rng.standard_normal((2, 6))
    found = idf.recover(idf.KKTSystem.gradient(net, layers=net.update(X, c)))
    assert found.match(X, c).errors.max() < 1e-10 and "its rank is 2, too small for 4 samples" in found.evidence["chosen"]
    independent = rng.standard_normal((4, 6))
    found = idf.recover(idf.KKTSystem.gradient(net, layers=net.update(X, independent)))
    assert found.method == "forward separation" and found.match(X, independent).errors.max() < 1e-10
