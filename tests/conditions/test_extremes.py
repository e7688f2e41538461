"""Data at the edges: samples at the origin, numbers whose squares overflow, ranks that floats misjudge, searches that find nothing."""

import time
from dataclasses import replace

import numpy as np
import pytest
from support.oracles import exact_target

from identify import Configuration, KKTSystem, TwoLayerNetwork, Verdict, check, verify
from identify.base.norms import scaled
from identify.conditions.diagnostics.error_bars import error_bars
from identify.conditions.question import setting_of
from identify.conditions.witnesses.descent import descend
from identify.conditions.witnesses.families import rotation_dimension
from identify.conditions.witnesses.second import second_seconds, second_solution
from identify.problem.gradients import Observed
from identify.problem.verdict import Arithmetic


def system_of(net: TwoLayerNetwork, X, c) -> KKTSystem:
    """The gradient that these data give, of both layers, rounded to doubles."""
    values = exact_target(net, Observed(True, False, True), np.array(X, float), np.array(c, float).reshape(len(X), -1))
    W, a = np.split(np.array([float(v) for v in values]), [net.W.size])
    return KKTSystem.gradient(net, W=W.reshape(net.W.shape), a=a.reshape(net.a.shape))


class TestZeroSamples:
    NET = TwoLayerNetwork([[1, 2], [3, -1], [2, 5], [1, -4], [1, 1]], np.ones(5), "1 + z^3")

    def test_one_zero_sample_is_unique_if_its_multiplier_shows(self):
        X, c = np.zeros((1, 2)), np.array([2.0])
        report = check(system_of(self.NET, X, c), data=(X, c))
        assert report.verdict is Verdict.UNIQUE and report["decomposition"].evidence["fixed_degrees"] == [0, 3]
        assert verify(report.certificate()).is_valid

    def test_with_a_sign(self):
        """Degrees 0 and 2: zero is its own negative."""
        net = replace(self.NET, activation="1 + z^2")
        X, c = np.zeros((1, 2)), np.array([2.0])
        report = check(system_of(net, X, c), data=(X, c))
        assert report.verdict is Verdict.UNIQUE and verify(report.certificate()).is_valid

    def test_two_samples_one_of_them_zero_are_not(self):
        """c_1 + c_2 and c_2 x^(tensor 3) alone are known."""
        X, c = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([2.0, -1.0])
        report = check(system_of(self.NET, X, c), data=(X, c))
        assert report.verdict is Verdict.NOT_UNIQUE and report.witness.residual < 1e-12
        assert verify(report.certificate()).is_valid

    @pytest.mark.parametrize("activation", ["1 + z + z^2 + z^3", "z + z^2 + z^3"])
    def test_zero_among_others_counts_when_degree_zero_is_visible(self, activation):
        """Without it the multiplier of the zero sample is free; with all degrees two samples are unique."""
        rng = np.random.default_rng(0)
        net = TwoLayerNetwork(rng.standard_normal((12, 2)), rng.standard_normal(12), activation)
        X, c = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([2.0, -1.0])
        report = check(system_of(net, X, c), data=(X, c))
        assert report.verdict is (Verdict.UNIQUE if activation.startswith("1") else Verdict.NOT_UNIQUE)


