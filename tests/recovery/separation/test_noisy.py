"""Updates as they are sent: rounded, quantised, clipped, noised; what still counts the samples, error bars, and what must be refused."""

from __future__ import annotations

import numpy as np
import pytest

import identify as idf
from identify.problem import lattice
from identify.problem.lattice import Lattice
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.uniqueness import UniquenessReason
from identify.recovery.separation.bends import Fixed, Rounded, better_pieces
from identify.recovery.separation.dense import Updates
from identify.recovery.separation.jointly import Observed, Passed
from identify.recovery.separation.largest import Largest
from identify.recovery.separation.precision import noise_rank, rank_of_quantised
from identify.recovery.separation.reduced import normal_equations
from identify.recovery.solution import Failure, InapplicableError, ResidualError

SAMPLES = 5


def planted(activation="gelu", seed=0, **changes):
    config = {"inputs": 40, "samples": SAMPLES, "width": (90, 70), "outputs": 6, "bias": True, "activation": activation, **changes}
    return idf.Configuration(**config).plant(seed)


def changed(system, change):
    layers = {k: tuple(None if part is None else change(part) for part in update) for k, update in system.layers.items()}
    return idf.KKTSystem.gradient(system.network, layers=layers)


def quantised(part, bits=8, rng=None):
    step = np.abs(part).max() / (2 ** (bits - 1) - 1)
    return step * (np.rint(part / step) if rng is None else np.floor(part / step + rng.random(part.shape)))


def noised(system, size, seed):
    rng = np.random.default_rng(seed)
    spread = size * np.sqrt(np.mean(system.target**2))
    return changed(system, lambda part: part + spread * rng.standard_normal(part.shape))


def ratios(found, truth):
    match = found.match(truth.X, truth.c)
    return match.errors * np.linalg.norm(truth.X, axis=1) / found.error_bars[match.order]


