"""The loop of all batched least squares: its rules in NumPy and in JAX, against a library and against zeros that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares as scipy_least_squares

from identify.base.least_squares import LEAST_DAMPING, MOST_DAMPING, Rest, State, by_attempts, damped_steps, descend, raised, settle
from identify.recovery.least_squares import BATCH, minimise


def rosenbrock(points):
    """Residuals and Jacobians of the banana valley, which rejects attempts and turns; for NumPy or JAX."""
    xp = jnp if isinstance(points, jax.Array) else np
    x, y = xp.moveaxis(points, -1, 0)
    r = xp.stack([10 * (y - x**2), 1 - x], axis=-1)
    J = xp.stack([xp.stack([-20 * x, 10 + 0 * x], axis=-1), xp.stack([-1 + 0 * x, 0 * x], axis=-1)], axis=-2)
    return r, J


class Starts:
    """A caller: points, their normal equations, and every cost that was taken."""

    def __init__(self, points, function=rosenbrock):
        self.points, self.function, self.costs, self.evaluated = np.array(points), function, [], 0
        n, k = self.points.shape
        self.H, self.g = np.tile(np.eye(k), (n, 1, 1)), np.zeros((n, k))

    def attempt(self, rows, damping):
        there = self.points[rows] - damped_steps(self.H[rows], self.g[rows], damping)
        r, J = self.function(there)
        self.evaluated += len(rows)
        self.trial = there, np.einsum("ski,skj->sij", J, J), np.einsum("ski,sk->si", J, r)
        return (r**2).sum(axis=1)

    def take(self, rows, better):
        for part, new in zip((self.points, self.H, self.g), self.trial, strict=True):
            part[rows[better]] = new[better]

    def run(self, rest, rounds, **options):
        return descend(by_attempts(self.attempt, self.take, rest), State.first(np.full(len(self.points), np.inf)), rounds=rounds, **options)


STARTS = np.random.default_rng(0).uniform(-3, 3, (40, 2))


@pytest.mark.smoke
def test_every_start_ends_at_the_zero_and_leaves_the_batch():
    starts = Starts(STARTS)
    costs = starts.run(Rest(1e-24), 300)
    assert (costs <= 1e-24).all() and np.allclose(starts.points, 1, atol=1e-10)
    assert starts.evaluated < 40 * 60  # none of them went on to the end


def test_numpy_and_jax_take_the_same_way():
    """One rule: the compiled steps, in blocks and in batches that are filled up, are those of NumPy."""
    points = np.concatenate([STARTS, STARTS + 0.1])
    assert len(points) > BATCH

    def normal(_arrays, point, _own):
        r, J = rosenbrock(point)
        return r @ r, J.T @ r, J.T @ J

    for rounds in (7, 40):
        slow = Starts(points)
        costs = slow.run(Rest(1e-24), rounds + 1)
        found, same = minimise(normal, None, points, steps=rounds, rest=Rest(1e-24), block=rounds)
        np.testing.assert_allclose(found, slow.points, atol=1e-8)
        np.testing.assert_allclose(same, costs, rtol=1e-5, atol=1e-18)


def test_against_scipy_where_no_zero_exists():
    rng = np.random.default_rng(1)
    target = rng.standard_normal(6)
    t = np.linspace(0, 1, 6)

    def function(points):
        a, b = points.T[:, :, None]
        e = np.exp(b * t)
        return a * e - target, np.stack([e, a * t * e], axis=2)

    start = np.array([[1.0, 0.5]])
    costs = Starts(start, function).run(Rest(0.0, 3, 0.999999), 300)
    other = scipy_least_squares(lambda v: function(v[None])[0][0], start[0], method="lm", xtol=1e-14, ftol=1e-14)
    assert costs[0] == pytest.approx(2 * other.cost, rel=1e-6) and costs[0] > 0.1


def test_costs_never_rise_and_the_damping_follows_the_rule():
    """Divided by 3 when an attempt is taken, multiplied by 2, 4, 8, ... as long as none is."""
    state = State.first(np.array([1.0, np.inf]), 0.25)
    for new in ([2.0, 5.0], [2.0, 4.0], [np.nan, 6.0], [0.5, 3.0]):
        state = settle(state, np.array(new), Rest())
    assert state.cost.tolist() == [0.5, 3.0] and state.taken.tolist() == [1, 2]
    assert state.damping == pytest.approx([0.25 * 2 * 4 * 8 / 3, 0.25 / 3 * 2 / 3]) and state.factor.tolist() == [2, 2]


def test_rest():
    state = State.first(np.array([1.0, 1.0, 1.0, np.inf]), 1.0)
    for new in ([0.5, 0.95, 2.0, np.nan], [0.05, 0.94, 2.0, np.nan]):
        state = settle(state, np.array(new), Rest(enough=0.1, window=2, share=0.9))
    assert state.at_rest.tolist() == [True, True, False, True]  # small enough, slow, not taken yet, not a number
    rejections = 2
    while not state.at_rest[2]:
        state = settle(state, np.full(4, 2.0), Rest())
        rejections += 1
    assert state.damping[2] > MOST_DAMPING and rejections < 8


def test_the_clock_is_asked_before_each_round():
    asked = []
    starts = Starts(STARTS)
    costs = starts.run(Rest(), 50, go_on=lambda: len(asked) < 3 and not asked.append(1))
    assert len(asked) == 3 and np.isfinite(costs).all() and starts.evaluated == 3 * len(STARTS)
    untouched = Starts(STARTS)
    assert np.isinf(untouched.run(Rest(), 50, go_on=lambda: False)).all() and np.array_equal(untouched.points, STARTS)


@pytest.mark.parametrize("kind", [float, complex])
def test_unknowns_without_influence_stay_and_a_singular_matrix_harms_no_other(kind):
    H = np.array([[[2.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]], [[4.0, 0.0], [0.0, 1.0]]], dtype=kind)
    g = np.array([[2.0, 0.0], [1.0, 1.0], [4.0, 1.0]], dtype=kind)
    steps = damped_steps(H, g, np.zeros(3))
    assert np.isnan(steps[:2]).all() and np.allclose(steps[2], 1)
    steps = damped_steps(H, g, np.full(3, 1e-3))
    assert steps[0, 1] == 0 and np.allclose(steps[0, 0], 1, atol=1e-2) and np.allclose(steps[1], 0.5, atol=1e-2)
    with jax.enable_x64(True):
        assert all((np.asarray(raised(xp.zeros(2)) * LEAST_DAMPING) > 0).all() for xp in (np, jnp))