class TestSizes:
    """(S) is linear in the multipliers: in other units of target and multipliers the answer is the same."""

    @pytest.mark.parametrize("k", [-590, -400, 400, 590])
    @pytest.mark.parametrize(("activation", "verdict"), [("z + z^2/2 + z^3", Verdict.UNIQUE), ("z^2", Verdict.NOT_UNIQUE)])
    def test_verdict_and_diagnostics(self, k, activation, verdict):
        system, truth = Configuration(inputs=3, samples=2, width=20, activation=activation).plant(1)
        plain = check(system, data=(truth.X, truth.c))
        moved = system.rescaled(k)
        c = scaled(truth.c, k)
        report = check(moved, data=(truth.X, c))
        assert report.verdict is plain.verdict is verdict
        assert moved.residual(truth.X, c) == system.residual(truth.X, truth.c)
        assert moved.residual(truth.X, 2 * c) == pytest.approx(1.0)
        if report.witness is not None:
            assert report.witness.residual < 1e-12
        bars, usual = (error_bars(s, truth.X, m) for s, m in ((moved, c), (system, truth.c)))
        assert bars.per_sample == pytest.approx(usual.per_sample, rel=1e-6)
        assert bars.singular_values == pytest.approx(usual.singular_values, rel=1e-6)
        assert bars.perturbations == pytest.approx(usual.perturbations, rel=1e-6, abs=1e-18)

    @pytest.mark.parametrize("options", [{"width": 20}, {"width": (20, 30), "activation": "leaky_relu"}, {"width": 20, "outputs": 1}])
    def test_thousands_of_samples_of_a_piecewise_linear_network(self, options):
        """Prices of searches through 2^n choices are asked before counting decides: they need not be doubles."""
        config = Configuration(**{"inputs": 5, "samples": 3000, "activation": "relu", "outputs": 3} | options)
        assert check(config, budget=5.0).verdict is Verdict.NOT_UNIQUE

    @pytest.mark.parametrize("k", [-590, 590])
    def test_competitors_are_found_in_any_unit(self, k):
        """Backward equations of a narrow network admit other points, whatever the unit of the multipliers."""
        system, truth = Configuration(inputs=3, samples=2, width=8, activation="tanh", layers="first", bias=True).plant(0)
        usual, moved = (check(system.rescaled(j), data=(truth.X, scaled(truth.c, j)))["competitors"] for j in (0, k))
        assert moved.evidence == usual.evidence and usual.evidence["converged"] > 0

    @pytest.mark.parametrize("k", [-590, 590])
    def test_wrong_data_are_refused_with_a_number(self, k):
        system, truth = Configuration(inputs=3, samples=2, width=20, activation="z + z^3").plant(1)
        with pytest.raises(ValueError, match="differs from the target") as error:
            check(system.rescaled(k), data=(truth.X, scaled(-truth.c, k)))
        assert error.value.residual == pytest.approx(2.0)

    @pytest.mark.parametrize("k", [-590, 590])
    def test_samples_are_matched_in_any_unit(self, k):
        rng = np.random.default_rng(0)
        X, c = rng.standard_normal((4, 3)), np.ones((4, 1))
        for activation in ("z^3", "z + z^3", "z + z^2"):
            group = Configuration(inputs=3, samples=4, width=5, activation=activation).ambiguity
            matched = group.match(scaled(X[::-1], k), c, scaled(X, k), c)
            assert matched.order.tolist() == [3, 2, 1, 0] and matched.errors.max() < 1e-15


