"""Sample splitting: closed forms against the definition, prediction against change, a constructed saddle, growth, recovery."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import ArpackNoConvergence
from support.marks import slow
from support.zoo import SMOOTH_CUBIC

from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.gradients import Observed
from identify.problem.network import TwoLayerNetwork
from identify.recovery.equations import Equations
from identify.recovery.reduce import Reduced
from identify.recovery.splitting import solve_by_splitting
from identify.splitting import lanczos, matrices
from identify.splitting.inner import LevenbergMarquardt, gradient_size, lbfgs, value
from identify.splitting.matrices import inherit, smallest, splitting_matrices
from identify.splitting.minimise import best_step, minimise, split
from identify.splitting.objective import KKTObjective

VARIANTS = {
    "cubic": {},
    "two outputs": {"outputs": 2, "activation": "z + z^2"},
    "bias": {"bias": True, "outputs": 2},
    "first layer, degree five": {"bias": True, "layers": "first", "activation": "z^5 - z^2/3"},
    "second layer": {"layers": "second", "activation": "1 + z^2"},
}


def planted(d=4, n=3, m=9, seed=0, activation=SMOOTH_CUBIC, **options):
    config = Configuration(inputs=d, samples=n, width=m, activation=activation, **options)
    system, truth = config.plant(seed)
    reduced = Reduced.of(system, n)
    return reduced, Equations.of(reduced.network, system.observed, reduced.target), truth


@pytest.fixture(params=[slow(VARIANTS["cubic"]), *list(VARIANTS.values())[1:]], ids=VARIANTS.keys())
def instance(request):
    """A weighted objective and five random candidates."""
    rng = np.random.default_rng(1)
    _, equations, _truth = planted(**request.param)
    weights = rng.uniform(0.5, 2.0, len(equations.target))
    objective = KKTObjective.of(Equations(equations.network, equations.observed, equations.target, weights))
    return objective, rng.standard_normal((5, objective.n_inputs)), rng.standard_normal((5, len(objective.A)))


def relative(found, expected) -> float:
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


class TestClosedForms:
    @pytest.mark.smoke
    def test_value_is_the_relative_residual(self, instance):
        objective, X, c = instance
        network = TwoLayerNetwork(objective.W, objective.A, Activation(objective.derivatives[0]), objective.offsets)
        equations = Equations(network, objective.observed, objective.target, objective.weights)
        r = equations.residual(X, c) * equations.weights
        assert value(objective, X, c) == pytest.approx((r @ r) / np.sum((equations.weights * equations.target) ** 2), rel=1e-12)

    def test_splitting_matrices_against_the_definition(self, instance):
        objective, X, c = instance
        S = splitting_matrices(objective, X, c)
        assert np.abs(S).max() > 1e-3
        assert relative(objective.splitting_matrices(X, c), S) < 1e-10
        V = np.random.default_rng(2).standard_normal(X.shape)
        assert relative(objective.splitting_product(X, c, V), np.einsum("kij,kj->ki", S, V)) < 1e-10

    def test_gradient_and_jacobian_against_autodiff(self, instance):
        objective, X, c = instance
        with jax.enable_x64(True):
            J_X, J_c = jax.jit(jax.jacfwd(objective.residual, argnums=(0, 1)))(jax.device_put(X), jax.device_put(c))
            closed = objective.jacobian(X, c).reshape(-1, len(X), X.shape[1] + c.shape[1])
            r = objective.residual(X, c)
            for found, J in zip(objective.gradient(X, c), (J_X, J_c), strict=True):
                assert relative(found, 2 * np.einsum("e,ekq->kq", r, J)) < 1e-12
            assert relative(closed[:, :, : X.shape[1]], J_X) < 1e-12 and relative(closed[:, :, X.shape[1] :], J_c) < 1e-12
            assert relative(objective.atoms(X), J_c) < 1e-12

    def test_a_split_changes_the_objective_as_predicted(self, instance):
        objective, X, c = instance
        v = np.random.default_rng(3).standard_normal(X.shape)
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        S = objective.splitting_matrices(X, c)
        for j in range(len(X)):
            predicted = v[j] @ S[j] @ v[j] * 1e-3**2 / 2
            new_X, new_c, *_ = split(X, c, v, 1e-3 * (np.arange(len(X)) == j))
            assert value(objective, new_X, new_c) - value(objective, X, c) == pytest.approx(predicted, rel=1e-4)

    def test_a_target_without_norm_is_refused(self):
        _, equations, _ = planted()
        with pytest.raises(ValueError, match="target: received"):
            KKTObjective.of(Equations(equations.network, equations.observed, 0 * equations.target, equations.weights))


class TestSmallest:
    def test_lanczos_agrees_with_the_full_decomposition(self, instance, monkeypatch):
        objective, X, c = instance
        exact, vectors = smallest(objective, X, c)
        np.testing.assert_allclose(exact, np.linalg.eigvalsh(splitting_matrices(objective, X, c))[:, 0], rtol=1e-9, atol=1e-12)
        monkeypatch.setattr(KKTObjective, "splitting_matrices", None)  # products only
        for method in (objective, lambda X, c: objective(X, c)):
            values, same = smallest(method, X, c, exact_below=0)
            np.testing.assert_allclose(values, exact, rtol=1e-7, atol=1e-9 * np.abs(exact).max())
            np.testing.assert_allclose(same, vectors, atol=1e-5)

    def test_many_inputs(self):
        rng = np.random.default_rng(0)
        net = TwoLayerNetwork(rng.standard_normal((40, 150)) / 12, rng.standard_normal((1, 40)), SMOOTH_CUBIC)
        rows = Observed(W=True, bias=False, a=True)
        objective = KKTObjective.of(Equations.of(net, rows, rng.standard_normal(40 * 151)))
        X, c = rng.standard_normal((2, 150)), rng.standard_normal((2, 1))
        values, vectors = smallest(objective, X, c)
        S = objective.splitting_matrices(X, c)
        np.testing.assert_allclose(values, np.linalg.eigvalsh(S)[:, 0], rtol=1e-7)
        np.testing.assert_allclose(np.einsum("kij,kj->ki", S, vectors), values[:, None] * vectors, atol=1e-5 * np.abs(values).max())

    def test_where_lanczos_fails_the_matrix_is_formed(self, instance, monkeypatch):
        objective, X, c = instance
        exact, _ = smallest(objective, X, c)

        def fail(*_, **__):
            raise ArpackNoConvergence("no convergence", np.empty(0), np.empty((0, 0)))

        monkeypatch.setattr(matrices, "MOST", 1)
        monkeypatch.setattr(lanczos, "eigsh", fail)
        np.testing.assert_allclose(smallest(objective, X, c, exact_below=0)[0], exact, atol=1e-9 * np.abs(exact).max())

    def test_nothing_to_split(self):
        def flat(X, c):
            return jnp.sum(c**2) + 0 * jnp.sum(X)

        values, _ = smallest(flat, np.ones((2, 3)), np.ones((2, 1)), exact_below=0)
        assert (values == 0).all()
        assert smallest(flat, np.empty((2, 0)), np.ones((2, 1)))[0].tolist() == [0, 0]


@pytest.fixture(scope="module")
def saddle():
    """Two samples mirrored in the first coordinate, a network with that symmetry, and a candidate on the mirror."""
    rng = np.random.default_rng(0)
    half = rng.standard_normal((6, 3))
    mirror = np.array([-1.0, 1.0, 1.0])
    a = rng.standard_normal(6)
    net = TwoLayerNetwork(np.vstack([half, half * mirror]), np.hstack([a, a])[None], SMOOTH_CUBIC)
    rows = Observed(W=True, bias=False, a=True)
    truth = np.array([[0.5, 1.0, -0.3], [-0.5, 1.0, -0.3]])
    empty = Equations.of(net, rows, np.zeros(12 * 4))
    equations = Equations.of(net, rows, empty.residual(truth, np.ones((2, 1))))
    return KKTObjective.of(equations), truth, np.array([[0.0, 1.0, -0.3]])


class TestSaddle:
    inner = LevenbergMarquardt(capacity=2)

    def test_the_gradient_is_stuck_and_a_split_is_not(self, saddle):
        objective, truth, start = saddle
        X, c = self.inner(objective, start, np.zeros((1, 1)))
        stuck = value(objective, X, c)
        assert stuck > 1e-3 and gradient_size(objective, X, c) < 1e-8
        with jax.enable_x64(True):
            hessian = jax.jit(jax.hessian(lambda p: objective(p[None, :3], p[None, 3:])))(jax.device_put(np.hstack([X, c])[0]))
        assert np.linalg.eigvalsh(hessian)[0] > 1e-6  # a strict local minimum for one candidate
        eigenvalues, vectors = smallest(objective, X, c)
        assert eigenvalues[0] < -1e-2 and abs(vectors[0, 0]) == pytest.approx(1.0)
        assert best_step(objective, X, c, 0, vectors[0])[1] < stuck

        result = minimise(objective, start, np.zeros((1, 1)), inner=self.inner)
        assert result.status == "zero" and len(result.splits) == 1
        assert np.allclose(result.X[np.argsort(-result.X[:, 0])], truth, atol=1e-9) and np.allclose(result.c, 1.0)

    def test_generic_method_without_closed_forms(self, saddle):
        objective, truth, start = saddle
        result = minimise(lambda X, c: objective(X, c), start, np.ones((1, 1)), tolerance=1e-14)
        assert result.status == "zero" and len(result.splits) == 1
        assert np.allclose(result.X[np.argsort(-result.X[:, 0])], truth, atol=1e-4)

    def test_limits(self, saddle):
        objective, _, start = saddle
        assert minimise(objective, start, np.zeros((1, 1)), rounds=0, inner=self.inner).status == "rounds"
        full = minimise(objective, start, np.zeros((1, 1)), cap=1, inner=self.inner)
        assert full.status == "full" and len(full.X) == 1 and full.eigenvalue < 0
        patient = minimise(objective, start, np.zeros((1, 1)), threshold=1e3, inner=self.inner)
        assert patient.status == "second-order" and not patient.splits
        lazy = minimise(objective, start, np.zeros((1, 1)), threshold=1e3, inner=lambda objective, X, c: (X, c))
        assert lazy.status == "not stationary" and lazy.gradient > 1e-3
        with pytest.raises(ValueError, match="X: received no candidates"):
            minimise(objective, np.empty((0, 3)), np.empty((0, 1)))
        with pytest.raises(TypeError, match="use lbfgs"):
            LevenbergMarquardt()(lambda X, c: 0.0, start, np.zeros((1, 1)))


class TestGrowth:
    def test_every_split_gains_and_their_number_is_bounded(self):
        _, equations, _ = planted(5, 4, 12)
        objective = KKTObjective.of(equations)
        X = np.random.default_rng(0).standard_normal((2, objective.n_inputs))
        inner = LevenbergMarquardt(capacity=8, radius=6.0)
        result = minimise(objective, X, np.zeros((2, 1)), inner=inner, rounds=6, cap=8)
        assert 2 <= len(result.splits) <= 6 and len(result.X) <= 8
        for step in result.splits:
            assert step.eigenvalue < 0 and step.predicted < 0
            assert step.resumed <= step.after < step.before
        for earlier, later in zip(result.splits, result.splits[1:], strict=False):
            assert later.before == earlier.resumed
        again = minimise(objective, X, np.zeros((2, 1)), inner=inner, rounds=6, cap=8)
        assert np.array_equal(result.X, again.X) and np.array_equal(result.c, again.c) and result.splits == again.splits

    def test_merging_undoes_a_split(self):
        reduced, equations, truth = planted(5, 4, 12)
        X, c = reduced.project(truth.X), truth.c[:, None]
        children = split(X, c, np.zeros_like(X), np.array([1.0, 0, 0, 1.0]))
        result = minimise(KKTObjective.of(equations), *children[:2], cap=8)
        assert (result.merged, result.dropped) == (2, 0)
        np.testing.assert_allclose(result.X, X, atol=1e-9)
        np.testing.assert_allclose(result.c, c, atol=1e-9)

    def test_candidates_without_weight_are_dropped(self):
        reduced, equations, truth = planted(5, 4, 12)
        X, c = reduced.project(truth.X), truth.c[:, None]
        result = minimise(
            KKTObjective.of(equations), np.vstack([X[:2], np.ones(X.shape[1]), X[2:]]), np.vstack([c[:2], [[0.0]], c[2:]]), cap=8
        )
        assert result.dropped + result.merged == 1 and len(result.X) == 4
        np.testing.assert_allclose(result.X, X, atol=1e-9)

    def test_padding_changes_nothing(self):
        _, equations, _ = planted(5, 4, 12)
        objective = KKTObjective.of(equations)
        X = np.random.default_rng(0).standard_normal((3, objective.n_inputs))
        plain, padded = (LevenbergMarquardt(steps=20, capacity=size)(objective, X, np.zeros((3, 1))) for size in (None, 8))
        np.testing.assert_allclose(plain[0], padded[0], rtol=1e-6)
        np.testing.assert_allclose(plain[1], padded[1], rtol=1e-6)

    def test_candidates_stay_in_the_ball(self):
        _, equations, _ = planted(5, 4, 12)
        X, _ = LevenbergMarquardt(radius=2.0, capacity=8)(KKTObjective.of(equations), np.ones((1, 4)), np.zeros((1, 1)))
        assert np.linalg.norm(X) <= 2.0 + 1e-12


@jax.tree_util.register_pytree_node_class
class Bounded:
    """A fit with a lower bound on every multiplier and a prior on every candidate: constants that children inherit."""

    def __init__(self, bounds, shares):
        self.bounds, self.shares = bounds, shares

    def __call__(self, X, c):
        fit = (jnp.sum(c[:, 0] * jnp.cos(X[:, 0])) - 1.0) ** 2
        return fit + 5 * jnp.sum(jax.nn.relu(self.bounds - c[:, 0]) ** 2) + jnp.sum(self.shares[:, None] * X**4)

    def inherit(self, parents, shares):
        return Bounded(self.bounds[parents] * shares, self.shares[parents] * shares)

    def tree_flatten(self):
        return (self.bounds, self.shares), None

    @classmethod
    def tree_unflatten(cls, _, parts):
        return cls(*parts)


class TestInherit:
    objective = Bounded(np.array([0.5, 0.4]), np.ones(2))
    X, c = np.array([[0.7, 0.1], [-0.2, 0.4]]), np.array([[0.6], [0.5]])

    def test_children_inherit_bounds_and_weights(self):
        v = np.array([[0.6, 0.8], [1.0, 0.0]])
        X, c, parents, shares = split(self.X, self.c, v, np.array([0.0, 1e-9]))
        child = inherit(self.objective, parents, shares)
        assert np.allclose(child.bounds, [0.5, 0.2, 0.2])
        assert value(child, X, c) == pytest.approx(value(self.objective, self.X, self.c), rel=1e-12)

    def test_the_definition_sees_them(self):
        v = np.array([[0.6, 0.8], [0.6, 0.8]])
        S = splitting_matrices(self.objective, self.X, self.c)
        for j in range(2):
            X, c, parents, shares = split(self.X, self.c, v, 1e-3 * (np.arange(2) == j))
            change = value(inherit(self.objective, parents, shares), X, c) - value(self.objective, self.X, self.c)
            assert change == pytest.approx(v[j] @ S[j] @ v[j] * 1e-3**2 / 2, rel=1e-4)

    def test_minimise_carries_them(self):
        result = minimise(self.objective, self.X, self.c, rounds=3, tolerance=1e-10)
        assert len(result.objective.bounds) == len(result.X) and result.status in ("zero", "second-order")
        assert result.value <= value(self.objective, *lbfgs(self.objective, self.X, self.c)) + 1e-10


class TestRung:
    @pytest.mark.parametrize("seed", [slow(2), 3])
    def test_splits_find_the_truth_more_often_than_plain_starts(self, seed):
        reduced, equations, truth = planted(5, 4, 12, seed=seed)
        hits = {}
        for cycles in (0, 10):
            found = solve_by_splitting(equations, 4, np.random.default_rng(0), starts=20, cycles=cycles)
            ends = [reduced.origin + X @ reduced.Q.T for X, _, _ in found]
            errors = [np.linalg.norm(truth.X[:, None] - X[None], axis=2).min(axis=1).max() for X in ends]
            solved = [residual < 1e-11 for *_, residual in found]
            assert solved == [error < 1e-6 for error in errors]  # n_max = n: zero residual means the planted data
            hits[cycles] = sum(solved)
        assert hits[10] >= hits[0] + 4 and hits[10] >= 8

    def test_two_outputs_with_bias(self):
        _, equations, _truth = planted(3, 2, 8, bias=True, outputs=2, activation="z + z^2")
        best = solve_by_splitting(equations, 2, np.random.default_rng(0), starts=10)[0]
        assert best[2] < 1e-12

    def test_repeats_reports_and_keeps_to_the_deadline(self):
        _, equations, _ = planted(5, 4, 12)
        lines: list[str] = []
        one, two = (solve_by_splitting(equations, 4, np.random.default_rng(5), starts=2, cycles=2, progress=lines.append) for _ in range(2))
        assert all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(one, two, strict=True))
        assert one[0][2] <= one[1][2] and len(lines) == 4 and lines[:2] == lines[2:]
        assert len(solve_by_splitting(equations, 4, np.random.default_rng(5), starts=50, deadline=0.0)) == 1

    @pytest.mark.parametrize(
        ("options", "match"),
        [({"samples": 0}, "samples: received 0"), ({"starts": 0}, "starts, cycles"), ({"spread": -1.0}, "spread: received -1")],
    )
    def test_refusals(self, options, match):
        _, equations, _ = planted()
        with pytest.raises(ValueError, match=match):
            solve_by_splitting(equations, options.pop("samples", 3), np.random.default_rng(0), **options)
