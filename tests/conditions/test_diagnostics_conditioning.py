"""Conditioning: error bars against what perturbed targets do, and against a second way to compute them."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.marks import slow

from identify.base.limits import TooLargeError
from identify.conditions.diagnostics.conditioning import conditioning
from identify.conditions.diagnostics.error_bars import NotFiniteError, digits, error_bars
from identify.conditions.diagnostics.gram import gram
from identify.conditions.diagnostics.perturbations import FLOAT32, RESIDUAL, round_to_bits, with_rounded_weights
from identify.conditions.diagnostics.sensitivity import changes, leaves_scale_free, left_inverse, triangular_factor
from identify.planting.configuration import Configuration
from identify.problem.arrays import ShapeError
from identify.problem.data import check_data
from identify.problem.gradients import weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic
from identify.recovery.equations import Equations
from identify.recovery.polish import polish
from identify.recovery.reduce import Reduced

CUBIC = "z + z^2/2 + z^3"


def size(d: int, n: int, m: int, activation: str = CUBIC, **options) -> Configuration:
    return Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


CONFIGS = [
    size(5, 4, 12),
    size(6, 3, 20, "z + z^3"),
    size(4, 3, 15, bias=True),
    size(4, 3, 15, "z^3"),
    size(4, 3, 12, outputs=2),
    size(3, 3, 7, "z^3", regime="max-margin"),
    size(4, 4, 30, layers="second"),
    size(30, 3, 8, "z + z^3"),
]


def polished(system: KKTSystem, X, c) -> tuple[np.ndarray, np.ndarray]:
    full = Reduced.of(system, system.network.n_inputs + 1)
    found, multipliers, _ = polish(Equations.of(full.network, system.observed, system.target), X, c)
    return found, multipliers


def errors(system: KKTSystem, X, found) -> np.ndarray:
    """Distances, across the line of each sample where (S) leaves its scale free."""
    delta = found - X
    if leaves_scale_free(system):
        along = (delta * X).sum(axis=1) / (X**2).sum(axis=1)
        delta = delta - along[:, None] * X
    return np.linalg.norm(delta, axis=1)


class TestErrorBars:
    @pytest.mark.parametrize("config", CONFIGS, ids=str)
    def test_are_bounds_and_not_far_from_what_noise_does(self, config):
        system, truth = config.plant(0)
        X, c = check_data(truth.X, truth.c, config.inputs, config.outputs)
        level = 1e-9
        condition = conditioning(system, X, c, perturbations={"noise": level})
        bars = np.array(condition.evidence["error_bars"]["noise"])
        typical = np.array(condition.evidence["typical_error_bars"]["noise"])
        coordinates = np.array(condition.evidence["coordinate_error_bars"]["noise"])
        worst = np.zeros(len(X))
        rng = np.random.default_rng(0)
        for _ in range(8):
            noise = rng.standard_normal(system.n_equations)
            noise *= level * np.linalg.norm(system.target) / np.linalg.norm(noise)
            found = polished(system.with_target(system.target + noise), X, c)[0]
            worst = np.maximum(worst, errors(system, X, found))
            if not leaves_scale_free(system):
                assert (np.abs(found - X) <= 1.01 * coordinates).all()
        assert (worst <= 1.01 * bars).all() and (worst >= bars / 100).all()
        assert (worst <= 5 * typical).all() and (worst >= typical / 5).all()

    @pytest.mark.parametrize("config", [slow(CONFIGS[2]), CONFIGS[3], slow(CONFIGS[4]), CONFIGS[5]], ids=str)
    def test_agree_with_an_automatic_jacobian_and_a_pseudo_inverse(self, config):
        system, truth = config.plant(1)
        X, c = check_data(truth.X, truth.c, config.inputs, config.outputs)
        net, sigma = system.network, system.network.activation

        def right_hand_side(point):
            data = point.reshape(len(X), -1)
            parts = weighted_gradients(
                net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), data[:, : X.shape[1]], data[:, X.shape[1] :]
            )
            return jnp.concatenate([part.reshape(-1) for part, seen in zip(parts, system.observed, strict=True) if seen])

        with jax.enable_x64(True):
            J = np.asarray(jax.jit(jax.jacfwd(right_hand_side))(jax.device_put(np.hstack([X, c]).reshape(-1))))
        inverse = np.linalg.pinv(J, rcond=1e-12).reshape(len(X), -1, len(J))[:, : X.shape[1]]
        if leaves_scale_free(system):
            unit = X / np.linalg.norm(X, axis=1)[:, None]
            inverse = inverse - unit[:, :, None] * (unit[:, :, None] * inverse).sum(axis=1, keepdims=True)
        expected = np.linalg.norm(inverse, ord=2, axis=(1, 2)) * 1e-6 * np.linalg.norm(system.target)
        evidence = conditioning(system, X, c, perturbations={"x": 1e-6}).evidence
        np.testing.assert_allclose(evidence["error_bars"]["x"], expected, rtol=1e-6)
        relative = expected / np.linalg.norm(X, axis=1)
        assert evidence["worst_sample"] == relative.argmax() and evidence["digits"]["x"] == digits(relative.max())

    def test_the_worst_perturbation_attains_the_bound(self):
        system, truth = size(5, 4, 12).plant(0)
        X, c = check_data(truth.X, truth.c, 5, 1)
        net = system.network
        J = Equations.of(Reduced.of(system, 6).network, system.observed, system.target).jacobian(X, c)
        rows = np.linalg.pinv(J).reshape(4, 6, -1)[0, :5]
        direction = np.linalg.svd(rows)[2][0] * 1e-9
        found = polished(system.with_target(system.target + direction), X, c)[0]
        bar = conditioning(system, X, c, perturbations={"worst": direction}).evidence["error_bars"]["worst"][0]
        assert errors(system, X, found)[0] == pytest.approx(bar, rel=1e-3) and net.width == 12

    def test_permuting_samples_permutes_them(self):
        system, truth = size(4, 4, 15).plant(0)
        order = np.array([2, 0, 3, 1])
        bars, moved = (
            np.array(conditioning(system, truth.X[i], truth.c[i]).evidence["error_bars"][FLOAT32]) for i in (np.arange(4), order)
        )
        np.testing.assert_allclose(moved, bars[order], rtol=1e-9)

    @pytest.mark.parametrize("factor", [1e-120, 1e120])
    def test_relative_numbers_do_not_depend_on_the_units_of_the_target(self, factor):
        system, truth = size(4, 3, 15).plant(0)
        scaled = conditioning(system.with_target(factor * system.target), truth.X, factor * truth.c)
        plain = conditioning(system, truth.X, truth.c)
        for name in ("sigma_min", "sigma_max", "gap"):
            assert scaled.evidence[name] == pytest.approx(plain.evidence[name], rel=1e-6)
        np.testing.assert_allclose(scaled.evidence["error_bars"][FLOAT32], plain.evidence["error_bars"][FLOAT32], rtol=1e-6)


class TestStatedPerturbations:
    def test_single_precision_costs_no_more_than_it_says(self):
        system, truth = size(6, 5, 20).plant(2)
        condition = conditioning(system, truth.X, truth.c)
        found = polished(system.with_target(system.target.astype(np.float32)), truth.X, truth.c[:, None])[0]
        off = errors(system, truth.X, found)
        assert (off <= condition.evidence["error_bars"][FLOAT32]).all() and (off > 0).all()
        kept = condition.evidence["digits"][FLOAT32]
        assert (off / np.linalg.norm(truth.X, axis=1) <= 10.0**-kept).all() and condition.statement.startswith(
            f"{kept} digits: rounding the target to float32"
        )

    @pytest.mark.parametrize("bits", [16, 24])
    def test_rounded_weights_cost_no_more_than_they_say(self, bits):
        system, truth = size(6, 4, 20).plant(3)
        bars = conditioning(system, truth.X, truth.c).evidence["error_bars"][f"weights of {bits} bits"]
        found = polished(with_rounded_weights(system, bits), truth.X, truth.c[:, None])[0]
        off = errors(system, truth.X, found)
        assert (off <= 1.05 * np.array(bars)).all() and (off > 0).all()

    def test_rounding_trained_weights_changes_both_sides(self):
        system, truth = size(3, 3, 7, "z^3", regime="max-margin").plant(0)
        net = system.network
        rounded = KKTSystem.max_margin(TwoLayerNetwork(round_to_bits(net.W, 16), round_to_bits(net.a, 16), "z^3"))
        expected = np.linalg.norm(rounded.target - rounded.right_hand_side(truth.X, truth.c)) / np.linalg.norm(system.target)
        assert conditioning(system, truth.X, truth.c).evidence["perturbations"]["weights of 16 bits"] == pytest.approx(expected, rel=1e-6)

    def test_rounding_before_and_after_lazy_training(self):
        planted, truth = size(3, 2, 6, regime="lazy").plant(0)
        first = planted.network
        last = replace(first, W=first.W + planted.target_W, a=first.a + planted.target_a)
        system = KKTSystem.lazy(first, last)
        nets = [replace(net, W=round_to_bits(net.W, 8), a=round_to_bits(net.a, 8)) for net in (first, last)]
        rounded = KKTSystem.lazy(*nets)
        expected = np.linalg.norm(rounded.target - rounded.right_hand_side(truth.X, truth.c)) / np.linalg.norm(system.target)
        assert conditioning(system, truth.X, truth.c).evidence["perturbations"]["weights of 8 bits"] == pytest.approx(expected, rel=1e-6)

    def test_the_residual_is_the_under_training(self):
        system, truth = size(4, 3, 15).plant(0)
        X = truth.X * (1 + 1e-3)
        condition = conditioning(system, X, truth.c)
        assert condition.evidence["perturbations"][RESIDUAL] == pytest.approx(system.residual(X, truth.c))
        assert (
            condition.evidence["digits"][RESIDUAL] < condition.evidence["digits"][FLOAT32]
            and "the residual of these data" in condition.statement
        )

    @pytest.mark.parametrize(("bits", "dtype"), [(24, np.float32), (11, np.float16)])
    def test_rounding_is_that_of_hardware(self, bits, dtype):
        values = np.random.default_rng(0).uniform(-2, 2, 1000)
        values = values[np.abs(values) > 1e-3]
        assert (round_to_bits(values, bits) == values.astype(dtype)).all() and (round_to_bits(values, 53) == values).all()

    def test_extreme_weights_stay_finite(self):
        assert np.isfinite(round_to_bits(np.array([np.finfo(float).max, -np.finfo(float).max, 5e-324, 0.0]), 8)).all()


class TestWhatIsNotDetermined:
    def test_a_rotation_leaves_no_digit(self):
        system, truth = size(4, 3, 15, "z^2").plant(0)
        condition = conditioning(system, truth.X, truth.c)
        assert (
            condition.holds is False
            and condition.statement.startswith("no digit: to precision")
            and set(condition.evidence["digits"].values()) == {0}
        )
        assert condition.evidence["sigma_min"] < 1e-14 and "error_bars" not in condition.evidence

    def test_fewer_equations_than_unknowns(self):
        system, truth = size(3, 3, 2, CUBIC).plant(0)
        condition = conditioning(system, truth.X, truth.c)
        assert system.n_equations < condition.evidence["unknowns"] and condition.holds is False and condition.evidence["sigma_min"] == 0

    def test_nearly_coincident_samples_cost_digits(self):
        system, truth = size(4, 3, 20).plant(0)
        found = []
        for distance in (1e-1, 1e-3, 1e-5):
            X = truth.X.copy()
            X[1] = X[0] + distance * truth.X[1]
            net = system.network
            near = KKTSystem.gradient(net, W=np.ones_like(net.W), a=np.ones_like(net.a))
            near = near.with_target(near.right_hand_side(X, truth.c))
            found.append(conditioning(near, X, truth.c).evidence["digits"][FLOAT32])
        assert found[0] > found[1] > found[2] or found[2] == 0
        assert found[0] >= 3

    def test_a_size_of_one_digit_or_none_is_said_plainly(self):
        system, truth = size(4, 3, 15).plant(0)
        good, bad = (conditioning(system, truth.X, truth.c, perturbations={"noise": level}) for level in (1e-3, 1.0))
        assert good.holds and good.statement.startswith("1 digit: the perturbation 'noise'")
        assert bad.holds is False and bad.statement.startswith("no digit: the perturbation 'noise'")
        assert bad.arithmetic is Arithmetic.FLOAT

    @pytest.mark.parametrize(
        ("error", "expected"), [(0.0, 15), (1e-20, 15), (9.9e-4, 3), (1.1e-3, 2), (1.0, 0), (5.0, 0), (np.inf, 0), (np.nan, 0)]
    )
    def test_digits(self, error, expected):
        assert digits(error) == expected


class TestOddInput:
    def test_a_sample_at_the_origin(self):
        system, truth = size(3, 3, 20, bias=True).plant(0)
        X = truth.X.copy()
        X[1] = 0
        system = system.with_target(system.right_hand_side(X, truth.c))
        condition = conditioning(system, X, truth.c)
        assert condition.holds and np.isfinite(condition.evidence["error_bars"][FLOAT32]).all()

    @pytest.mark.parametrize(("X", "c"), [(np.zeros((2, 4)), [1.0, 2.0]), (np.ones((2, 4)), [0.0, 2.0]), (np.ones((2, 4)), [1e-300, 2.0])])
    def test_unseen_or_coincident_samples(self, X, c):
        system, _ = size(4, 3, 15, "z^3").plant(0)
        assert conditioning(system, X, c).holds is False

    def test_overflow_is_said(self):
        system, _ = size(4, 3, 15, "z^3").plant(0)
        condition = conditioning(system, np.full((2, 4), 1e200), [1.0, 2.0])
        assert condition.holds is None and "overflow" in condition.statement and condition.arithmetic is Arithmetic.NONE

    def test_large_systems_are_not_evaluated(self, monkeypatch):
        system, truth = size(350, 10, 20).plant(0)
        condition = conditioning(system, truth.X, truth.c)
        assert condition.holds is None and condition.arithmetic is Arithmetic.NONE and condition.evidence["unknowns"] == 3510
        assert "3510 unknowns in 7020 equations (about 13 s" in condition.statement and condition.evidence["estimated_seconds"] > 1
        small, data = size(4, 3, 15).plant(0)
        monkeypatch.setenv("IDENTIFY_MEMORY", "0.00001")
        condition = conditioning(small, data.X, data.c)
        assert condition.holds is None and "15 unknowns in 75 equations" in condition.statement

    @pytest.mark.parametrize(
        ("perturbations", "message"),
        [
            ({}, "perturbations: received none, expected at least one"),
            ({"x": -1.0}, r"perturbations\['x'\]: received -1.0, expected a relative size"),
            ({"x": np.nan}, "expected a relative size"),
            ({"x": "large"}, "expected a relative size"),
            ({"x": np.ones(3)}, r"perturbations\['x'\]: received shape \(3,\), expected \(75\)"),
        ],
    )
    def test_perturbations_refused(self, perturbations, message):
        system, truth = size(4, 3, 15).plant(0)
        with pytest.raises(ValueError, match=message):
            conditioning(system, truth.X, truth.c, perturbations=perturbations)

    def test_data_refused(self):
        system, truth = size(4, 3, 15).plant(0)
        with pytest.raises(ShapeError, match="X: received shape"):
            conditioning(system, truth.X[:, :2], truth.c)


def test_changes_hold_the_scale_and_nothing_else():
    X, c = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[2.0], [-5.0]])
    T = changes(X, c, True)
    assert T.shape == (2, 3, 2) and np.abs(X[0] @ T[0, :2]).max() < 1e-14
    assert np.linalg.matrix_rank(T[0]) == 2 and np.abs(T[1, 2]).max() < 1e-14 and np.linalg.matrix_rank(T[1, :2]) == 2
    np.testing.assert_array_equal(changes(X, c, False)[0], np.diag([5.0, 5.0, 2.0]))


def test_left_inverse_is_one():
    rng = np.random.default_rng(0)
    J, T = rng.standard_normal((20, 6)), changes(rng.standard_normal((2, 2)), np.ones((2, 1)), False)
    inverse = left_inverse(triangular_factor(J, T), T)
    assert inverse is not None
    np.testing.assert_allclose(np.abs(inverse.reshape(6, 6) @ inverse.reshape(6, 6).T), np.abs(np.linalg.inv(J.T @ J)), rtol=1e-9)
    assert left_inverse(triangular_factor(J[:5], T), T) is None
    J[:, 5] = J[:, 2]
    assert left_inverse(triangular_factor(J, T), T) is None


class TestWithoutTheJacobian:
    """J^T J in closed form, for many equations."""

    @pytest.mark.parametrize(
        "config", [*CONFIGS, size(3, 3, 9, bias=True, layers="first"), size(3, 2, 9, bias=True, outputs=2, layers="second")], ids=str
    )
    def test_is_the_square_of_the_jacobian(self, config):
        system, truth = config.plant(2)
        X, c = check_data(truth.X, truth.c, config.inputs, config.outputs)
        J = Equations.of(Reduced.of(system, config.inputs + 1).network, system.observed, system.target).jacobian(X, c)
        found = gram(system, X, c, 3.0)
        np.testing.assert_allclose(found, J.T @ J / 9, rtol=1e-10, atol=1e-12 * np.abs(found).max())

    def test_bias_rows_alone(self):
        net = TwoLayerNetwork(np.random.default_rng(0).standard_normal((9, 3)), np.arange(1.0, 10), CUBIC, bias=np.linspace(-1, 1, 9))
        system = KKTSystem.gradient(net, bias=np.ones(9))
        X, c = np.random.default_rng(1).standard_normal((2, 3)), np.array([[1.0], [-2.0]])
        J = Equations.of(Reduced.of(system, 4).network, system.observed, system.target).jacobian(X, c)
        np.testing.assert_allclose(gram(system, X, c, 1.0), J.T @ J, rtol=1e-10, atol=1e-9)

    @pytest.mark.parametrize("config", CONFIGS[:5], ids=str)
    def test_gives_the_same_error_bars(self, config, monkeypatch):
        system, truth = config.plant(0)
        plain = error_bars(system, truth.X, truth.c)
        monkeypatch.setattr("identify.conditions.diagnostics.error_bars.MAX_QR_FLOPS", 0.0)
        squared = error_bars(system, truth.X, truth.c)
        assert squared.resolution > plain.resolution
        for name in plain.perturbations:
            np.testing.assert_allclose(squared.coordinates(name), plain.coordinates(name), rtol=1e-5)
            assert squared.digits(name) == plain.digits(name)
        np.testing.assert_allclose(squared.singular_values, plain.singular_values, rtol=1e-5)

    def test_what_it_cannot_resolve_is_no_digit(self, monkeypatch):
        monkeypatch.setattr("identify.conditions.diagnostics.error_bars.MAX_QR_FLOPS", 0.0)
        system, truth = size(4, 3, 15, "z^2").plant(0)
        condition = conditioning(system, truth.X, truth.c)
        assert condition.holds is False and condition.statement.startswith("no digit: to precision 1e-07")
        overflow = conditioning(size(4, 3, 15, "z^3").plant(0)[0], np.full((2, 4), 1e200), [1.0, 2.0])
        assert overflow.holds is None and "overflow" in overflow.statement


class TestArrays:
    def test_of_every_perturbation(self):
        system, truth = size(5, 4, 12).plant(0)
        bars = error_bars(system, truth.X, truth.c)
        evidence = conditioning(system, truth.X, truth.c).evidence
        for name, value in bars.perturbations.items():
            assert bars.samples(name).shape == (4,) and bars.coordinates(name).shape == (4, 5)
            assert evidence["error_bars"][name] == bars.samples(name).tolist()
            assert evidence["coordinate_error_bars"][name] == bars.coordinates(name).tolist()
            assert (bars.coordinates(name) <= bars.samples(name)[:, None] * (1 + 1e-12)).all()
            assert evidence["undetermined_directions"][name] == (bars.singular_values <= value).sum()
        with pytest.raises(KeyError):
            bars.samples("another")

    def test_no_bound_is_infinite_for_any_size(self):
        system, truth = size(4, 3, 15, "z^2").plant(0)
        bars = error_bars(system, truth.X, truth.c, perturbations={"none": 0.0, "some": 1e-3})
        assert not bars.is_bounded and bars.digits("none") == bars.digits("some") == 0
        assert np.isinf(bars.samples("none")).all() and np.isinf(bars.coordinates("some")).all()

    def test_errors(self, monkeypatch):
        system, truth = size(4, 3, 15, "z^3").plant(0)
        with pytest.raises(NotFiniteError, match="overflows double precision; rescale inputs or weights"):
            error_bars(system, np.full((2, 4), 1e200), [1.0, 2.0])
        monkeypatch.setenv("IDENTIFY_MEMORY", "0.00001")
        with pytest.raises(TooLargeError, match="the Jacobian of 75 equations in 15 unknowns needs"):
            error_bars(system, truth.X, truth.c)
