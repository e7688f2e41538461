"""What attacks know beside their equation: the row space, the prior on images, sparsity, votes; and splitting matrices in closed form."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.marks import slow_unless

import identify as idf
from identify.attacks import MLP, HighFrequency, buzaglo, haim, in_row_space, loo, random_network, row_space, stationarity
from identify.attacks.priors import Box, Sum
from identify.attacks.runs import Reconstruction, Trial
from identify.attacks.smoothing import sigmoid_relu, softplus_relu
from identify.problem.arrays import ShapeError
from identify.splitting.matrices import smallest, splitting_matrices, traceable
from identify.splitting.minimise import split

CUBIC = "z + z^2/2 + z^3"


def low_rank(sizes=(9, 12, 1), rank=3, seed=0, activation="relu", biases="first") -> MLP:
    network = random_network(sizes, activation, biases=biases, seed=seed)
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((sizes[1], rank)) @ rng.standard_normal((rank, sizes[0]))
    return network.with_parameters(network.parameters | {"W1": first})


ATTACKS = {
    "haim": lambda: haim(random_network((9, 12, 1), first_scale=1.0), sharpness=5.0),
    "haim, three layers": lambda: haim(random_network((9, 12, 7, 1), first_scale=1.0), sharpness=5.0),
    "haim, polynomial": lambda: haim(random_network((9, 12, 1), CUBIC)),
    "multiclass": lambda: buzaglo(random_network((9, 12, 3), first_scale=1.0), kind="multiclass", sharpness=5.0),
    "weight decay": lambda: buzaglo(random_network((9, 12, 3), first_scale=1.0), kind="weight-decay", sharpness=5.0),
    "loo": lambda: loo(
        random_network((9, 12, 2), biases="all"),
        random_network((9, 12, 2), biases="all", seed=1),
        both_kernels=True,
        low=-0.1,
        high=0.1,
        image=(3, 3),
        high_frequency=0.5,
        sparsity=0.1,
    ),
    "row space": lambda: in_row_space(haim(low_rank(), sharpness=5.0)),
}


def point(attack, k=5, seed=3):
    X, c = attack.start(np.random.default_rng(seed), k)
    return X + 0.5 * np.random.default_rng(seed + 1).standard_normal(X.shape), c + 0.3


_values = jax.jit(lambda objective, X, c: objective(X, c))
_distances = jax.jit(lambda objective, X, c: objective.distance(X, c))


def value(objective, X, c) -> float:
    with jax.enable_x64(True):
        return float(_values(objective, jax.device_put(X), jax.device_put(c)))


class TestSplittingMatrices:
    @pytest.mark.parametrize("name", slow_unless(lambda name: name not in ("haim", "multiclass", "weight decay"), ATTACKS))
    def test_closed_forms_agree_with_the_definition(self, name):
        attack = ATTACKS[name]()
        objective, (X, c) = attack.objective(5), point(attack)
        S = splitting_matrices(objective, X, c)
        assert np.allclose(objective.splitting_matrices(X, c), S, rtol=1e-9, atol=1e-11 * np.abs(S).max())
        exact, lanczos = smallest(objective, X, c), smallest(objective, X, c, exact_below=2)
        assert np.allclose(exact[0], lanczos[0], rtol=1e-6, atol=1e-9 * np.abs(S).max())
        V = np.random.default_rng(0).standard_normal(X.shape)
        product = objective.splitting_product(X, c, V, objective.pull(X, c))
        assert np.allclose(product, np.einsum("kab,kb->ka", S, V), rtol=1e-9, atol=1e-10 * np.abs(S).max())

    @pytest.mark.parametrize("name", slow_unless(lambda name: name not in ("haim", "multiclass"), ATTACKS))
    def test_the_second_order_prediction_is_the_change(self, name):
        """eps^2/2 v'Sv against the objective itself, to 1e-4 relative.

        With softplus where only the slopes are smoothed: values of ReLU do not have the curvature that its smoothed slopes promise. And
        above the bounds of the multipliers: below them a split alone halves the hinge.
        """
        attack = ATTACKS[name]()
        objective, (X, c) = attack.objective(5), point(attack)
        c = np.maximum(c, 0.6)
        if getattr(objective.nonlinearity, "func", None) is sigmoid_relu:
            objective = replace(objective, nonlinearity=traceable(softplus_relu))
        values, vectors = smallest(objective, X, c)
        j = int(np.argmax(np.abs(values)))
        before = value(objective, X, c)
        errors = []
        for step in (1e-2, 1e-3, 3e-4):
            steps = np.where(np.arange(5) == j, step, 0.0)
            new_X, new_c, parents, shares = split(X, c, vectors, steps)
            change = value(objective.inherit(parents, shares), new_X, new_c) - before
            errors.append(abs(change / (values[j] * step**2 / 2) - 1))
        assert min(errors) < 1e-4


class TestRowSpace:
    def test_directions_of_noise_are_left_out(self):
        rng = np.random.default_rng(0)
        signal = rng.standard_normal((300, 4)) @ rng.standard_normal((4, 50))
        noisy = signal + 1e-3 * rng.standard_normal((300, 50))
        basis = row_space(noisy, noise=1e-3)
        assert basis.shape == (4, 50) and np.allclose(basis @ basis.T, np.eye(4))
        assert np.linalg.norm(signal - signal @ basis.T @ basis) < 2e-3 * np.linalg.norm(signal)
        assert len(row_space(noisy)) == 50 and len(row_space(signal)) == 4 and len(row_space(noisy, dimension=7)) == 7

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"noise": -1.0}, "noise: received -1.0"), ({"noise": 1e9}, "no direction"), ({"dimension": 10}, "from 1 to 9")],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            row_space(np.eye(12, 9), **options)

    @pytest.mark.parametrize("both", [False, True])
    def test_the_objective_is_that_of_the_lifted_candidates(self, both):
        initial, change = random_network((9, 12, 1), seed=1), low_rank(seed=2)
        final = initial.with_parameters({name: initial.parameters[name] + change.parameters[name] for name in initial.parameters})
        for attack in (haim(low_rank()), loo(initial, final, linearised=not both, both_kernels=both, low=-0.2, high=0.2)):
            inside = in_row_space(attack)
            U, c = point(inside)
            assert U.shape == (5, 3) and inside.n_inputs == 9
            assert value(inside.objective(5), U, c) == pytest.approx(value(attack.objective(5), inside.lifted(U), c), rel=1e-12)
            assert np.allclose(inside.coordinates(inside.lifted(U)), U)

    @given(st.integers(0, 10**6))
    @settings(max_examples=15, deadline=None)
    def test_projecting_never_adds_to_the_residual_of_the_weights_themselves(self, seed):
        attack = haim(low_rank(seed=seed), sharpness=5.0)
        basis = in_row_space(attack).basis
        X, c = point(attack, seed=seed)
        with jax.enable_x64(True):
            objective = attack.objective(5)
            whole, projected = (float(_distances(objective, jax.device_put(Y), jax.device_put(c))) for Y in (X, X @ basis.T @ basis))
        assert projected <= whole * (1 + 1e-12)

    def test_what_noise_hides_counts_as_residual(self):
        """The residual is that of the projected data under the attack itself, what no candidate reaches included."""
        network = low_rank()
        X = np.random.default_rng(5).standard_normal((4, 9))
        attack = haim(network)
        for dimension in (1, 3):
            inside = in_row_space(attack, dimension=dimension)
            projected = stationarity(attack, X @ inside.basis.T @ inside.basis)
            found = stationarity(inside, X)
            assert found.residual == pytest.approx(projected.residual, rel=1e-9)
            assert found.by_parameter == pytest.approx(projected.by_parameter, rel=1e-6)

    def test_runs_return_inputs(self):
        attack = in_row_space(haim(low_rank(), rate=1e-3, multiplier_rate=1e-3))
        run = idf.reconstruct(attack, candidates=4, steps=300, splitting=idf.Splitting(every=100, most=2)).trials[0]
        assert run.X.shape[1] == 9 and np.allclose(run.X @ attack.basis.T @ attack.basis, run.X)
        assert run.settings["row_space"] == 3


class TestPriors:
    @pytest.mark.parametrize("shape", [(4, 5), (3, 4, 3)])
    def test_high_frequency_is_what_a_blur_takes_away(self, shape):
        """Against loops over pixels."""
        X = np.random.default_rng(0).standard_normal((2, int(np.prod(shape))))
        kernel, expected = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16, []
        for x in X:
            image, total = x.reshape(*shape[:2], -1), 0.0
            for row, column, channel in np.ndindex(image.shape):
                blurred = sum(
                    kernel[i + 1, j + 1] * image[row + i, column + j, channel]
                    for i in (-1, 0, 1)
                    for j in (-1, 0, 1)
                    if 0 <= row + i < shape[0] and 0 <= column + j < shape[1]
                )
                total += (image[row, column, channel] - blurred) ** 2
            expected.append(0.5 * total)
        with jax.enable_x64(True):
            assert np.allclose(HighFrequency(shape, 0.5)(jax.device_put(X)), expected, rtol=1e-12)

    def test_published_weights(self):
        """hf · 0.0015/P · sum (x - blur x)^2 and sparsity · mean |a|, for every candidate."""
        nets = random_network((9, 5, 2), biases="all"), random_network((9, 5, 2), biases="all", seed=1)
        plain, full = loo(*nets), loo(*nets, image=(3, 3), high_frequency=0.7, sparsity=0.3)
        X, c = point(plain, 4)
        with jax.enable_x64(True):
            blur = float(HighFrequency((3, 3))(jax.device_put(X)).sum())
        added = value(full.objective(4), X, c) - value(plain.objective(4), X, c)
        assert added == pytest.approx(0.7 * 0.0015 / 9 * blur + 0.3 * np.abs(c).mean(), rel=1e-10)

    def test_sums(self):
        X = np.random.default_rng(0).standard_normal((3, 4))
        with jax.enable_x64(True):
            both = Sum((Box(-0.1, 0.1), lambda X: (X**2).sum(axis=1)))(jax.device_put(X))
        assert np.allclose(both, (np.maximum(np.abs(X) - 0.1, 0) ** 2).sum(axis=1) + (X**2).sum(axis=1))

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"high_frequency": 1.0}, ValueError, "image: received None"),
            ({"high_frequency": -1.0, "image": (3, 3)}, ValueError, "high_frequency: received -1.0"),
            ({"sparsity": np.nan}, ValueError, "sparsity: received nan"),
            ({"image": (2, 4)}, ShapeError, "with the product 9"),
        ],
    )
    def test_bad_options(self, options, error, message):
        nets = random_network((9, 5, 1)), random_network((9, 5, 1), seed=1)
        with pytest.raises(error, match=message):
            loo(*nets, **options)


class TestVotes:
    def test_candidates_of_all_runs_are_grouped(self):
        a, b, c = np.array([1.0, 0]), np.array([0, 2.0]), np.array([-3.0, 1])
        runs = [[a, b], [a + 0.01, c], [a - 0.01, 5 * b]]
        trials = tuple(Trial(k, np.array(X), np.ones((2, 1)), float(k), 0.0, np.zeros((1, 2))) for k, X in enumerate(runs))
        X, votes = Reconstruction("own", trials).agreed()
        assert np.allclose(X[0], a) and votes.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])
        assert len(Reconstruction("own", trials).agreed(within=0)[0]) == 6
        with pytest.raises(ValueError, match="within"):
            Reconstruction("own", trials).agreed(within=-1)
