"""Attacks with an objective that is no distance of gradients: they run, split, are continued, and refuse what needs a target."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identify import InputError, Splitting, reconstruct
from identify.attacks import Attack, diagnose, haim, in_row_space, random_network, stationarity
from identify.attacks.descent import adam
from identify.attacks.objectives import decaying, reweighted
from identify.splitting.inner import value
from identify.splitting.matrices import smallest, splitting_matrices

POINTS = np.array([[1.0, 0.3, -0.5], [-1.0, 0.5, 0.2]])


def moments(powers, target, X, c):
    """Squared distance of the weighted moments of the candidates from given ones."""
    found = jnp.concatenate([(c * X**k).sum(axis=0) for k in powers])
    return ((found - target) ** 2).sum() + (c.sum() - 2.0) ** 2


def plain(steps=600) -> Attack:
    """Even moments of two points: one candidate is stuck between them."""
    target = np.concatenate([(POINTS**k).sum(axis=0) for k in (1, 2)])
    return Attack(
        name="moments",
        objective=lambda k: jax.tree_util.Partial(partial(moments, (1, 2)), target),
        start=lambda rng, k: (0.1 * rng.standard_normal((k, 3)), np.full((k, 1), 2.0 / k)),
        optimiser=adam(0.01),
        steps=steps,
    )


class Labelled:
    """Candidates of class j have mean zero and the second moments of point j: two of them can, and one is stuck. Children inherit j."""

    def __init__(self, labels, shares):
        self.labels, self.shares = labels, shares

    def __call__(self, X, c):
        own = jax.nn.one_hot(self.labels, 2, dtype=X.dtype)
        first, second = (((own.T @ (c * X**k) - (k - 1) * POINTS**2) ** 2).sum() for k in (1, 2))
        return first + second + 1e-3 * (self.shares * (X**2).sum(axis=1)).sum() + ((own.T @ c - 1) ** 2).sum()

    def inherit(self, parents, shares):
        return Labelled(self.labels[parents], self.shares[parents] * shares)


jax.tree_util.register_pytree_node(Labelled, lambda one: ((one.labels, one.shares), None), lambda _, parts: Labelled(*parts))


def labelled() -> Attack:
    def objective(k):
        return Labelled(jnp.arange(k) % 2, jnp.ones(k))

    return replace(plain(), objective=objective)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_plain_function_is_minimised_and_splits_where_it_is_stuck(precision):
    made = plain()
    stuck = reconstruct(made, candidates=1, precision=precision).trials[0]
    grown = reconstruct(made, candidates=1, precision=precision, splitting=Splitting(every=200, most=1, cap=2)).trials[0]
    assert len(grown.X) == 2 and len(grown.splits) == 1 and grown.splits[0].after < grown.splits[0].before
    assert grown.value < 1e-3 < stuck.value, "the infimum with one candidate is positive"
    assert grown.distance == grown.value and grown.ancestors.tolist() == [0, 0]
    with jax.enable_x64(True):
        assert grown.value == pytest.approx(value(made.objective(2), grown.X, grown.c), rel=1e-4)


def test_matrices_of_all_at_once_are_those_by_the_definition():
    made = labelled().objective(4)
    X, c = np.random.default_rng(0).standard_normal((4, 3)), np.random.default_rng(1).standard_normal((4, 1))
    expected = np.linalg.eigvalsh(splitting_matrices(made, X, c))[:, 0]
    np.testing.assert_allclose(smallest(made, X, c)[0], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(smallest(made, X, c, exact_below=0)[0], expected, rtol=1e-7, atol=1e-10)


def test_children_keep_the_constants_of_their_parent():
    made = replace(labelled(), start=lambda rng, k: (0.05 * rng.standard_normal((k, 3)), np.ones((k, 1))))
    found = reconstruct(made, candidates=2, steps=400, splitting=Splitting(every=100, cap=3)).trials[0]
    shares = np.ones(len(found.X))
    for child, parent in enumerate(found.parents):
        if parent >= 0:
            shares[child] = shares[parent] = shares[parent] / 2
    with jax.enable_x64(True):
        own = Labelled(jnp.asarray(found.ancestors), jnp.asarray(shares))
        assert found.splits and value(own, found.X, found.c) == pytest.approx(found.value, rel=1e-12)
        swapped = Labelled(1 - jnp.asarray(found.ancestors), jnp.asarray(shares))
        assert value(swapped, found.X, found.c) != pytest.approx(found.value, rel=1e-3)
    again = reconstruct(made, candidates=2, steps=400, splitting=Splitting(every=100, cap=3)).trials[0]
    assert np.array_equal(found.X, again.X) and np.isfinite(found.value)


def test_it_is_continued_to_the_same_bits_and_known_by_its_numbers(tmp_path):
    splitting = Splitting(every=200, most=1, cap=3)
    whole = reconstruct(plain(), candidates=1, splitting=splitting).trials[0]
    lines = []

    def stop(line):
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconstruct(plain(), candidates=1, splitting=splitting, checkpoint=tmp_path, progress=stop)
    continued = reconstruct(plain(), candidates=1, splitting=splitting, checkpoint=tmp_path).trials[0]
    assert np.array_equal(continued.X, whole.X) and continued.splits == whole.splits
    other = replace(plain(), objective=lambda k: jax.tree_util.Partial(partial(moments, (1, 2)), np.ones(6)))
    with pytest.raises(InputError, match="another attack"):
        reconstruct(other, candidates=1, splitting=splitting, checkpoint=tmp_path)


@pytest.mark.parametrize(
    "ask",
    [
        in_row_space,
        lambda attack: diagnose(attack, POINTS),
        lambda attack: stationarity(attack, POINTS),
        lambda attack: reweighted(attack, 2.0).objective(1),
    ],
)
def test_what_needs_a_target_says_so(ask):
    with pytest.raises(InputError, match="objective of its own .Partial.*expected one made by identify.attacks.objective"):
        ask(plain())


def test_a_sharpness_that_changes_needs_a_field():
    with pytest.raises(InputError, match="a field of that name"):
        reconstruct(replace(plain(), sharpness=lambda done: 1.0 + done), candidates=1)


def test_equal_paces_are_compiled_once():
    made = haim(random_network((4, 6, 1)))
    assert decaying(made, 0.1, 50).pace == decaying(made, 0.1, 50).pace != decaying(made, 0.2, 50).pace
