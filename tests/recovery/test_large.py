"""Recovery without matrices: maps against the matrices they stand for, and images as large as those."""

import numpy as np
import pytest
from support.oracles import random_network
from support.zoo import SMOOTH_CUBIC

from identify.planting.configuration import Configuration
from identify.problem.data import check_data
from identify.problem.interpolation import Monomials, interpolation_matrix
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.recovery import error_bars, polish
from identify.recovery import moments as moment_solve
from identify.recovery.equations import Equations
from identify.recovery.gauss_newton import OVERSAMPLING, Linearised, gauss_newton
from identify.recovery.moment_map import MomentMap, solve_by_map
from identify.recovery.moments import solve_moments
from identify.recovery.recover import recover
from identify.recovery.reduce import Reduced
from identify.recovery.solution import InapplicableError

CONFIGS = [
    Configuration(inputs=4, samples=3, width=15, activation=SMOOTH_CUBIC),
    Configuration(inputs=4, samples=4, width=15, activation=SMOOTH_CUBIC, bias=True),
    Configuration(inputs=5, samples=4, width=12, activation="z + z^2", outputs=2),
    Configuration(inputs=4, samples=3, width=20, activation="1 + z^2 - z^3/3"),
    Configuration(inputs=5, samples=4, width=15, activation="z^2 + z^4", layers="first", bias=True),
    Configuration(inputs=3, samples=3, width=60, activation=SMOOTH_CUBIC, layers="second"),
]


def reduced_equations(config: Configuration, rng: np.random.Generator):
    """Equations with random weights, and the data in their coordinates."""
    system, truth = config.plant(0)
    reduced = Reduced.of(system, config.samples)
    X, c = check_data(truth.X, truth.c, config.inputs, config.outputs)
    weights = rng.uniform(0.5, 2.0, len(reduced.target))
    return Equations(reduced.network, system.observed, reduced.target, weights), reduced.project(X), c


@pytest.mark.parametrize("config", CONFIGS, ids=str)
class TestMaps:
    def test_moments(self, config):
        system, _ = config.plant(0)
        net = Reduced.of(system, config.samples).network
        derivatives = [net.activation.floats(order) for order in range(net.activation.degree + 2)]
        matrix = interpolation_matrix(net.W, net.A, net.offsets, derivatives, system.observed, system.degrees)
        weights = [Monomials.of(net.n_inputs, k).weights() for k in system.degrees]
        matrix = matrix * np.tile(np.concatenate(weights), config.outputs)
        mapped, rng = MomentMap(net, system.observed, system.degrees), np.random.default_rng(0)
        v, t = rng.standard_normal(matrix.shape[1]), rng.standard_normal(len(matrix))
        assert mapped.shape == matrix.shape
        np.testing.assert_allclose(mapped.times(v), matrix @ v, rtol=1e-11, atol=1e-11 * np.abs(matrix).max())
        np.testing.assert_allclose(mapped.transposed(t), matrix.T @ t, rtol=1e-11, atol=1e-11 * np.abs(matrix).max())
        np.testing.assert_allclose(mapped.scales(rng), np.linalg.norm(matrix, axis=0), rtol=1.5)

    def test_moments_are_the_same_by_iteration(self, config, monkeypatch):
        system, _ = config.plant(0)
        reduced = Reduced.of(system, config.samples)
        problem = (reduced.network, system.observed, system.degrees, reduced.target)
        expected, _ = solve_moments(*problem)
        monkeypatch.setattr(moment_solve, "MATRIX_FLOPS", 0)
        found, evidence = solve_moments(*problem)
        assert evidence["iterations"] > 0 and evidence["moment_residual"] < 1e-14
        for k in system.degrees:
            np.testing.assert_allclose(found.values[k], expected.values[k], rtol=1e-9, atol=1e-12 * np.abs(expected.values[k]).max())

    def test_jacobian(self, config):
        rng = np.random.default_rng(1)
        equations, X, c = reduced_equations(config, rng)
        J = equations.jacobian(X, c) * equations.weights[:, None]
        here = Linearised(equations, X, c)
        change, rows = rng.standard_normal((len(X), X.shape[1] + c.shape[1])), rng.standard_normal(len(J))
        np.testing.assert_allclose(here.times(change), J @ change.reshape(-1), rtol=1e-10, atol=1e-11 * np.abs(J).max())
        np.testing.assert_allclose(here.transposed(rows).reshape(-1), J.T @ rows, rtol=1e-10, atol=1e-11 * np.abs(J).max())

    def test_a_sketch_keeps_lengths(self, config, monkeypatch):
        monkeypatch.setattr("identify.recovery.gauss_newton.BLOCK", 200)
        equations, X, c = reduced_equations(config, np.random.default_rng(2))
        J = equations.jacobian(X, c) * equations.weights[:, None]
        R = Linearised(equations, X, c).factor(np.random.default_rng(0))
        values = np.linalg.svd(np.linalg.solve(R.T, J.T), compute_uv=False)
        assert values[0] / values[-1] < 40

    def test_the_polish_ends_at_the_same_point(self, config):
        rng = np.random.default_rng(3)
        equations, X, c = reduced_equations(config, rng)
        noisy = Equations.of(
            equations.network, equations.observed, equations.target * (1 + 1e-6 * rng.standard_normal(len(equations.target)))
        )
        start = X * (1 + 1e-4 * rng.standard_normal(X.shape)), c * (1 + 1e-4 * rng.standard_normal(c.shape))
        (X1, c1, _), (X2, c2, steps) = polish.polish(noisy, *start), gauss_newton(noisy, *start)
        r1, r2 = (np.linalg.norm(noisy.residual(*point)) for point in ((X1, c1), (X2, c2)))
        assert 1 <= steps <= 10 and r2 <= r1 * (1 + 1e-3)
        np.testing.assert_allclose(X2, X1, atol=1e-4 * np.abs(X1).max())