class TestDimensions:
    @pytest.mark.parametrize(("X", "dimension"), [([[1, 0, 0], [0, 1e-20, 0], [0, 0, 1e-20]], 3), ([[1, 2, 3], [2, 4, 6], [3, 6, 9]], 2)])
    def test_rotations(self, X, dimension):
        rng = np.random.default_rng(0)
        net = TwoLayerNetwork(rng.standard_normal((10, 3)), rng.standard_normal(10), "z^2")
        X, c = np.array(X, float), np.ones(3)
        report = check(system_of(net, X, c), data=(X, c))
        assert report.verdict is Verdict.NOT_UNIQUE and report.witness.kind == "rotation"
        assert report.witness.dimension == dimension == report["witness"].evidence["dimension"]
        assert report["decomposition"].evidence["dimension"] == dimension
        assert report["witness"].arithmetic is (Arithmetic.PROOF if dimension == 3 else Arithmetic.MONTE_CARLO)
        assert dimension == 3 or report["witness"].evidence["error_bound"] < 1e-12
        assert verify(report.certificate()).is_valid

    @pytest.mark.parametrize(
        ("d", "n", "activation", "expected"), [(1, 3, "z^2", 2), (3, 3, "z^2", 3), (1, 3, "1 + z + z^2", 3), (2, 5, "z^2", 7)]
    )
    def test_generic_data(self, d, n, activation, expected):
        """As many as the samples have coordinates, less the n r - r (r + 1) / 2 equations that the form fixes."""
        config = Configuration(inputs=d, samples=n, width=9, activation=activation)
        found = rotation_dimension(setting_of(config, n, 0))
        assert (found.value, found.arithmetic, found.is_lower_bound) == (expected, Arithmetic.PROOF, False)

    def test_scalings_of_dependent_terms(self):
        """Five samples on one line: the terms c_i x_i have rank one, and four of the scales are free."""
        rng = np.random.default_rng(0)
        net = TwoLayerNetwork(rng.standard_normal((12, 2)), rng.standard_normal(12), "z + z^3")
        X, c = np.outer([1.0, 2.0, 3.0, 5.0, 7.0], [1.0, 2.0]), np.array([1.0, -1.0, 2.0, 1.0, 3.0])
        report = check(system_of(net, X, c), data=(X, c))
        assert (report.witness.kind, report.witness.dimension) == ("scaling", 4)
        assert report["witness"].evidence["error_bound"] < 1e-12 and verify(report.certificate()).is_valid


class TestSearch:
    def test_many_starts_at_once_find_the_roots(self):
        """z^3 = 1 over the complex numbers, and (x^2 - 4, x y - 2) with an entry held."""

        def cubic(z):
            return z**3 - 1, 3 * z[:, :, None] ** 2

        rng = np.random.default_rng(0)
        starts = rng.standard_normal((30, 1)) + 1j * rng.standard_normal((30, 1))
        points, sizes = descend(cubic, starts, enough=1e-13)
        roots = np.exp(2j * np.pi * np.arange(3) / 3)
        assert (sizes <= 1e-13).all() and all((np.abs(points - root) < 1e-12).any() for root in roots)

        def products(z):
            x, y = z.T
            return np.stack([x * y - 2], axis=1), np.stack([y, x], axis=1)[:, None, :]

        points, sizes = descend(products, np.array([[4.0, 1.0]] * 2), enough=1e-13, free=np.array([[True, False], [False, True]]))
        assert np.allclose(points, [[2.0, 1.0], [4.0, 0.5]], rtol=0, atol=1e-13) and (sizes <= 1e-13).all()
        assert points[0, 1] == 1.0 and points[1, 0] == 4.0

    def test_no_zero_and_no_number(self):
        points, sizes = descend(lambda z: (z**2 + 1, 2 * z[:, :, None]), np.array([[3.0], [np.nan]]), enough=1e-13)
        assert sizes[0] == pytest.approx(1.0, rel=1e-3) and sizes[1] == np.inf and np.isfinite(points[0]).all()

    def test_it_stops_when_it_is_told(self):
        asked = []
        descend(lambda z: (z**2 + 1, 2 * z[:, :, None]), np.ones((2, 1)), enough=0.0, go_on=lambda: bool(asked.append(1)))
        assert len(asked) == 1

    def test_a_search_that_finds_nothing_is_short_and_has_a_price(self):
        """Two samples, one input, four neurons: 64 descents of four unknowns, which took seconds one after the other."""
        config = Configuration(inputs=1, samples=2, width=4, activation="1 + z + z^2 + z^3 + z^4", layers="second")
        system, truth = config.plant(5)
        setting = check(system, data=(truth.X, truth.c)).question
        start = time.process_time()
        assert second_solution(setting) is None
        spent = time.process_time() - start
        assert spent < 1.0 and 0.02 < second_seconds(setting) / spent < 20
        assert second_seconds(setting_of(config, 2, 0)) == 0.0