class TestLattice:
    @pytest.mark.parametrize("offset", [0.0, 0.3])
    def test_levels_of_quantised_numbers(self, offset):
        numbers = (0.01 * np.random.default_rng(0).integers(-127, 128, (60, 60)) + offset).astype(np.float32).astype(float)
        found = Lattice.of(numbers)
        assert found is not None and found.levels == 255 and found.step == pytest.approx(0.01, rel=1e-5) and not found.is_sign

    def test_signs_and_what_is_no_lattice(self):
        rng = np.random.default_rng(1)
        signs = Lattice.of(0.2 * np.sign(rng.standard_normal((20, 20))))
        assert signs is not None and signs.is_sign
        for numbers in (rng.standard_normal((30, 30)), np.zeros((5, 5)), np.array([0.0, 1.0, np.sqrt(2)])[rng.integers(0, 3, (30, 30))]):
            assert Lattice.of(numbers) is None

    @pytest.mark.parametrize("seed", range(30))
    def test_a_few_numbers_exclude_a_lattice_only_if_all_of_them_do(self, seed, monkeypatch):
        rng = np.random.default_rng(seed)
        levels = int(2 ** rng.uniform(1, 15))
        on = rng.uniform(-3, 3) + rng.integers(0, levels, (90, 4000 // 9)) * rng.uniform(0.1, 2)
        on[: rng.integers(0, 80)] = on[0, 0]  # dead rows
        off = rng.choice([0.0, 0.003, 0.008, 0.02, 0.3]) * rng.uniform(-1, 1, on.shape)
        for numbers in (on, on + off, on * np.exp(off)):
            excluded = lattice._is_off_every_lattice(numbers)
            with monkeypatch.context() as patched:
                patched.setattr(lattice, "_is_off_every_lattice", lambda numbers: False)
                assert not (excluded and Lattice.of(numbers) is not None)

    def test_a_few_numbers_exclude_what_is_no_lattice(self):
        rng = np.random.default_rng(5)
        update = np.outer(rng.standard_normal(200) * (rng.random(200) > 0.5), rng.random(900))
        assert lattice._is_off_every_lattice(update) and lattice._is_off_every_lattice(rng.standard_normal((200, 900)))


class TestRank:
    @pytest.mark.parametrize("shape", [(60, 200), (150, 150)])
    def test_signals_above_the_edge_of_noise_are_counted_and_no_others(self, shape):
        rng = np.random.default_rng(0)
        edge = shape[0] ** 0.5 + shape[1] ** 0.5
        U, V = (np.linalg.qr(rng.standard_normal((size, 4)))[0] for size in shape)
        for sizes, rank in (([50, 9, 3, 1.5], 4), ([50, 9, 3, 0.3], 3), ([0.0] * 4, 0)):
            update = (U * (np.array(sizes) * edge)) @ V.T + rng.standard_normal(shape)
            assert noise_rank(np.linalg.svd(update, compute_uv=False), shape) == rank

    def test_no_noise_is_seen_in_exact_updates_of_full_rank(self):
        values = 2.0 ** -np.arange(0, 40, 1.0)
        assert noise_rank(values, (40, 90)) is None and noise_rank(values[:5], (5, 90)) is None

    def test_quantised_numbers(self):
        system, _ = planted()
        update = quantised(system.updates[1].W)
        assert rank_of_quantised(update, Lattice.of(update).step) == SAMPLES


class TestSmallNormalEquations:
    @pytest.mark.parametrize("activation", ["gelu", "relu"])
    def test_they_are_those_of_the_jacobian(self, activation):
        system, truth = planted(activation, inputs=9, samples=3, width=(14, 11), outputs=3)
        updates = Updates.of(system)
        at = Passed(Observed(updates.stack, updates.matrices, updates.lifted, [0.5, 1.0, 2.0]), truth.X, truth.c)
        r, C = len(at.basis), truth.c.shape[1]
        columns = []
        for k in range(3 * (r + C)):
            unit = np.eye(3 * (r + C))[k].reshape(3, r + C)
            columns.append(at.times(unit[:, :r] @ at.basis, unit[:, r:]))
        J = np.array(columns).T
        assert np.allclose(at.normal_equations, J.T @ J, atol=1e-9 * np.abs(J.T @ J).max())
        assert normal_equations is not None and at.coordinates.size == 3 * (r + C) + 3 * 9

    def test_coordinates_are_transposes_of_each_other(self):
        system, truth = planted(samples=3)
        updates = Updates.of(system)
        own = Passed(Observed(updates.stack, updates.matrices, updates.lifted, [1.0] * 3), truth.X, truth.c).coordinates
        rng = np.random.default_rng(0)
        v, dX, dc = rng.standard_normal(own.size), rng.standard_normal(truth.X.shape), rng.standard_normal(truth.c.shape)
        X, c = own.change(v)
        assert np.sum(X * dX) + np.sum(c * dc) == pytest.approx(v @ own.transposed(dX, dc))


class TestKinks:
    def test_rounded_ones_approach_the_activation(self):
        for sigma in (idf.Activation.parse("relu"), idf.Activation.parse("leaky_relu(0.1)"), idf.Activation.parse("hard_tanh")):
            z, step = np.linspace(-3, 3, 61), 1e-5
            narrow, wide = Rounded(sigma, 1e-4), Rounded(sigma, 0.5)
            assert np.allclose(narrow(z), sigma(z), atol=1e-3)
            for order in (0, 1):
                slope = (wide(z + step, order) - wide(z - step, order)) / (2 * step)
                assert np.allclose(wide(z, order + 1), slope, atol=1e-6)

    def test_a_neuron_on_the_wrong_side_is_seen_in_its_row(self):
        rng, sigma = np.random.default_rng(0), idf.Activation.parse("relu")
        z = rng.standard_normal((4, 30))
        z[2, 7] = -1e-3  # truly above the kink
        arriving, entering = rng.standard_normal((4, 30)), rng.standard_normal((4, 20))
        true = Fixed(sigma, np.where(np.arange(120).reshape(4, 30) == 67, 1, -1))
        rest = ((true(z, 1) - sigma(z, order=1)) * arriving).T @ entering + 0.01 * rng.standard_normal((30, 20))
        free = np.full((4, 30), -1)
        chosen = better_pieces(sigma, z, free, rest, arriving, entering, 1e-4)
        assert np.array_equal(chosen, true.pieces)
        assert np.array_equal(better_pieces(sigma, z, free, 0 * rest, arriving, entering, 1e-4), free)


CASES = {
    "float16": lambda system, seed: changed(system, lambda part: part.astype(np.float16).astype(float)),
    "int8": lambda system, seed: changed(system, quantised),
    "stochastic": lambda system, seed: changed(system, lambda part: quantised(part, rng=np.random.default_rng(seed))),
    "noise": lambda system, seed: noised(system, 1e-2, seed),
}


@pytest.mark.once
@pytest.mark.parametrize("name", CASES)
def test_all_samples_within_calibrated_bars(name):
    """The number of samples is read off the ranks."""
    every = []
    for seed, activation in enumerate(("gelu", "relu", "tanh")):
        system, truth = planted(activation, seed)
        found = idf.recover(CASES[name](system, seed), judge=False)
        assert found.n_samples == SAMPLES and max(found.evidence["separation"].get("misfits", [0])) < 2
        every.extend(ratios(found, truth))
    assert 0.5 < np.sqrt(np.mean(np.square(every))) < 2


def test_clipping_alone_changes_the_multipliers_only():
    system, truth = planted()
    c = truth.c * np.linspace(0.1, 1, SAMPLES)[:, None]
    net = system.network
    pairs = zip(net.signals(truth.X, c), net.forward(truth.X).entering, strict=True)
    found = idf.recover(idf.KKTSystem.gradient(net, layers={k: u.T @ h for k, (u, h) in enumerate(pairs, 1)}))
    match = found.match(truth.X, c)
    assert match.errors.max() < 1e-10 and np.allclose(match.c, c, atol=1e-9)


class TestBeyond:
    def test_hidden_samples(self):
        system, _ = planted()
        with pytest.raises(InapplicableError) as caught:
            idf.recover(noised(system, 3.0, 0), samples=SAMPLES)
        with pytest.raises(InapplicableError) as alone:
            idf.recover(noised(system, 100.0, 0))
        assert alone.value.obstacle.kind is Failure.HIDDEN
        assert caught.value.obstacle.kind is Failure.HIDDEN and caught.value.obstacle.numbers["rank"] < SAMPLES

    def test_a_number_of_samples_that_noise_leaves_in_doubt(self):
        system, _ = planted()
        try:
            found = idf.recover(noised(system, 0.4, 0), budget=20)
        except ResidualError as error:
            assert error.obstacle.kind is Failure.NOISE
        else:
            assert found.uniqueness.reason is UniquenessReason.NOISE and not found.uniqueness.is_supported

    def test_noisy_updates_of_another_network(self):
        (system, _), (other, _) = planted(seed=0), planted(seed=1)
        noisy = noised(system, 3e-2, 0)
        with pytest.raises(ResidualError) as caught:
            idf.recover(idf.KKTSystem.gradient(other.network, layers=noisy.layers), budget=5)
        assert caught.value.obstacle.kind is Failure.NOISE and caught.value.obstacle.numbers["misfit"] > 2

    def test_signs(self):
        system, _ = planted()
        with pytest.raises(InapplicableError) as caught:
            idf.recover(changed(system, lambda part: np.sign(part) * np.abs(part).mean()))
        assert caught.value.obstacle.kind is Failure.SIGNS

    def test_the_largest_entries_alone(self):
        system, _ = planted()
        with pytest.raises(InapplicableError) as caught:
            idf.recover(changed(system, lambda part: np.where(np.abs(part) > np.quantile(np.abs(part), 0.9), part, 0.0)))
        assert caught.value.obstacle.kind is Failure.SPARSE and caught.value.obstacle.numbers["share"] == pytest.approx(0.1, abs=0.01)

    def test_dead_neurons_and_silent_inputs_are_not_taken_for_entries_that_were_not_sent(self):
        update = np.random.default_rng(0).standard_normal((30, 20))
        update[:20], update[:, :5] = 0, 0
        assert Largest.of(update) is None

    def test_masked_entries(self):
        system, _ = planted()
        W = system.layers[1].W
        with pytest.raises(UnsupportedError) as caught:
            idf.KKTSystem.gradient(system.network, layers={1: np.ma.masked_array(W, np.abs(W) < 0.1)})
        assert caught.value.reason is Unsupported.ENTRIES
        idf.KKTSystem.gradient(system.network, layers={1: np.ma.masked_array(W, np.zeros(W.shape, bool))})


def test_a_few_numbers_without_small_ones_show_no_threshold():
    """A narrow ReLU layer: a fifth of 12 entries is zero, and none of the others happens to be small."""
    update = np.random.default_rng(0).choice([0.0, 0.7, -1.0, 1.3], (3, 4), p=[0.3, 0.3, 0.2, 0.2])
    assert Largest.of(update) is None and Largest.of(np.tile(update, (4, 4))) is not None