def test_free_scales_stay_where_they_are():
    """The Jacobian of z^3 is singular along the scale of each sample."""
    system, truth = Configuration(inputs=5, samples=3, width=15, activation="z^3").plant(0)
    X, c = check_data(truth.X, truth.c, 5, 1)
    equations = Equations.of(Reduced.trivial(system).network, system.observed, system.target)
    rng = np.random.default_rng(0)
    moved, multipliers, steps = gauss_newton(equations, X * (1 + 1e-3 * rng.standard_normal(X.shape)), c)
    assert steps <= 12 and np.linalg.norm(equations.residual(moved, multipliers)) < 1e-12 * np.linalg.norm(system.target)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(X, axis=1), rtol=0.01)


def test_products_on_an_accelerator(monkeypatch):
    """What a machine with a GPU does, on the CPU's backend: the same numbers, in double precision."""
    system, _ = CONFIGS[1].plant(0)
    net, rng = Reduced.of(system, 4).network, np.random.default_rng(0)
    here = MomentMap(net, system.observed, system.degrees)
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    there = MomentMap(net, system.observed, system.degrees)
    v, t = rng.standard_normal(here.shape[1]), rng.standard_normal(here.shape[0])
    np.testing.assert_allclose(there.times(v), here.times(v), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(there.transposed(t), here.transposed(t), rtol=1e-12, atol=1e-13)


def test_what_the_target_does_not_determine_is_noticed(monkeypatch):
    """Parallel neurons: more equations than moments, and no full column rank."""
    rng = np.random.default_rng(0)
    W = np.repeat(rng.standard_normal((4, 4)), 10, axis=0)
    net = TwoLayerNetwork(W, rng.standard_normal(40), SMOOTH_CUBIC)
    X, c = rng.standard_normal((3, 4)), np.array([1.0, -2.0, 0.5])
    Z = X @ W.T
    target_W = ((c[:, None] * net.activation(Z, order=1)) * net.a).T @ X
    system = KKTSystem.gradient(net, W=target_W, a=c @ net.activation(Z))
    problem = (Reduced.of(system, 4).network, system.observed, system.degrees, Reduced.of(system, 4).target)
    solution, evidence = solve_by_map(*problem)
    assert solution is None and evidence["probe_error"] > 0.01
    monkeypatch.setattr(moment_solve, "MATRIX_FLOPS", 0)
    with pytest.raises(InapplicableError, match="numerical rank"):
        solve_moments(*problem)
    monkeypatch.setattr(moment_solve, "memory_allowed", lambda: 1000)
    with pytest.raises(InapplicableError, match="no full column rank to working precision"):
        solve_moments(*problem)


def test_error_bars_from_a_sketch(monkeypatch):
    """Within a few percent of those of the matrix, once there are many unknowns."""
    system, _truth = Configuration(inputs=40, samples=12, width=150, activation=SMOOTH_CUBIC).plant(0)
    rng = np.random.default_rng(0)
    system = system.with_target(system.target + 1e-9 * np.abs(system.target).mean() * rng.standard_normal(len(system.target)))
    exact = recover(system, samples=12, judge=False)
    monkeypatch.setattr(polish, "MATRIX_FLOPS", 0)
    monkeypatch.setattr(error_bars, "MATRIX_FLOPS", 0)
    found = recover(system, samples=12, judge=False)
    match = found.match(exact.X, exact.c)
    assert match.errors.max() < 1e-8 and found.residual == pytest.approx(exact.residual, rel=1e-3)
    np.testing.assert_allclose(found.error_bars[match.order], exact.error_bars, rtol=0.3)
    assert len(Reduced.of(system, 12).target) > OVERSAMPLING * 12 * 13


def test_colour_images_of_3072_pixels(monkeypatch):
    """Without any matrix of more than a few million entries."""
    monkeypatch.setattr(moment_solve, "MATRIX_FLOPS", 0)
    monkeypatch.setattr(polish, "MATRIX_FLOPS", 0)
    monkeypatch.setattr(error_bars, "MATRIX_FLOPS", 0)
    rng = np.random.default_rng(0)
    net = random_network(rng, SMOOTH_CUBIC, inputs=3072, width=60)
    net = TwoLayerNetwork(net.W / 50, net.a, net.activation)
    X, c = rng.uniform(-0.5, 0.5, (8, 3072)), rng.uniform(0.5, 1.5, 8)
    Z = X @ net.W.T
    target_W = ((c[:, None] * net.activation(Z, order=1)) * net.a).T @ X
    system = KKTSystem.gradient(net, W=target_W, a=c @ net.activation(Z))
    found = recover(system, data=(X, c))
    match = found.match(X, c)
    assert match.errors.max() < 1e-10 and found.n_samples == 8
    assert (match.errors * np.linalg.norm(X, axis=1) < 10 * found.error_bars[match.order]).all()
