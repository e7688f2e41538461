"""Splitting as its paper does it: Lanczos for all at once, thresholds, one step for all, and runs of attacks with this rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identify import InputError, Network, Splitting, reconstruct
from identify.attacks import buzaglo, haim, loo, random_network
from identify.attacks.objectives import decaying, reweighted
from identify.splitting.inner import value, values
from identify.splitting.lanczos import alone, lowest
from identify.splitting.matrices import products_of, splitting_matrices
from identify.splitting.minimise import best_step, split
from identify.splitting.published import LANCZOS, LARGEST_STEP, SMALLEST_STEP, chosen, common_step

RNG = np.random.default_rng(0)


def symmetric(k, d, seed=0):
    A = np.random.default_rng(seed).standard_normal((k, d, d))
    return A + A.swapaxes(1, 2)


def quick(network=None, **options):
    """A network of three samples, and an attack that moves fast."""
    rng = np.random.default_rng(3)
    made = Network([rng.standard_normal((12, 5)), rng.standard_normal((1, 12))], activation="z + z^2/2 + z^3")
    return buzaglo(network or made, kind="weight-decay", rate=1e-4, multiplier_rate=1e-3, start_scale=0.3, **options)


@pytest.mark.parametrize("d", [1, 7, 30])
def test_lanczos_with_all_steps_is_the_full_decomposition(d):
    A = symmetric(4, d)
    found, vectors, converged = lowest(lambda V: np.einsum("kij,kj->ki", A, V), 4, d, steps=d)
    assert converged.all()
    expected = np.linalg.eigvalsh(A)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(np.einsum("ki,kij,kj->k", vectors, A, vectors), expected, atol=1e-10)


def test_few_steps_bound_the_smallest_eigenvalue_from_above_and_one_product_serves_all():
    A, calls = symmetric(5, 60), []

    def product(V):
        calls.append(V.shape)
        return np.einsum("kij,kj->ki", A, V)

    found, vectors, converged = lowest(product, 5, 60, steps=LANCZOS)
    expected = np.linalg.eigvalsh(A)[:, 0]
    assert calls == [(5, 60)] * 20 and not converged.any() and (found >= expected - 1e-9).all() and (found < 0.97 * expected).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-9)


def test_lanczos_of_zero_and_of_a_projection_ends_early():
    A = np.stack([np.zeros((9, 9)), -np.outer(np.ones(9), np.ones(9)), np.eye(9)])
    found, _, converged = lowest(lambda V: np.einsum("kij,kj->ki", A, V), 3, 9, steps=9)
    assert converged.all()
    np.testing.assert_allclose(found, [0, -9, 0], atol=1e-9)


def test_all_at_once_are_those_one_by_one_and_the_slow_one_is_left_over():
    """ARPACK is the oracle; an operator whose eigenvalues are all equally far apart has not converged when the others have."""
    A = symmetric(3, 80)
    Q = np.linalg.qr(A[2])[0]
    A[2] = (Q * np.linspace(0, 1, 80)) @ Q.T
    found, vectors, converged = lowest(lambda V: np.einsum("kij,kj->ki", A, V), 3, 80, steps=50, tolerance=1e-9)
    assert converged.tolist() == [True, True, False]
    for j in range(2):
        expected, other = alone(lambda v, j=j: A[j] @ v, 80)
        assert found[j] == pytest.approx(expected, rel=1e-9) and abs(vectors[j] @ other) == pytest.approx(1, abs=1e-9)


def test_products_of_all_are_the_matrices_by_the_definition():
    """Of an objective that couples its candidates, without closed forms; a wrong block would mix them."""

    def coupled(X, c):
        features = jnp.concatenate([jnp.tanh(X), X**3], axis=1)
        return jnp.log1p(((c * features).sum(axis=0) - 0.3) ** 2).sum() + (c[:, 0] * (X**2).sum(axis=1)).sum()

    rng = np.random.default_rng(0)
    X, c, V = rng.standard_normal((4, 3)), rng.standard_normal((4, 1)), rng.standard_normal((4, 3))
    S = splitting_matrices(coupled, X, c)
    np.testing.assert_allclose(products_of(coupled, X, c)(V), np.einsum("kij,kj->ki", S, V), rtol=1e-9, atol=1e-11)
    assert np.abs(S).max() > 0.1


def test_thresholds():
    few = np.array([0.5, -0.01, 0.3, 0.2, -0.5, 1.0, 2.0, 3.0])
    assert chosen(few).tolist() == [4, 1], "a quarter is negative: all of them"
    many = np.array([-0.05, -0.2, -0.01, -3.0, 0.1, -0.3, -0.4, 1.0])
    assert chosen(many).tolist() == [3, 6, 5, 1], "of three quarters those below -0.1, at most half of all"
    assert chosen(np.full(1000, -1.0)).size == 150 and chosen(np.full(100, -1.0)).size == 50
    large = np.where(np.arange(1000) < 120, -0.05, 1.0)
    assert not chosen(large).size, "12 % of a thousand is many, and none is clearly below zero"
    assert not chosen(np.ones(4)).size


def test_the_common_step_is_inside_its_range_and_minimises():
    step, lowest_value = common_step(lambda e: (e - 0.007) ** 2)
    assert step == pytest.approx(0.007, abs=1e-4) and lowest_value < 1e-8
    assert SMALLEST_STEP < common_step(lambda e: -e)[0] <= LARGEST_STEP


@pytest.mark.parametrize("seed", range(2))
def test_all_steps_of_a_line_search_at_once_are_those_one_by_one(seed):
    """The first is one compiled call; the second evaluates each split by itself."""
    rng = np.random.default_rng(seed)
    made = quick().objective(3)
    X, c, v = rng.standard_normal((3, 5)), rng.standard_normal((3, 1)), np.eye(5)[0]
    step, after = best_step(made, X, c, 1, v)
    trials = []
    for power in range(16):
        size = max(1.0, np.linalg.norm(X[1])) * 2.0**-power
        new, halved, parents, shares = split(X, c, np.tile(v, (3, 1)), np.array([0, size, 0]))
        trials.append((value(made.inherit(parents, shares), new, halved), size))
    assert min(trials)[1] == step and min(trials)[0] == pytest.approx(after, rel=1e-10)
    np.testing.assert_allclose(values(made, np.stack([X, 2 * X]), c), [value(made, X, c), value(made, 2 * X, c)], rtol=1e-12)


class TestRuns:
    def test_the_published_rule_splits_at_one_step_and_keeps_lineage(self):
        found = reconstruct(quick(), candidates=2, steps=300, splitting=Splitting(every=100, cap=4, rule="published")).trials[0]
        assert found.splits and len(found.X) == 2 + len(found.splits) <= 8
        assert all(
            each.eigenvalue < 0 and SMALLEST_STEP <= each.step <= LARGEST_STEP and np.isfinite(each.resumed) for each in found.splits
        )
        assert found.parents[:2].tolist() == [-1, -1] and (found.parents[2:] < np.arange(2, len(found.X))).all()
        assert [each.iteration for each in found.splits] == found.born[2:].tolist() and set(found.born[2:]) <= {100, 200}
        assert set(found.ancestors) <= {0, 1} and (found.ancestors[:2] == [0, 1]).all()

    def test_a_split_by_this_rule_changes_the_objective_as_its_eigenvalues_say(self):
        """Second oracle: half the sum of eigenvalue times step squared, from matrices by the definition."""
        from identify.attacks.splits import checked

        made, rng = quick().objective(3), np.random.default_rng(7)
        X, c = rng.standard_normal((3, 5)), rng.standard_normal((3, 1))
        with jax.enable_x64(True):
            point = {"X": jax.device_put(X), "c": jax.device_put(c)}
            grown, after, splits = checked(made, point, 3, Splitting(rule="published", cap=2), 6)
        exact = np.linalg.eigvalsh(splitting_matrices(made, X, c))[:, 0]
        assert splits and all(each.eigenvalue == pytest.approx(exact[each.candidate], rel=1e-6) for each in splits)
        change = value(grown, np.asarray(after["X"]), np.asarray(after["c"])) - value(made, X, c)
        assert change == pytest.approx(sum(each.predicted for each in splits), rel=0.05)
        assert np.asarray(after["c"]).sum() == pytest.approx(c.sum(), rel=1e-12)

    @pytest.mark.parametrize("used", [3, 5])
    def test_with_many_inputs_our_rule_finds_them_by_lanczos(self, used):
        """The oracle is the full decomposition of matrices in closed form; free places are left out and never split."""
        from identify.attacks.splits import checked

        rng = np.random.default_rng(3)
        wide = Network([rng.standard_normal((12, 110)) / 5, rng.standard_normal((1, 12))], activation="z + z^2/2 + z^3")
        made = quick(wide).objective(used)
        X, c = rng.standard_normal((used, 110)), rng.standard_normal((used, 1))
        with jax.enable_x64(True):
            point = {"X": jax.device_put(X), "c": jax.device_put(c)}
            grown, after, splits = checked(made, point, used, Splitting(most=3), 2 * used)
        exact = np.linalg.eigvalsh(made.splitting_matrices(X, c))[:, 0]
        assert [each.candidate for each in splits] == np.argsort(exact)[: len(splits)].tolist() and splits
        assert splits[0].eigenvalue == pytest.approx(exact.min(), rel=1e-2)
        assert all(each.after < each.before for each in splits) and after["X"].shape == (2 * used, 110)
        assert value(grown, np.asarray(after["X"]), np.asarray(after["c"])) == pytest.approx(splits[-1].after, rel=1e-9)

    def test_a_run_without_saddles_is_not_split(self):
        """Negative control: at the data themselves no splitting matrix has a negative eigenvalue."""
        from identify.attacks.splits import checked

        rng = np.random.default_rng(1)
        start = Network([rng.standard_normal((12, 5)), rng.standard_normal((1, 12))], activation="z + z^2")
        X, c = rng.standard_normal((2, 5)), rng.standard_normal((2, 1))
        Z, a = X @ start.weights[0].T, start.weights[1]
        moved = {"W1": start.weights[0] + a.T * ((c * (1 + 2 * Z)).T @ X) / 2, "W2": a + (c.T @ (Z + Z**2)) / 2}
        made = loo(start, start.with_parameters(moved), linearised=True, low=-9, high=9).objective(2)
        with jax.enable_x64(True):
            assert value(made, X, c) < 1e-20
            assert not checked(made, {"X": X, "c": c}, 2, Splitting(rule="published"), 4)[2]

    def test_unknown_rules_are_refused(self):
        with pytest.raises(InputError, match="rule"):
            Splitting(rule="paper")


class TestVariants:
    @pytest.mark.slow
    def test_the_mean_of_both_kernels_with_one_set_of_multipliers(self):
        """Loo's third variant is the second with each multiplier at half its size in both places."""
        first, last = (random_network((4, 7, 2), biases="all", seed=seed) for seed in (0, 1))
        one, two = loo(first, last, mean_kernel=True), loo(first, last, both_kernels=True)
        X, c = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 2))
        assert one.start(RNG, 3)[1].shape == (3, 2) and two.start(RNG, 3)[1].shape == (3, 4)
        with jax.enable_x64(True):
            halves = np.hstack([c, c]) / 2
            assert value(one.objective(3), X, c) == pytest.approx(value(two.objective(3), X, halves), rel=1e-12)
            rho = one.objective(3).pull(X, c)
            S, T = one.objective(3).splitting_matrices(X, c), two.objective(3).splitting_matrices(X, halves)
        np.testing.assert_allclose(S, T, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(S, splitting_matrices(one.objective(3), X, c), rtol=1e-7, atol=1e-10)
        assert rho.keys() == first.parameters.keys()
        with pytest.raises(InputError, match="one of the three"):
            loo(first, last, mean_kernel=True, both_kernels=True)

    def test_the_first_term_alone_is_reweighted(self):
        attack = haim(random_network((4, 7, 1), seed=0))
        made, heavy = attack.objective(3), reweighted(attack, 20).objective(3)
        X, c = 3 * RNG.standard_normal((3, 4)), RNG.standard_normal((3, 1))
        with jax.enable_x64(True):
            first = float(jax.jit(lambda X, c: made.products(X, c))(X, c))
            assert value(heavy, X, c) - value(made, X, c) == pytest.approx(19 * first, rel=1e-10)
            np.testing.assert_allclose(heavy.splitting_matrices(X, c), splitting_matrices(heavy, X, c), rtol=1e-7, atol=1e-8)
            distance = jax.jit(lambda objective, X, c: objective.distance(X, c))
            assert float(distance(heavy, X, c)) == float(distance(made, X, c))
        assert reweighted(attack, 20).settings["weight"] == 20
        with pytest.raises(InputError):
            reweighted(attack, 0)

    def test_rates_decay_from_the_start_of_the_run(self):
        attack = quick()
        slow = decaying(attack, 1e-9, 50)
        full, less = (reconstruct(each, candidates=2, steps=200).trials[0] for each in (attack, slow))
        until = reconstruct(slow, candidates=2, steps=50).trials[0]
        np.testing.assert_allclose(less.X, until.X, atol=1e-5)
        assert np.abs(full.X - less.X).max() > 1e-3
        with pytest.raises(InputError, match="last"):
            decaying(attack, 2.0, 10)
